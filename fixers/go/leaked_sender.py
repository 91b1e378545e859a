"""Give a result channel room for what its goroutines send

A send on an unbuffered channel waits for its receiver. When the function that made the
channel may leave without receiving (another case of its select is taken, it returns early,
a test fails), the goroutine waits for ever: it, its stack and all that it refers to are
never freed, once for every call. With a buffer for every value that can be sent, the send
never waits, and the channel is collected with the values nobody wanted.

Not reported: a channel that is stored or passed to code that is not visible, or returned to
callers who all receive; a send that is itself one of several cases of a select; a function
that receives on every path.

Unsafe: when code after the send relies on the receiver having come.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from threadmend.golang.builders import BuilderError, with_room
from threadmend.golang.channels import (
    Channel,
    ChannelOperation,
    runner_of,
)
from threadmend.golang.countdowns import counted_tests
from threadmend.golang.counts import Count
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Exit, Flow, Point, flow_of
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.local_fields import held_channels
from threadmend.golang.makers import making
from threadmend.golang.object_makers import or_objects
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.model import Finding, Fix, Related, Safety

from ._each_once import each_once
from ._leaked_senders import (
    Sender,
    ends_of,
    instead_of,
    is_shared,
    is_wait,
    nothing_follows,
    senders_of,
    sends_of,
    steps_to,
    total_of,
    waits_first,
)
from ._left_by_helper import left_by_helper, left_in_helper
from ._one_reply import left_replies
from ._sender_begins import begins_at, told_of_failure
from ._unreceived import partly_received, unreceived

CATEGORY = "channel"
GATE = rb"<-|:= \w+(?:\[[^\n]*\])?\("


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the channels whose launched senders may wait for a receiver that has left."""
    if b"<-" in file.data:
        yield from each_once(file, _of_locals, left_replies)
    else:
        yield from _of_locals(file)


def _of_locals(file: GoFile) -> Iterator[Finding]:
    """Yield those on channels of variables and of a local object's fields."""
    for function in file.functions(or_objects(file.package, making(file.package))):
        if _ends_the_process(file, function):
            continue
        for channel in held_channels(file, function, objects=True):
            if channel.unbuffered and not channel.escapes:
                yield from _leaks(file, function, channel)
            elif channel.unbuffered and channel.of("send"):
                yield from _returned(file, function, channel)


def _ends_the_process(file: GoFile, function: Node) -> bool:
    name = function.get("name")
    return name is not None and name.name == "main" and file.package.name == "main"


def _leaks(file: GoFile, function: Node, channel: Channel) -> Iterator[Finding]:
    senders = senders_of(file, function, channel)
    if not senders or channel.of("len", "compare"):
        return
    if any(
        close.node.function is function and close.node.runs_later for close in channel.of("close")
    ):
        return  # the channel is closed when the function leaves: who still sends panics
    receives = []
    for operation in channel.of("receive", "range"):
        if runner_of(operation, function) is not function:
            return  # another goroutine receives: who comes when cannot be told
        if operation.anchor.function is not function:
            return  # a deferred or in-place literal receives
        receives.append(operation)
    flow = flow_of(function)
    total = total_of(file, channel, senders)
    if total is None:
        return  # a producer in a loop: what it lacks is an exit, not a buffer
    for sender in senders:
        known = _largest(flow, senders) or total
        left = _leaves(file, function, channel, flow, sender, receives, known)
        if left is None and total.is_constant and _run_together(flow, senders, receives):
            anchors = [r.anchor for r in receives] + ends_of(file, function, channel, sender)
            anchors += instead_of(file, function, sender, receives)
            start = begins_at(file, function, flow, sender)
            left = _leaves_too_early(flow, start, anchors, total.factor)
            told = told_of_failure(file, function, sender)
            left = None if left is not None and any(b.contains(left) for b in told) else left
        if left is None:
            left = waits_first(file, flow, sender, receives)
        if left is not None:
            yield _finding(file, channel, sender, left, total, receives)
            return


def _returned(file: GoFile, function: Node, channel: Channel) -> Iterator[Finding]:
    """Yield the result channel that a function returns and a caller may leave alone."""
    senders = senders_of(file, function, channel)
    total = total_of(file, channel, senders) if senders else None
    if not senders or total is None:
        return
    left = unreceived(file, function, channel)
    if left is None and not (total.is_constant and total.factor == 1):
        left = partly_received(file, function, channel)
    if left is not None:
        yield _finding(file, channel, senders[0], left, total, [])


