"""Close a channel only once

Closing a closed channel panics, and the panic takes the whole process down. It happens when
two goroutines both think that they are the one to finish, when a deferred close meets an
explicit one on some path, when a goroutine of an object closes what the method that stops the
object closes as well, or when somebody calls `Close` a second time, as deferred clean-up
code does all the time.

Not reported: a close that a `sync.Once`, a flag, an atomic or any other state of the object
decides about; a select on the channel itself under a lock; a channel that is made anew after
it was closed; a function that recovers from the panic; a round that the closed channel ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import is_assigned_once
from threadmend.golang.channels import (
    Channel,
    ChannelOperation,
    runner_of,
)
from threadmend.golang.counts import iterations
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Flow, Point, flow_of
from threadmend.golang.goroutines import Launch, innermost_loop, launch_of_literal
from threadmend.golang.iterations import decided_once
from threadmend.golang.local_fields import held_channels
from threadmend.golang.locks import runs_in_place
from threadmend.golang.makers import making
from threadmend.golang.syntax import Node
from threadmend.model import Finding, Fix, Related

from ._close_alone import decided_alone
from ._close_given import closed_again, gives_up
from ._close_of_parameter import closed_for_others
from ._close_twice import closed_by_methods
from ._each_once import each_once
from ._one_close import Pair, fix_of, is_deferred

CATEGORY = "channel"
GATE = rb"\bclose\("

_CLOSES_TWICE = re.compile(rb"\bclose\((?s:.*)\bclose\(")
_MAKES_AND_CLOSES = re.compile(rb"\bmake\((?s:.*)\bclose\(")


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the closes after which the same channel may be closed again."""
    yield from each_once(file, _in_one_function, closed_by_methods, closed_for_others)


def _in_one_function(file: GoFile) -> Iterator[Finding]:
    for function in file.functions(making(file.package, _MAKES_AND_CLOSES)):
        for channel in held_channels(file, function):
            closes = channel.of("close")
            if closes:
                yield from _local(file, function, channel, closes)
    for function in file.functions(_CLOSES_TWICE):
        yield from closed_again(file, function)


def _local(
    file: GoFile, function: Node, channel: Channel, closes: list[ChannelOperation]
) -> Iterator[Finding]:
    flow = flow_of(function)
    if not flow.complete or not is_assigned_once(channel.binding):
        return
    own = [c for c in closes if runner_of(c, function) is function and _is_plain(c)]
    launched = [
        (c, runner)
        for c in closes
        if isinstance(runner := runner_of(c, function), Launch) and _always_closes(c)
    ]
    pair = (
        _in_sequence(file, function, channel, flow, own)
        or _by_goroutines(file, function, channel, launched)
        or _by_both(flow, own, launched)
        or _by_some(file, function, channel, flow, closes)
    )
    body = function
    if pair is None:
        body, pair = _in_goroutine(file, function, channel, closes)
    if pair is None:
        return
    fix, reason = fix_of(file, function, body, channel, pair, closes)
    yield _finding(channel, pair, fix, reason)


def _in_goroutine(
    file: GoFile, function: Node, channel: Channel, closes: list[ChannelOperation]
) -> tuple[Node, Pair | None]:
    """Find two closes on one path of a launched literal that captures the channel."""
    literals: dict[Node, list[ChannelOperation]] = {}
    for close in closes:
        body = close.anchor.function
        while body is not None and body is not function:
            launch = launch_of_literal(file, body) if body.kind == "func_literal" else None
            if launch is not None and launch.literal is body:
                if runner_of(close, body) is body and _is_plain(close):
                    literals.setdefault(body, []).append(close)
                break
            body = body.function
    for literal, own in literals.items():
        flow = flow_of(literal)
        pair = _in_sequence(file, literal, channel, flow, own) if flow.complete else None
        if pair is not None:
            return literal, pair
    return function, None


def _is_plain(close: ChannelOperation) -> bool:
    """Return whether a close is a statement of its own, and the first on its path."""
    parent = close.node.parent
    return parent is not None and parent.kind in {"expression_statement", "defer_statement"}


def _always_closes(close: ChannelOperation) -> bool:
    """Return whether the goroutine's body closes on every path, with nothing to decide it."""
    body = close.node.function
    if body is None or not _is_plain(close) or (close.calls and close.node.function is None):
        return False
    flow = flow_of(body)
    point = flow.point_of(close.node)
    if point is None or not flow.complete:
        return False
    return not flow.exits_from(flow.entry, stop=lambda p: p is point) or (
        close.node.parent is not None
        and close.node.parent.kind == "defer_statement"
        and close.node.parent.parent is body["body"]
    )


def _in_sequence(
    file: GoFile, function: Node, channel: Channel, flow: Flow, own: list[ChannelOperation]
) -> Pair | None:
    """Find two closes on one path of the function, deferred ones included."""
    make = flow.point_of(channel.make)
    placed: list[tuple[ChannelOperation, Point, bool]] = []
    for close in own:
        deferred = is_deferred(close, function)
        point = flow.point_of(deferred or close.anchor)
        if point is None:
            continue
        inner = close.node.function
        if inner is not function and not close.calls:
            if inner is None or not _always_closes(close):
                continue
            if deferred is None and not runs_in_place(file, inner):
                continue
        if close.calls and not _always_closes(close):
            continue
        placed.append((close, point, deferred is not None))
    left = _left_when_closed(flow, channel)
    for close, point, late in placed:
        if gives_up(close) or _asks_itself(close):
            continue
        after = flow.reachable(point, stop=lambda p: p is make or p in left) - left
        loop = innermost_loop(close.anchor)
        if point in after and not (
            loop and (decided_once(file, close.anchor, loop) or _ends(file, channel, loop))
        ):
            return Pair(close, None, "in the next round of the loop")
        for other, other_point, _ in placed:
            if other is close or other_point not in after or other_point is point:
                continue
            if late:
                return Pair(other, close, "when the deferred close runs")
            return Pair(close, other, "further down")
    return None


