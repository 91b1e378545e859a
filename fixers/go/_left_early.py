"""Functions that stop receiving before all results have come, and then close the channel.

defer close(answers)                  acks := make(chan bool, len(nodes))
for range mirrors {                   …
    if a := <-answers; a != nil {     for range nodes {
        return a                          if !<-acks { break }
    }                                 }
}                                     close(acks)
"""

from __future__ import annotations

from threadmend.golang.channels import Channel
from threadmend.golang.counts import rounds
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Flow, Point
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.syntax import Node

from ._leaked_senders import senders_of, total_of

__all__ = ["left_early"]


def left_early(
    file: GoFile, function: Node, channel: Channel, flow: Flow, close: Point, waits: set[Point]
) -> bool:
    """Return whether the close is reached from inside a loop that receives one value of each.

    `waits` are the points that say that the senders have ended. The loop's own receive is none
    of them on a path that leaves the loop before its last round.
    """
    senders = senders_of(file, function, channel) or []
    total = total_of(file, channel, senders)
    if total is None or (total.is_constant and total.factor == 1):
        return False
    for receive in channel.of("receive"):
        anchor = receive.anchor
        loop = innermost_loop(anchor)
        point = flow.point_of(anchor)
        if loop is None or point is None or anchor.function is not function:
            continue
        if any(loop.contains(s.place) for s in senders):
            continue
        if str(rounds(file, loop, channel.make)) == str(total):
            if _comes_to(flow, loop, point, close, waits):
                return True
    return False


def _comes_to(flow: Flow, loop: Node, receive: Point, close: Point, waits: set[Point]) -> bool:
    """Return whether a close follows a round of a receiving loop without another round."""
    inside = {p for p in flow.points if p.live and loop["body"].contains(p.node)}
    heads = {p for p in flow.points if loop.contains(p.node)} - inside
    stops = (waits - {receive}) | heads
    begins = [s for head in heads for s in head.successors if s in inside and s not in stops]
    runs = {p for b in begins for p in (b, *flow.reachable(b, stop=stops.__contains__))}
    early = [p for p in runs & inside if _leaves(p, inside) and _is_early(loop, p.node)]
    if close.node.kind != "defer_statement":
        return any(close in flow.reachable(p, stop=(stops - {close}).__contains__) for p in early)
    exits = [e for p in early for e in flow.exits_from(p, stop=stops.__contains__)]
    return receive in flow.reachable(close) and any(e.kind in {"return", "end"} for e in exits)


def _leaves(point: Point, inside: set[Point]) -> bool:
    return not point.successors or any(s not in inside for s in point.successors)


def _is_early(loop: Node, node: Node) -> bool:
    """Return whether no test of the number of the round stands around a way out of a loop."""
    clause = next(c for c in loop.children if c.kind in {"range_clause", "for_clause"})
    left = clause.get("left") or clause.get("initializer")
    names = {n.text for n in left.find("identifier")} if left is not None else set()
    for ancestor in node.ancestors():
        if ancestor is loop:
            return True
        if ancestor.kind == "if_statement":
            if any(n.text in names for n in ancestor["condition"].find("identifier")):
                return False
    return True
