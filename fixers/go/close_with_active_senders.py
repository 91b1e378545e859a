"""Wait for the senders before closing their channel

A send on a closed channel panics. When whoever closes does not wait for the goroutines that
send, the program works as long as they are quick, and crashes when one of them is late.

Not reported: a close after a Wait, after a receive from another channel, or after a loop that
receives; a channel that is stored or passed to code that is not visible.

Where a deferred close is the last that happens to a channel with room for all values, nobody
can learn of it: it goes.

Unsafe: otherwise, because the channel is closed later than before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import (
    BuilderError,
    at_margin,
    delete,
    free_name,
    insert_after,
    names_around,
    replace,
    with_reason,
)
from threadmend.golang.channels import Channel, ChannelOperation, runner_of
from threadmend.golang.countdowns import counted_tests
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Flow, Point, flow_of
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.local_fields import held_channels
from threadmend.golang.makers import making
from threadmend.golang.repeats import is_repeated, launch_places
from threadmend.golang.stops import ways_out
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._close_fields import closed_fields
from ._closer import by_producer, close_after, ends
from ._each_once import each_once
from ._last_one import asked_as_last
from ._left_early import left_early
from ._left_open import left_open
from ._received import received_by
from ._unreceived import is_returned
from ._waited_within import waited_within

CATEGORY = "channel"
GATE = rb"\bclose\("

_MAKES_AND_CLOSES = re.compile(rb"\bmake\(\s*(?:chan\b|\w+[,)])")
_WAITS = re.compile(
    rb"(?i)(?:wait|join|drain|stop|shutdown|finish|collect|consume|gather|close)\w*\("
)
_TIME = re.compile(rb"(?:^|\.)(?:After|Tick|Done)\(|\.C$")


@dataclass(slots=True)
class _Sender:
    """A launch that sends; `places` are where the function that made the channel starts it."""

    launch: Launch
    places: list[Node]
    sends: list[ChannelOperation]

    @property
    def repeats(self) -> bool:
        """Return whether more than one value may be sent in all."""
        if self.launch.loop is not None or len(self.places) > 1:
            return True
        if any(innermost_loop(place) is not None for place in self.places):
            return True
        bodies = {send.node.function for send in self.sends}
        body = bodies.pop()
        if bodies or body is None:
            return len(self.sends) > 1 or innermost_loop(self.sends[0].node) is not None
        flow = flow_of(body)
        points = {point for s in self.sends if (point := flow.point_of(s.node)) is not None}
        return len(points) < len(self.sends) or any(
            not points.isdisjoint(flow.reachable(point)) for point in points
        )


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the closes that do not wait for the launched senders."""
    yield from each_once(file, _of_locals, closed_fields)


def _of_locals(file: GoFile) -> Iterator[Finding]:
    """Yield those on channels of variables and of a local object's fields."""
    for function in file.functions(making(file.package, _MAKES_AND_CLOSES)):
        for channel in held_channels(file, function):
            closes = channel.of("close")
            if not closes or not is_assigned_once(channel.binding):
                continue
            if not all(is_returned(e, function) for e in channel.escapes):
                continue
            senders = _senders(file, function, channel)
            if not senders:
                continue
            for close in closes:
                sender = _active(file, function, channel, close, senders)
                if sender is not None:
                    yield _finding(file, function, channel, close, sender, senders)
                    break


def _senders(file: GoFile, function: Node, channel: Channel) -> list[_Sender]:
    found: dict[int, _Sender] = {}
    for send in channel.of("send"):
        runner = runner_of(send, function)
        if isinstance(runner, Launch) and runner.kind != "timer":
            places = launch_places(file, function, runner, send.calls)
            if places and runner.function is not function and waited_within(runner):
                continue
            if places:
                sender = _Sender(runner, places, [])
                found.setdefault(runner.node.start, sender).sends.append(send)
                continue
        if runner is not function:
            return []
    return list(found.values())


def _active(
    file: GoFile,
    function: Node,
    channel: Channel,
    close: ChannelOperation,
    senders: list[_Sender],
) -> _Sender | None:
    """Return a sender that may still send when the close runs."""
    if close.calls or close.node.parent is None:
        return None
    if asked_as_last(close.node, [send.node for s in senders for send in s.sends]):
        return None
    runner = runner_of(close, function)
    flow = flow_of(function)
    if not flow.complete:
        return None
    if isinstance(runner, Launch):
        return _beside(function, close, runner, senders)
    if runner is not function or close.node.function is not function:
        return None
    if any(
        _waits_at_exit(d.node) or _is_handle(file, d.node.children[-1], senders)
        for d in flow.defers
    ):
        return None
    deferred = close.node.parent if close.node.parent.kind == "defer_statement" else None
    if deferred is None and close.node.parent.kind != "expression_statement":
        return None
    stops = _waits(file, flow, channel, senders) | _never_taken(flow)
    end = flow.point_of(deferred or close.node)
    if end is None:
        return None
    if left_early(file, function, channel, flow, end, stops):
        return senders[0]
    for sender in senders:
        for start in (flow.point_of(place) for place in sender.places):
            if start is None:
                continue
            if deferred is None:
                if end in flow.reachable(start, stop=(stops - {end}).__contains__):
                    return sender
            elif _runs_before(flow, start, end, stops):
                return sender
    return None


