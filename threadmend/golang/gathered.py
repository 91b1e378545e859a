"""Gathered: what a function can only mean to return, when none of its statements says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.access import Use, uses_of
from threadmend.golang.functions import call_of, result_nodes, results_are_named
from threadmend.golang.scope import SCOPES, Binding, bindings_in
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["return_of_gathered"]


def return_of_gathered(file: GoFile, function: Node, loop: Node, place: Node) -> str | None:
    """Return the statement that returns what a loop has gathered, from a place inside of it.

    A bare return where the results have names; else the one variable of the function's body
    that has the type of its only result, and that the loop changes.
    """
    results = result_nodes(function)
    if results_are_named(function):
        return "return" if _all_seen(function, place) else None
    if len(results) != 1 or results[0].text == b"error":
        return None
    type_ = file.type_from(results[0])
    inference = file.package.workspace.inference
    alike = [b for b in _above(function, loop) if inference.binding_type(b) == type_]
    if type_ is None or len(alike) != 1 or alike[0].kind != "variable":
        return None
    if not any(_changes(use) for use in uses_of(alike[0]) if loop.contains(use.node)):
        return None
    if alike[0].name in _inner_names(function, place):
        return None
    return f"return {alike[0].name}"


def _above(function: Node, loop: Node) -> Iterator[Binding]:
    """Yield the parameters of a function, and the variables that it declares before a loop."""
    for scope in (function, function["body"]):
        for group in bindings_in(scope).values():
            yield from (b for b in group if b.is_variable and b.node.end <= loop.start)


def _all_seen(function: Node, place: Node) -> bool:
    """Return whether no variable hides a result at a place: a bare return is an error there."""
    names = {n.name for d in function["result"].children for n in d.all("name")}
    return "_" not in names and not names & _inner_names(function, place)


def _inner_names(function: Node, place: Node) -> set[str]:
    """Return the names that are declared between a function's body and a place in it."""
    found: set[str] = set()
    for scope in place.ancestors():
        if scope is function["body"]:
            break
        if scope.kind in SCOPES:
            found |= set(bindings_in(scope))
    return found


def _changes(use: Use) -> bool:
    """Return whether a use writes a variable, or calls a method of it that may."""
    if use.kind in {"write", "update", "store", "address"}:
        return True
    selector = use.node.parent
    return (
        selector is not None
        and selector.kind == "selector_expression"
        and call_of(selector) is not None
    )