def _leaves(
    file: GoFile,
    function: Node,
    channel: Channel,
    flow: Flow,
    sender: Sender,
    receives: list[ChannelOperation],
    total: Count,
) -> Node | None:
    """Return where the function leaves (or starts over) with a value still to be received."""
    start = begins_at(file, function, flow, sender)
    ends = ends_of(file, function, channel, sender)
    ends += instead_of(file, function, sender, receives)
    points = [flow.point_of(anchor) for anchor in (*(r.anchor for r in receives), *ends)]
    if start is None or any(p is None for p in points) or not flow.complete:
        return None
    tests = counted_tests(file, function, (r.node for r in receives if not r.calls))
    stops = {p for p in (*points, *map(flow.point_of, tests)) if p is not None}
    if not receives:
        return _first_exit(flow, start, set()) or None
    looped = sender.loop is not None and not sender.loop.contains(channel.make)
    single = total.is_constant and total.factor == 1
    if single and not looped:
        told = told_of_failure(file, function, sender)
        left = _first_exit(flow, start, stops, told) or _starts_over(flow, start, stops, channel)
        return left or left_by_helper(receives)
    return _some_left(flow, start, receives, stops, total)


def _first_exit(
    flow: Flow, start: Point, stops: set[Point], told: Sequence[Node] = ()
) -> Node | None:
    """Return the node of an exit that is reached without a receive, none where it is `told`.

    Loop heads of receiving loops are entered: a loop that may not run at all is an exit of
    its own only when it is not what receives.
    """
    loops = {loop for p in stops for loop in flow.loops(p) if not loop.contains(start.node)}
    blocked = stops | {flow.point_of(loop) for loop in loops}
    exits = flow.exits_from(start, stop=lambda p: p in blocked)
    exits = [e for e in exits if not any(block.contains(e.node) for block in told)]
    return next((e.node for e in exits if _leaves_a_leak(e)), None)


def _leaves_a_leak(exit_: Exit) -> bool:
    return exit_.kind in {"return", "end", "goexit"}


def _starts_over(flow: Flow, start: Point, stops: set[Point], channel: Channel) -> Node | None:
    """Return the launch itself when a loop comes back to its make without a receive."""
    make = flow.point_of(channel.make)
    if make is not None and flow.in_loop(make):
        if make in flow.reachable(start, stop=lambda p: p in stops):
            return channel.make
    return None


def _some_left(
    flow: Flow,
    start: Point,
    receives: list[ChannelOperation],
    stops: set[Point],
    total: Count,
) -> Node | None:
    """Return an exit after which values remain although some were received."""
    looping = [r for r in receives if r.kind == "range" or innermost_loop(r.anchor) is not None]
    early = _first_exit(flow, start, stops)
    if early is not None:
        return early
    if any(_is_in_loop_of_helper(r) for r in receives):
        return left_in_helper(receives, _leaves_loop)
    if not looping:
        if total.is_constant and total.factor <= len(receives):
            return None
        point = flow.point_of(receives[-1].anchor)
        exits = flow.exits_from(point) if point is not None else []
        return next((e.node for e in exits if _leaves_a_leak(e)), None)
    for receive in looping:
        left = _leaves_loop(flow, receive)
        if left is not None:
            return left
    return None


def _is_in_loop_of_helper(receive: ChannelOperation) -> bool:
    """Return whether a function that the receive is left to goes round there."""
    inner = (*receive.calls[1:], receive.node) if receive.calls else ()
    return any(innermost_loop(node) is not None for node in inner)


def _run_together(flow: Flow, senders: list[Sender], receives: list[ChannelOperation]) -> bool:
    """Return whether the launches follow each other on one path, without a receive between."""
    points = [flow.point_of(s.place) for s in senders]
    stops = {flow.point_of(r.anchor) for r in receives}
    return all(s.loop is None for s in senders) and all(
        one is not None and other in flow.reachable(one, stop=stops.__contains__)
        for one, other in pairwise(points)
    )


def _largest(flow: Flow, senders: list[Sender]) -> Count | None:
    """Return how many values come at most where only one of the goroutines is launched."""
    points = [flow.point_of(s.place) for s in senders]
    counts = [sends_of(s) for s in senders]
    if len(senders) < 2 or any(p is None or p.loop is not None for p in points):
        return None
    if any(two in flow.reachable(one) for one in points for two in points if one is not None):
        return None
    return Count(max(c or 1 for c in counts))


def _leaves_too_early(
    flow: Flow, start: Point | None, anchors: list[Node], wanted: int
) -> Node | None:
    """Return an exit that some path reaches with fewer receives than there are values."""
    points = [flow.point_of(anchor) for anchor in anchors]
    stops = {p for p in points if p is not None}
    if start is None or any(innermost_loop(anchor) is not None for anchor in anchors):
        return None
    edge = {start}
    for _ in range(min(wanted, len(stops))):
        following: set[Point] = set()
        for point in sorted(edge, key=lambda p: p.node.start):
            left = _first_exit(flow, point, stops - {point})
            if left is not None:
                return left
            following |= _until(flow, point, stops)
        edge = following
    return None


def _until(flow: Flow, start: Point, stops: set[Point]) -> set[Point]:
    """Return the receives that come next after a point."""
    before = flow.reachable(start, stop=stops.__contains__) | {start}
    return {p for point in before for p in point.successors if p in stops}


