"""How many values a function itself sends at most."""

from __future__ import annotations

from collections import Counter

from threadmend.golang.channels import Channel, ChannelOperation, runner_of
from threadmend.golang.counts import Count, rounds
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Point, flow_of
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.syntax import Node

__all__ = ["outermost_of", "total_of"]


def total_of(file: GoFile, function: Node, channel: Channel) -> Count | None:
    """Return how many values the function itself sends at most, None without a name for it."""
    terms: dict[tuple[str, ...], Count] = {}
    counted: dict[Node | None, list[ChannelOperation]] = {}
    for send in channel.of("send"):
        runner = runner_of(send, function)
        if isinstance(runner, Launch) and not _may_come_first(function, channel, runner):
            continue
        if runner is not function or (send.calls and innermost_loop(send.node) is not None):
            return None
        counted.setdefault(innermost_loop(send.anchor), []).append(send)
    for loop, sends in counted.items():
        count = rounds(file, loop, channel.make)
        if count is None:
            return None
        known = terms.get(count.terms)
        factor = count.factor * _in_one_round(function, sends) + (known.factor if known else 0)
        terms[count.terms] = Count(factor, count.terms, count.nodes)
    if not terms:
        return None
    parts = [str(c) for c in terms.values()]
    if len(parts) == 1:
        return next(iter(terms.values()))
    nodes = tuple(n for c in terms.values() for n in c.nodes)
    return Count(1, ("+".join(sorted(parts, key=str.isdigit)),), nodes)


def _in_one_round(function: Node, sends: list[ChannelOperation]) -> int:
    """Return how many of some sends one round of their loop makes at most: not both of an `if`."""
    flow = flow_of(function)
    loop = innermost_loop(sends[0].anchor)
    head = set[Point]()
    if loop is not None:
        head = {
            p for p in flow.points if loop.contains(p.node) and not loop["body"].contains(p.node)
        }
    placed = Counter(flow.point_of(s.anchor) for s in sends)
    points = sorted((p for p in placed if p is not None), key=lambda p: p.node.start, reverse=True)
    if None in placed or not flow.complete or (loop is not None and not head):
        return len(sends)
    longest: dict[Point, int] = {}
    for point in points:
        after = flow.reachable(point, stop=head.__contains__)
        if any(p in after and p not in longest for p in points):
            return len(sends)  # a jump leads back
        longest[point] = placed[point] + max((longest[p] for p in points if p in after), default=0)
    return max(longest.values())


def _may_come_first(function: Node, channel: Channel, launch: Launch) -> bool:
    """Return whether the function itself may send after it launched another sender."""
    flow = flow_of(function)
    start = flow.point_of(outermost_of(launch, function) or launch.node)
    if start is None:
        return True
    reached = flow.reachable(start)
    own = [s for s in channel.of("send") if runner_of(s, function) is function]
    return any(flow.point_of(send.anchor) in reached for send in own)


def outermost_of(launch: Launch, function: Node) -> Node | None:
    """Return the node of the function itself in which a launch happens."""
    node: Node | None = launch.node
    while node is not None and node.function is not function:
        node = node.function
    return node
