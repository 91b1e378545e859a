"""Pauses: where a body gives a signal to another goroutine, or waits for one.

Channel operations and groups, by the class of the channel or group; locks are no pauses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.access import lock_class
from threadmend.golang.crowds import own_nodes
from threadmend.golang.flow import Point, flow_of
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan, is_named

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["SignalOf", "pauses", "signal_at", "waits_in"]

# Whether it gives a signal or waits for one; `channel` or `group`, and its class (None: any).
SignalOf = tuple[str, tuple[str, str | None]]

_MAY = re.compile(rb"<-|\brange\b|\.(?:Wait|Acquire|Join|Finish)\(")
_DEPTH = 2


def pauses(
    file: GoFile, body: Node, depth: int = _DEPTH, *, clocks: bool = True
) -> frozenset[Point]:
    """Return the points of a body at which it waits: also in a call that cannot but wait.

    `clocks`: a wait for a timer's channel is one, too. It lets time pass, and orders nothing.
    """
    known: dict[tuple[Node, int, bool], frozenset[Point]]
    known = file.package.facts.setdefault("pauses", {})
    key = (body, depth, clocks)
    if key not in known:
        known[key] = frozenset()
        known[key] = frozenset(_pauses(file, body, depth, clocks))
    return known[key]


def _pauses(file: GoFile, body: Node, depth: int, clocks: bool) -> Iterator[Point]:
    flow = flow_of(body)
    waits = _MAY.search(body.text) is not None
    for node in own_nodes(file, body):
        if node.kind not in _SIGNALLING:
            continue
        if not clocks and _is_clock(file, node.get("operand")):
            continue
        if waits and any(way == "acquire" for way, _ in signal_at(file, node)):
            if not _is_deferred(node, body):
                point = flow.point_of(_in(node, body))
                if point is not None:
                    yield point
        elif node.kind == "call_expression" and depth > 0 and not node.runs_later:
            decl = file.callee(node)
            if decl is None or decl.file.package.module is None or not decl.sound:
                continue
            if decl.node.get("body") is not None and _must_wait(decl.file, decl.node, depth - 1):
                point = flow.point_of(_in(node, body))
                if point is not None:
                    yield point


def waits_in(file: GoFile, defer: Node) -> bool:
    """Return whether a deferred call, or the literal that it calls, waits for a group's end."""
    if not _MAY.search(defer.text):
        return False
    return any(
        node.kind == "call_expression" and ("acquire", "group") in _ways(file, node)
        for node in defer.walk()
        if not any(o.kind == "go_statement" for o in node.ancestors() if defer.contains(o))
    )


def _ways(file: GoFile, node: Node) -> set[tuple[str, str]]:
    return {(way, of[0]) for way, of in signal_at(file, node)}


# The kinds of nodes that `signal_at` knows.
_SIGNALLING = frozenset({"send_statement", "unary_expression", "range_clause", "call_expression"})


def _must_wait(file: GoFile, body: Node, depth: int) -> bool:
    """Return whether every run of a function waits before it returns something.

    One that gives up at once (`return nil, false`) does not: its caller has nothing to go on with.
    """
    stops = pauses(file, body, depth)
    if not stops:
        return False
    flow = flow_of(body)
    left = flow.exits_from(flow.entry, stop=stops.__contains__)
    return flow.complete and all(e.kind == "return" and _gives_up(body, e.node) for e in left)


def _gives_up(body: Node, statement: Node) -> bool:
    """Return whether a return says that there is nothing: its last result is false."""
    result = body.get("result")
    if result is None:
        return False
    if any(child.kind == "expression_list" for child in statement.children):
        return statement.text.endswith(b"false")
    last = result.children[-1] if result.children else result
    return last.kind == "parameter_declaration" and last.text.endswith(b" bool")


def _is_deferred(node: Node, body: Node) -> bool:
    at = node.parent
    while at is not None and at is not body:
        if at.kind in {"defer_statement", "go_statement"}:
            return True
        at = at.parent
    return False


def _in(node: Node, body: Node) -> Node:
    """Return what stands for a node in the body itself: the literal that holds it."""
    while node.function is not None and node.function is not body:
        node = node.function
    return node


def signal_at(file: GoFile, node: Node) -> Iterator[SignalOf]:
    """Yield what a node does for others: gives a signal, or waits for one."""
    operand: Node | None = None
    ways: tuple[str, ...] = ()
    kind = "channel"
    if node.kind == "send_statement":
        operand, ways = node["channel"], ("release", "acquire")
    elif node.kind == "unary_expression" and node["operator"].kind == "<-":
        operand, ways = node["operand"], ("acquire", "release")
    elif node.kind == "range_clause":
        if isinstance(file.underlying(file.type_of(node["right"])), Chan):
            operand, ways = node["right"], ("acquire",)
    elif node.kind == "call_expression":
        function = node["function"]
        arguments = node["arguments"].children
        if function.kind == "identifier" and function.name == "close" and arguments:
            operand, ways = arguments[0], ("release",)
        elif function.kind == "selector_expression":
            operand, kind = function["operand"], "group"
            name = function["field"].name
            ways = _CALLS.get(name, ())
    # What a call returns is a clock, or a context's channel.
    if operand is not None and ways and operand.kind != "call_expression":
        class_ = lock_class(file, operand)
        yield from ((way, (kind, class_)) for way in ways)


def _is_clock(file: GoFile, operand: Node | None) -> bool:
    """Return whether a channel is that of a timer: nobody else gives a signal there."""
    if operand is None or operand.kind != "selector_expression" or operand["field"].name != "C":
        return False
    return is_named(file.type_of(operand["operand"]), "time.Timer", "time.Ticker")


_CALLS = {
    **dict.fromkeys(("Done", "Signal", "Broadcast", "Release"), ("release",)),
    **dict.fromkeys(("Wait", "Acquire", "Join", "Finish"), ("acquire",)),
}
