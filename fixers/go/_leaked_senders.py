"""The goroutines that send on a local channel: how many values, and what waits for them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import is_assigned_once
from threadmend.golang.calls import callers
from threadmend.golang.channels import Channel, ChannelOperation, runner_of
from threadmend.golang.counting import counter_of
from threadmend.golang.counts import Count, iterations, product, rounds
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Flow, Point, flow_of
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.local_fields import held_channels
from threadmend.golang.locks import declaration_of
from threadmend.golang.repeats import launch_places
from threadmend.golang.scope import position_of
from threadmend.golang.syntax import Node
from threadmend.golang.waitgroups import waitgroup_call

__all__ = [
    "Sender",
    "ends_of",
    "instead_of",
    "is_shared",
    "is_wait",
    "nothing_follows",
    "senders_of",
    "sends_of",
    "steps_to",
    "total_of",
    "waits_first",
]


@dataclass(slots=True)
class Sender:
    """A goroutine that sends; `place` is its launch, or the call of the helper that launches."""

    launch: Launch
    place: Node
    sends: list[ChannelOperation]

    @property
    def loop(self) -> Node | None:
        """Return the innermost loop around the place, in the function that made the channel."""
        return innermost_loop(self.place)


def senders_of(file: GoFile, function: Node, channel: Channel) -> list[Sender] | None:
    """Return the goroutines that send, None when one of the sends is not such a goroutine's."""
    found: dict[int, Sender] = {}
    for send in channel.of("send"):
        runner = runner_of(send, function)
        if not isinstance(runner, Launch) or runner.kind == "timer":
            return None
        places = launch_places(file, function, runner, send.calls)
        if not places:
            return None
        for place in places:
            found.setdefault(place.start, Sender(runner, place, [])).sends.append(send)
    return [s for s in found.values() if any(not o.has_alternative for o in s.sends)]


def total_of(file: GoFile, channel: Channel, senders: list[Sender]) -> Count | None:
    """Return an upper bound for the sends on the channel per run, if one can be named."""
    total: Count | None = None
    for sender in senders:
        each = sends_of(sender)
        launched = _launched(file, channel, sender)
        if each is None or launched is None:
            return None
        count = product(Count(each), launched)
        if total is None:
            total = count
        elif total.terms == count.terms:
            total = Count(total.factor + count.factor, total.terms, total.nodes)
        else:
            text = f"{total}+{count}"
            total = Count(1, (text,), total.nodes + count.nodes)
    return total


def sends_of(sender: Sender) -> int | None:
    """Return how many values one goroutine sends at most: sends on exclusive paths are one."""
    points: list[tuple[Flow, Point]] = []
    for send in sender.sends:
        function = send.function
        if function is None:
            return None
        if send.calls and innermost_loop(send.anchor) is not None and send.anchor is not None:
            if sender.launch.node.contains(send.anchor) and sender.launch.call is not send.anchor:
                return None
        flow = flow_of(function)
        point = flow.point_of(send.node)
        if point is None or not flow.complete or flow.in_loop(point):
            return None
        points.append((flow, point))
    chained = 0
    for flow, point in points:
        after = flow.reachable(point)
        followers = sum(1 for other, p in points if other is flow and p is not point and p in after)
        chained = max(chained, followers)
    functions = {id(flow) for flow, _ in points}
    if len(functions) == 1:
        return chained + 1
    recovered = [p for flow, p in points if _is_recovered(flow.function)]
    if not all(_is_last(flow, p) for flow, p in points if p not in recovered):
        return len(points)
    return max(len(recovered), len(points) - len(recovered))


def _is_recovered(function: Node) -> bool:
    """Return whether a deferred literal does its work when there is a panic to recover from."""
    first = function["body"].statements[0] if function["body"].statements else None
    return (
        function.kind == "func_literal"
        and function.is_deferred
        and len(function["body"].statements) == 1
        and first is not None
        and first.kind == "if_statement"
        and first.get("alternative") is None
        and _RECOVERED.match(first.text) is not None
    )


_RECOVERED = re.compile(rb"if (?:(\w+) := recover\(\); \1|recover\(\)) != nil \{")


def _is_last(flow: Flow, point: Point) -> bool:
    """Return whether nothing is called after a point: a panic comes before it or not at all."""
    return not any(
        n.kind == "call_expression" for later in flow.reachable(point) for n in later.own()
    )


def instead_of(
    file: GoFile, function: Node, sender: Sender, receives: list[ChannelOperation]
) -> list[Node]:
    """Return where selects take what a goroutine sends on another channel instead.

    `select { case v := <-values: … case err := <-errs: … }` for one that sends a value or an
    error, never both.
    """
    selects = [r.select for r in receives if r.select is not None]
    if not selects or len(selects) != len(receives):
        return []
    found: list[Node] = []
    for other in held_channels(file, function):
        here = [o for o in other.of("receive") if o.select in selects]
        own = [s for s in other.of("send") if runner_of(s, function) == sender.launch]
        if not here or other.escapes or not own or len(own) != len(other.of("send")):
            continue
        both = Sender(sender.launch, sender.place, [*sender.sends, *own])
        if not any(o in sender.sends for o in own) and sends_of(both) == 1:
            found += [o.anchor for o in here]
    return found