def _counts(loop: Node) -> bool:
    """Return whether a loop over a channel ends by the number of what it has received."""
    tests = [n["condition"] for n in loop.find("if_statement") if n.find("break_statement")]
    return bool(tests) and all(_NUMBER.fullmatch(t.text) for t in tests)


_NUMBER = re.compile(rb"(?:len\([\w.]+\)|\w+) (?:==|>=) (?:\d+|len\([\w.]+\)|\w*[nN](?:um)?\w*)")


def _leaves_loop(flow: Flow, receive: ChannelOperation) -> Node | None:
    """Return an exit that is reached from inside a receiving loop but by its own head."""
    anchor = receive.anchor
    loop = anchor.up("for_statement") if receive.kind == "range" else innermost_loop(anchor)
    point = flow.point_of(anchor)
    if loop is None or point is None:
        return None
    clause = next((c for c in loop.children if c.kind in {"range_clause", "for_clause"}), None)
    counted = _names_compared(loop)
    if clause is None and not counted:
        return None  # an endless loop: it counts by itself
    if receive.kind == "range" and _counts(loop):
        return None
    inside = [p for p in flow.points if p.live and loop["body"].contains(p.node)]
    head = {p for p in flow.points if loop.contains(p.node) and p not in set(inside)}
    for from_ in [point] if point in inside else inside[:1]:
        for exit_ in flow.exits_from(from_, stop=lambda p: p in head):
            if _leaves_a_leak(exit_) and not _is_asked(exit_.node, loop, counted):
                return exit_.node
    select = receive.select
    for other in select.children if select is not None else ():
        case_point = next((p for p in inside if other.contains(p.node)), None)
        if case_point is None or other is receive.case:
            continue
        for exit_ in flow.exits_from(case_point, stop=lambda p: p in head or p is point):
            if _leaves_a_leak(exit_) and not _is_asked(exit_.node, loop, counted):
                return exit_.node
    return None


def _names_compared(loop: Node) -> frozenset[bytes]:
    """Return the names that a loop compares to know that all have come: `for len(errs) < n`."""
    condition = next((c for c in loop.children if c.kind == "binary_expression"), None)
    if condition is None:
        return frozenset()
    if condition["operator"].kind not in {"<", "<=", ">", ">=", "!="}:
        return frozenset()
    return frozenset(n.text for n in condition.find("identifier", "field_identifier"))


def _is_asked(exit_: Node, loop: Node, counted: frozenset[bytes]) -> bool:
    """Return whether a test inside of the loop of what it counts decides an exit."""
    tests = [a["condition"] for a in exit_.ancestors() if a.kind == "if_statement"]
    return any(
        name.text in counted
        for test in tests
        if loop.contains(test)
        for name in test.find("identifier", "field_identifier")
    )


def _finding(
    file: GoFile,
    channel: Channel,
    sender: Sender,
    left: Node,
    total: Count,
    receives: list[ChannelOperation],
) -> Finding:
    name = channel.binding.name
    send = next(o for o in sender.sends if not o.has_alternative)
    function = channel.function
    where = "the function may leave" if left is not channel.make else "the loop may go on"
    word = "without receiving" if receives else "and nobody receives"
    if channel.escapes:
        where, word = "a caller", "may not receive"
    message = f"the goroutine waits for ever on its send to {name}: {where} {word}"
    if is_wait(left):
        message = f"the goroutine waits for ever on its send to {name}: {left.name} comes first"
    related = [Related(channel.make.path, channel.make.start, channel.make.end, "made here")]
    if left is not channel.make:
        # The end of a function is its closing brace.
        start = left.end - 1 if left.kind in FUNCTIONS or left.kind == "block" else left.start
        word = "called here" if channel.escapes else "leaves here"
        word = "waits here" if is_wait(left) else word
        related.append(Related(left.path, start, left.end, word))
    fix, reason = _fix(file, channel, sender, total)
    if function is None:
        fix, reason = None, "the channel is made outside of a function"
    place = sender.place if fix and is_shared(send, channel) else send.node
    if place is not send.node:
        related.append(Related(send.node.path, send.node.start, send.node.end, "sent here"))
    return Finding(
        path=place.path,
        start=place.start,
        end=place.end,
        message=message,
        fixes=(fix,) if fix else (),
        related=tuple(related),
        reason=reason,
    )


def _fix(file: GoFile, channel: Channel, sender: Sender, total: Count) -> tuple[Fix | None, str]:
    """Make room for every value.

    Sound: with a free slot for each send none of them waits, and what was received before is
    received as before. A send no longer means that the receiver came: that is why nothing
    but the goroutine's end may follow it.
    """
    capacity = str(total)
    try:
        edits = with_room(channel.make, capacity, channel.maker)
    except BuilderError as error:
        return None, str(error)
    title = f"Make {channel.binding.name} with a buffer of {capacity}"
    if all(nothing_follows(step) for send in sender.sends for step in steps_to(send, sender)):
        return Fix(title, edits), ""
    reason = "code after the send no longer waits for the receiver"
    return Fix(title, edits, Safety.UNSAFE, reason), ""