def _left_when_closed(flow: Flow, channel: Channel) -> set[Point]:
    """Return where `select { case <-ch: return; default: … }` goes on before the close."""
    found = set[Point]()
    for receive in channel.of("receive"):
        case = receive.node.up("communication_case")
        if (
            receive.select is None
            or case is None
            or not case["communication"].contains(receive.node)
        ):
            continue
        others = [c for c in receive.select.children if c is not case and c.kind.endswith("_case")]
        last = case.statements[-1:]
        if len(others) != 1 or others[0].kind != "default_case" or not others[0].statements:
            continue
        if last and last[0].kind == "return_statement":
            point = flow.point_of(others[0].statements[0])
            found |= {point} if point is not None else set()
    return found


def _asks_itself(close: ChannelOperation) -> bool:
    """Return whether a close is what `select { case <-ch: default: close(ch) }` comes to."""
    case = close.anchor.up("default_case")
    select = case.parent if case is not None else None
    if case is None or select is None or close.anchor.statement not in case.statements:
        return False
    asked = [c.get("communication") for c in select.children if c.kind == "communication_case"]
    if close.anchor.kind != "call_expression" or not close.anchor["arguments"].children:
        return False
    own = b"<-" + close.anchor["arguments"].children[0].text
    return any(communication is not None and communication.text == own for communication in asked)


def _ends(file: GoFile, channel: Channel, loop: Node) -> bool:
    """Return whether a loop asks an object that got the channel whether to go on.

    `it := newIterator(interrupt); for it.Next() { close(interrupt); … }`
    """
    condition = loop.get("condition")
    asked = condition.get("function") if condition is not None else None
    owner = asked["operand"] if asked is not None and asked.kind == "selector_expression" else None
    binding = file.binding(owner) if owner is not None and owner.kind == "identifier" else None
    return binding is not None and any(
        use.up("argument_list") is not None and binding.declaration.contains(use)
        for use in channel.binding.uses
    )


def _by_goroutines(
    file: GoFile,
    function: Node,
    channel: Channel,
    launched: list[tuple[ChannelOperation, Launch]],
) -> Pair | None:
    """Find a goroutine that is launched several times and always closes, or two of them."""
    for close, launch in launched:
        if launch.function is not function:
            continue
        loop = launch.loop
        if loop is None or loop.contains(channel.make):
            continue
        times = iterations(file, loop)
        if times is not None and times.is_constant and times.factor < 2:
            continue
        if decided_once(file, launch.node, loop):
            continue
        point = flow_of(function).point_of(launch.node)
        if point is not None and flow_of(function).in_loop(point):
            return Pair(close, None, "by every goroutine that the loop launches")
    for close, launch in launched:
        for other, second in launched:
            if launch.node.start < second.node.start and launch.function is second.function:
                flow = flow_of(launch.function) if launch.function is not None else None
                start = flow.point_of(launch.node) if flow else None
                end = flow.point_of(second.node) if flow else None
                if flow and start and end and end in flow.reachable(start):
                    return Pair(close, other, "by another goroutine")
    return None


def _by_some(
    file: GoFile, function: Node, channel: Channel, flow: Flow, closes: list[ChannelOperation]
) -> Pair | None:
    """Find goroutines of a loop that close on a condition which several of them may meet."""
    if channel.of("send"):
        return None  # a producer's: who closes is not what decides
    for close in closes:
        launch = runner_of(close, function)
        if not isinstance(launch, Launch) or launch.function is not function or close.calls:
            continue
        loop, point = launch.loop, flow.point_of(launch.node)
        if loop is None or loop.contains(channel.make) or point is None or not flow.in_loop(point):
            continue
        if close.node.function is launch.body and decided_alone(file, close.node):
            return Pair(close, None, "by every goroutine that comes here")
    return None


def _by_both(
    flow: Flow, own: list[ChannelOperation], launched: list[tuple[ChannelOperation, Launch]]
) -> Pair | None:
    """Find a goroutine that always closes, and a close by the function that launched it."""
    for close, launch in launched:
        start = flow.point_of(launch.node)
        if start is None or launch.function is not flow.function:
            continue
        after = flow.reachable(start)
        for other in own:
            deferred = is_deferred(other, flow.function)
            point = flow.point_of(deferred or other.anchor)
            if other.node.function is not flow.function and deferred is None:
                continue
            if point is not None and (point in after or (deferred and start in after | {start})):
                if not deferred or start in flow.reachable(point) or point in after:
                    return Pair(other, close, "by the goroutine too")
    return None


def _finding(channel: Channel, pair: Pair, fix: Fix | None, reason: str) -> Finding:
    node = pair.first.node
    related = [Related(channel.make.path, channel.make.start, channel.make.end, "made here")]
    if pair.second is not None:
        other = pair.second.node
        related.append(Related(other.path, other.start, other.end, "closed here too"))
    return Finding(
        path=node.path,
        start=node.start,
        end=node.end,
        message=f"{channel.binding.name} may be closed twice: {pair.why}",
        fixes=(fix,) if fix else (),
        related=tuple(related),
        reason=reason,
    )