def _runs_before(flow: Flow, launch: Point, deferred: Point, stops: set[Point]) -> bool:
    """Return whether an exit runs the deferred close with the sender unwaited for."""
    if launch in flow.reachable(deferred):
        begin = launch
    elif deferred in flow.reachable(launch, stop=lambda p: p in stops):
        begin = deferred
    else:
        return False
    exits = flow.exits_from(begin, stop=lambda p: p in stops)
    return any(e.kind in {"return", "end"} for e in exits)


def _waits_at_exit(defer: Node) -> bool:
    call = defer.children[-1]
    return bool(_WAITS.search(call.text)) and not call.text.startswith(b"close(")


def _is_handle(file: GoFile, call: Node, senders: list[_Sender]) -> bool:
    """Return whether a call runs what the launching call returned: `wait := start(ch); wait()`."""
    called = call["function"] if call.kind == "call_expression" else None
    binding = file.binding(called) if called is not None and called.kind == "identifier" else None
    return binding is not None and any(
        value.contains(place) for value in binding.values for s in senders for place in s.places
    )


def _waits(file: GoFile, flow: Flow, channel: Channel, senders: list[_Sender]) -> set[Point]:
    """Return the points after which the senders may be known to have ended."""
    single = len(senders) == 1 and not senders[0].repeats
    found = set()
    for point in flow.points[1:-1]:
        if point.node.kind == "go_statement" or point.node.kind == "defer_statement":
            continue
        if point.node.kind == "range_clause" and _is_channel(file, point.node["right"]):
            found.add(point)
        for node in point.own():
            if node.kind == "call_expression" and _WAITS.match(_last_word(node)):
                if node["function"].text != b"close":
                    found.add(point)
                continue
            if node.kind == "call_expression" and _is_handle(file, node, senders):
                found.add(point)
            for received in received_by(file, node):
                if _TIME.search(received):
                    continue
                own = channel.binding.name.encode() == received
                if not own or single or innermost_loop(node) is not None:
                    found.add(point)
                    found |= _heads(flow, node, senders)
    ends = [receive.anchor for receive in channel.of("range")]
    ends += [receive.anchor for receive in channel.of("receive") if _takes_a_number(receive)]
    receives = [receive.node for receive in channel.of("receive") if not receive.calls]
    ends += counted_tests(file, flow.function, receives)
    return found | {p for node in ends if (p := flow.point_of(node)) is not None}


def _is_channel(file: GoFile, ranged: Node) -> bool:
    return isinstance(file.underlying(file.type_of(ranged)), Chan)


def _takes_a_number(receive: ChannelOperation) -> bool:
    """Return whether a helper takes as many values as it is told: `firstError(n, errs)`."""
    loop = innermost_loop(receive.node) if receive.calls else None
    clause = next((c for c in loop.children if c.kind == "for_clause"), None) if loop else None
    condition = clause.get("condition") if clause is not None else None
    if loop is None or condition is None or condition.kind != "binary_expression":
        return False
    bound = receive.file.binding(condition["right"])
    given = bound is not None and bound.kind == "parameter"
    return given and not any(True for _ in ways_out(loop))


def _never_taken(flow: Flow) -> set[Point]:
    """Return the cases of a new timer beside a default: when the select asks, time has not passed.

    `select { case <-time.After(limit): default: wg.Wait() }`
    """
    return {
        point
        for point in flow.points[1:-1]
        for node in point.own()
        if node.kind == "call_expression" and node["function"].text == b"time.After"
        if (case := node.up("communication_case")) is not None
        and case["communication"].contains(node)
        and any(c.kind == "default_case" for c in case.parent.children)  # type: ignore[union-attr]
    }


def _heads(flow: Flow, receive: Node, senders: list[_Sender]) -> set[Point]:
    """Return the head of the loop that receives: it runs as often as there are values."""
    loop = innermost_loop(receive)
    if loop is None or any(loop.contains(place) for s in senders for place in s.places):
        return set()
    return {p for p in flow.points if loop.contains(p.node) and not loop["body"].contains(p.node)}


def _last_word(call: Node) -> bytes:
    function = call["function"]
    last = function.get("field") if function.kind == "selector_expression" else function
    return (last.text if last is not None else b"") + b"("