def ends_of(file: GoFile, function: Node, channel: Channel, sender: Sender) -> list[Node]:
    """Return where the function learns that a goroutine sends no more: it told so elsewhere.

    The receives from another channel on which only this goroutine sends, or which it closes,
    where no send can follow; a deferred close is the last that it does.
    """
    body, found = sender.launch.body, list[Node]()
    if body is None or sender.loop is not None or any(s.function is not body for s in sender.sends):
        return []
    flow = flow_of(body)
    sends = {flow.point_of(send.node) for send in sender.sends}
    for other in held_channels(file, function):
        told = other.of("send", "close")
        if other.binding is channel.binding or other.escapes or not told:
            continue
        if any(o.function is not body for o in told) or not other.unbuffered:
            continue
        points = [flow.point_of(o.node) for o in told if not o.node.is_deferred]
        if None in points or any(sends & flow.reachable(p) for p in points if p is not None):
            continue
        found += [o.anchor for o in other.of("receive", "range")]
    return found


def _launched(file: GoFile, channel: Channel, sender: Sender) -> Count | None:
    """Return how many goroutines are launched at a place for one channel."""
    count = Count()
    launch = sender.launch
    if sender.place is not launch.node:
        inner = _in_helper(file, sender)
        if inner is None:
            return None
        count = inner
    return rounds(file, sender.loop, channel.make, count)


def _in_helper(file: GoFile, sender: Sender) -> Count | None:
    """Return how many goroutines one call of a helper launches, in the words of its caller."""
    launch = sender.launch
    decl = file.callee(sender.place)
    if decl is None and launch.loop is None and launch.function is not None:
        return Count()  # a literal in a variable
    if decl is None or launch.function is None:
        return None
    count = Count()
    loop = launch.loop
    while loop is not None:
        times = iterations(decl.file, loop)
        if times is None or len(times.nodes) > 1:
            return None
        if times.nodes:
            argument = _argument(file, decl.file, launch.function, sender.place, times.nodes[0])
            if argument is None:
                return None
            name = _parameter(times.nodes[0]).name
            terms = tuple(re.sub(rf"\b{re.escape(name)}\b", argument.name, t) for t in times.terms)
            times = Count(times.factor, terms, (argument,))
        count = product(count, times)
        loop = innermost_loop(loop)
    return count


def _argument(file: GoFile, other: GoFile, helper: Node, call: Node, name: Node) -> Node | None:
    """Return what a caller passes for a parameter of a helper that never changes it."""
    name = _parameter(name)
    binding = other.binding(name) if name.kind == "identifier" else None
    if binding is None or binding.kind != "parameter" or not is_assigned_once(binding):
        return None
    position = position_of(helper, binding)
    arguments = call["arguments"].children
    if position is None or position >= len(arguments):
        return None
    argument = arguments[position]
    return argument if argument.kind in {"identifier", "selector_expression"} else None


def _parameter(bound: Node) -> Node:
    """Return what a loop's bound is or counts: `n`, or `xs` of `len(xs)`."""
    return bound["arguments"].children[0] if bound.kind == "call_expression" else bound


def waits_first(
    file: GoFile, flow: Flow, sender: Sender, receives: list[ChannelOperation]
) -> Node | None:
    """Return the Wait that the function comes to, for the goroutine, before it receives.

    Of named functions and an errgroup's goroutines: `send-without-receiver` knows the others.
    """
    literal = sender.launch.literal
    if literal is not None and sender.launch.kind != "errgroup":
        return None
    start = flow.point_of(sender.place)
    points = {flow.point_of(r.anchor) for r in receives}
    if start is None or not receives or None in points:
        return None
    ahead = flow.reachable(start, stop=points.__contains__)
    for point in sorted((p for p in ahead if p not in points), key=lambda p: p.node.start):
        for call in point.node.own():
            if is_wait(call) and call.function is flow.function:
                if _waits_for(file, call, sender):
                    return call
    return None


def is_wait(node: Node) -> bool:
    """Return whether a node is a call of Wait."""
    return node.kind == "call_expression" and node["function"].name.endswith(".Wait")


def _waits_for(file: GoFile, call: Node, sender: Sender) -> bool:
    """Return whether a Wait waits for the goroutine to end, and that is after its send."""
    launch = sender.launch
    if call.up("defer_statement", "go_statement") is not None:
        return False
    if launch.kind in {"errgroup", "waitgroup"}:
        return launch.node["function"]["operand"].text == call["function"]["operand"].text
    wait = waitgroup_call(file, call)
    counter = counter_of(file, wait) if wait is not None else None
    if counter is None or counter.escapes:
        return False
    return any(
        done.deferred is not None and any(x.node is launch.node for x in launches)
        for done in counter.of("Done")
        if (launches := counter.launches_that_run(done))
    )


def is_shared(send: ChannelOperation, channel: Channel) -> bool:
    """Return whether a send stands in a function that others, too, launch with their channels.

    Each of them leaks by itself and is mended by itself: each has a finding where it launches.
    """
    top = send.node.tree.declaration_at(send.node.start)
    if top is None or top.node.contains(channel.make):
        return False
    decl = declaration_of(send.file, top.node)
    return decl is not None and len(callers(decl)) > 1


def steps_to(send: ChannelOperation, sender: Sender) -> Iterator[Node]:
    """Yield a send and the calls by which its goroutine comes to it."""
    yield send.node
    node = send.node
    for call in reversed(send.calls):
        if node.function is sender.launch.body or call.is_launched:
            return
        yield call
        node = call


def nothing_follows(step: Node) -> bool:
    """Return whether the goroutine only ends (or closes the channel) after a send or a call."""
    function = step.function
    if function is None:
        return False
    flow = flow_of(function)
    point = flow.point_of(step)
    if point is None:
        return False
    for later in flow.reachable(point):
        node = later.node
        if later is flow.end or node.kind in {"return_statement", "send_statement"}:
            continue
        if node.kind == "expression_statement" and node.text.startswith((b"close(", b"log.")):
            continue
        return False
    return True
