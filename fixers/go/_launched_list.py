"""Goroutines that a loop launches from a list of functions, each of them once.

for _, run := range []func(context.Context){m.measure, m.report} {
    m.wg.Add(1)
    go run(ctx)
}

Likewise where the list is a variable of its own, and where a struct without a name has the
function in one of its fields.
"""

from __future__ import annotations

from threadmend.golang.access import is_assigned_once, uses_of
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch
from threadmend.golang.launched import body_run_by
from threadmend.golang.literal_fields import field_value
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node

__all__ = ["is_of_list", "launched_list"]


def is_of_list(launch: Launch) -> bool:
    """Return whether a launch stands for one element of a list that a loop launches."""
    return launch.kind == "go" and launch.value is not None


def launched_list(file: GoFile, launch: Launch) -> list[Launch]:
    """Return a launch for each element of the list, whose place is its `value`.

    None at all where the code of one cannot be seen.
    """
    call = launch.call
    if call is None or launch.body is not None or launch.kind != "go":
        return []
    found = []
    for value in _values(file, call["function"]):
        body, decl = body_run_by(file, value)
        if body is None:
            return []
        found.append(Launch("go", launch.node, call, body, decl, value))
    return found


def _values(file: GoFile, function: Node) -> list[Node]:
    """Return what the elements of a list give for a function expression, none if unknown."""
    name, field = function, ""
    if function.kind == "selector_expression":
        name, field = function["operand"], function["field"].name
    binding = file.binding(name) if name.kind == "identifier" else None
    listed = _list_of(file, binding) if binding is not None else None
    if listed is None:
        return []
    values = []
    for element in listed["body"].children:
        if element.kind == "keyed_element":
            element = element.children[-1]
        value = element.children[0] if element.kind == "literal_element" else element
        if field:
            given = field_value(file, value, field) if value.kind == "literal_value" else None
            if given is None:
                return []
            value = given
        values.append(value)
    return values


def _list_of(file: GoFile, binding: Binding) -> Node | None:
    """Return the literal over whose elements a variable ranges, which nothing changes."""
    clause = binding.declaration
    if binding.kind != "range" or clause.kind != "range_clause" or binding.index != 1:
        return None
    if any(use.kind in {"write", "update", "address"} for use in uses_of(binding)):
        return None
    ranged = clause["right"]
    if ranged.kind == "identifier":
        known = file.binding(ranged)
        if known is None or known.kind != "variable" or not is_assigned_once(known):
            return None
        if any(use is not known.node and not _is_read(use) for use in known.uses):
            return None
        made = known.value
    else:
        made = ranged
    return made if made is not None and made.kind == "composite_literal" else None


def _is_read(use: Node) -> bool:
    """Return whether a list is ranged over or counted at a place."""
    above = use.parent
    if above is None or (above.kind == "range_clause" and use.field == "right"):
        return above is not None
    call = above.parent if above.kind == "argument_list" else None
    return call is not None and call["function"].text == b"len"
