"""What a deferred function surely does, and what it only may do."""

from __future__ import annotations

from threadmend.golang.flow import Defer, flow_of
from threadmend.golang.syntax import Node

__all__ = ["deferred_calls"]


def deferred_calls(defer: Defer) -> tuple[list[Node], list[Node]]:
    """Return the calls that run whenever a defer does, and those that may or may not run.

    For a deferred literal these are the calls of its body, those of literals called in
    place included; for any other function it is the deferred call itself.
    """
    if defer.called.kind != "func_literal":
        return [defer.call], []
    return _calls(defer.called)


def _calls(literal: Node) -> tuple[list[Node], list[Node]]:
    always: list[Node] = []
    sometimes: list[Node] = []
    flow = flow_of(literal)
    in_place = {literal for _, literal in flow.in_place}
    for point in flow.points:
        if not point.live or point is flow.entry:
            continue
        sure = flow.postdominates(point, flow.entry)
        if point.node.kind == "go_statement":
            sure = False
        for node in point.own():
            if node.kind == "call_expression":
                certain = sure and not _short_circuited(node, point.node)
                (always if certain else sometimes).append(node)
            elif node in in_place:
                inner = _calls(node)
                (always if sure else sometimes).extend(inner[0])
                sometimes.extend(inner[1])
    return always, sometimes


def _short_circuited(node: Node, root: Node) -> bool:
    """Return whether an expression is the right operand of `&&` or `||` below `root`."""
    while node is not root and node.parent is not None:
        parent = node.parent
        if node.field == "right" and parent.kind == "binary_expression":
            if parent["operator"].kind in {"&&", "||"}:
                return True
        node = parent
    return False