def _run_both(function: Node, sender: _Sender, runner: Launch) -> bool:
    """Return whether one run launches a sender and who closes: not in two branches of an if."""
    flow = flow_of(function)
    closing = flow.point_of(runner.node)
    points = [flow.point_of(place) for place in sender.places]
    if closing is None or None in points or not flow.complete:
        return True
    return any(closing in flow.reachable(p) or p in flow.reachable(closing) for p in points if p)


def _beside(
    function: Node, close: ChannelOperation, runner: Launch, senders: list[_Sender]
) -> _Sender | None:
    """Return a sender that the goroutine which closes knows nothing of."""
    body = runner.body
    if runner.function is not function or body is None or close.node.function is not body:
        return None
    if any(s.launch.node is runner.node for s in senders):
        return None  # a sender that closes: another matter
    senders = [s for s in senders if _run_both(function, s, runner)]
    if not senders:
        return None
    flow = flow_of(body)
    end = flow.point_of(close.node)
    if end is None or not flow.complete:
        return None
    deferred = close.node.parent is not None and close.node.parent.kind == "defer_statement"
    for point in flow.points[1:-1]:
        if point is not end and not deferred and end not in flow.reachable(point):
            continue  # what comes after the close does not help it
        for node in point.own():
            if node.kind == "call_expression" and _WAITS.match(_last_word(node)):
                if node["function"].text != b"close":
                    return None
            if node.kind == "unary_expression" and node["operator"].kind == "<-":
                if not _TIME.search(node["operand"].text):
                    return None
            if node.kind == "range_clause":
                return None
    return senders[0]


def _finding(
    file: GoFile,
    function: Node,
    channel: Channel,
    close: ChannelOperation,
    sender: _Sender,
    senders: list[_Sender],
) -> Finding:
    name = channel.binding.name
    send = sender.sends[0].node
    fix, reason = _fix(file, function, channel, close, senders)
    return Finding(
        path=close.node.path,
        start=close.node.start,
        end=close.node.end,
        message=f"{name} is closed while a goroutine may still send to it",
        fixes=(fix,) if fix else (),
        related=(Related(send.path, send.start, send.end, "sent here"),),
        reason=reason,
    )


@with_reason
def _fix(
    file: GoFile,
    function: Node,
    channel: Channel,
    close: ChannelOperation,
    senders: list[_Sender],
) -> Fix:
    name = channel.binding.name
    statement = close.node.parent
    launches = [s.launch for s in senders]
    if len(channel.of("close")) > 1:
        raise BuilderError("the channel is closed in several places")
    if any(runner_of(s, function) is function for s in channel.of("send")):
        raise BuilderError("the function sends as well as the goroutines that it launches")
    if statement is None:
        raise BuilderError("the close is part of another statement")
    receives = [o.anchor for o in channel.of("range", "receive")]
    receives = [r for r in receives if r.function is function]
    unseen = left_open(file, function, channel, statement)
    if unseen is not None:
        return unseen
    if not all(ends(x) for x in launches):
        edits = _with_done(file, function, channel, statement, senders)
        return Fix(
            f"Tell the senders to stop, then close {name}",
            tuple(edits),
            Safety.UNSAFE,
            "the senders end when the function says so",
        )
    if isinstance(runner_of(close, function), Launch):
        edits = close_after(file, function, channel.make, name, launches, into=statement)
    elif len(launches) == 1 and not is_repeated(file, launches[0], channel.make):
        edits = [*delete(statement), *by_producer(file, channel, launches[0])]
    else:
        closes = [statement]
        edits = close_after(file, function, channel.make, name, launches, closes, receives)
    reason = "the channel is closed later, after the last send"
    return Fix(f"Close {name} after the last sender", tuple(edits), Safety.UNSAFE, reason)


def _with_done(
    file: GoFile,
    function: Node,
    channel: Channel,
    statement: Node,
    senders: list[_Sender],
) -> list[Edit]:
    """Give the endless senders a channel that ends them; the last one's end closes theirs.

    select {
    case ch <- v:
    case <-done:
        return
    }
    """
    made = channel.make.statement
    if made is None or statement.function is not function:
        raise BuilderError("the channel is not made by a statement")
    name = channel.binding.name
    done = free_name("done", names_around(file, function))
    edits: list[Edit] = []
    for sender in senders:
        literal = sender.launch.literal
        if literal is None or literal.get("result") is not None:
            raise BuilderError("a sender is a function of its own")
        for send in sender.sends:
            if send.calls or send.node.function is not literal or send.case is not None:
                raise BuilderError("a send is not a statement of the goroutine itself")
            text = at_margin(send.node)
            code = f"select {{\ncase {text}:\ncase <-{done}:\n\treturn\n}}"
            edits += replace(send.node, code)
    call = statement.children[-1]
    edits.append(Edit(file.path, call.start, call.end, f"close({done})".encode()))
    edits += insert_after(made, f"{done} := make(chan struct{{}})")
    launches = [s.launch for s in senders]
    edits += close_after(file, function, channel.make, name, launches)
    return edits
