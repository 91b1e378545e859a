"""What ticker-not-stopped and time-tick-leak share: calls of package time, functions that end."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import uses_of
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Exit, Point, flow_of
from threadmend.golang.scope import Binding, declared_by, declared_name
from threadmend.golang.stops import leaves_loop
from threadmend.golang.syntax import FUNCTIONS, Node

__all__ = ["COLLECTED", "first_exit", "is_time_call", "only_user", "ranged_for_ever", "received"]

COLLECTED = (1, 23)
"""From this language version on the runtime collects tickers that nobody refers to."""


def is_time_call(file: GoFile, call: Node) -> bool:
    """Return whether a call is one of a function of package time."""
    function = call["function"]
    return (
        function.kind == "selector_expression"
        and function["operand"].kind == "identifier"
        and file.imported(function["operand"].name) == "time"
        and file.binding(function["operand"]) is None
        and len(call["arguments"].children) == 1
    )


def first_exit(file: GoFile, function: Node, start: Node, stops: set[Node]) -> Exit | None:
    """Return an exit reached after `start` without passing one of the nodes in `stops`.

    The end of the process is none, and that of package main's `main` neither.
    """
    name = function.get("name")
    if name is not None and name.name == "main" and file.package.name == "main":
        return None
    flow = flow_of(function)
    point = flow.point_of(start)
    if point is None or not flow.complete:
        return None
    points: set[Point | None] = {flow.point_of(node) for node in stops}
    exits = flow.exits_from(point, stop=lambda p: p in points)
    return next((e for e in exits if e.kind in {"return", "end", "goexit"}), None)


def received(channel: Node) -> bool:
    """Return whether a channel expression is received from, or ranged over, where it stands.

    Or everywhere under the name that it gets there: `tick := ticker.C`.
    """
    named = _named(channel)
    if named:
        return all(received(use) for use in named)
    parent = channel.parent
    if parent is None:
        return False
    if parent.kind == "unary_expression":
        return parent["operator"].kind == "<-"
    return parent.kind == "range_clause" and channel.field == "right"


def ranged_for_ever(channel: Node) -> bool:
    """Return whether a loop ranges over a ticker's channel, which nobody closes, and stays."""
    if any(ranged_for_ever(use) for use in _named(channel)):
        return True
    clause = channel.parent
    if clause is None or clause.kind != "range_clause" or clause.parent is None:
        return False
    return not leaves_loop(clause.parent)


def _named(channel: Node) -> list[Node]:
    """Return the uses of the variable that a declaration gives a channel to, if one does."""
    name = declared_name(channel)
    binding = declared_by(name) if name is not None else None
    return [use for use in binding.uses if use is not name] if binding is not None else []


def only_user(binding: Binding) -> Node | None:
    """Return the function in which every use of a variable stands, None if there are several."""
    functions = {id(f): f for f in _using(binding)}
    return next(iter(functions.values())) if len(functions) == 1 else None


def _using(binding: Binding) -> Iterator[Node]:
    for use in uses_of(binding):
        if use.kind != "declare":
            function = use.node.up(*FUNCTIONS)
            if function is not None:
                yield function
