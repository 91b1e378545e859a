"""Handovers: where a function gives away an object that it has made.

    job := &job{}
    batch = append(batch, job)      // batch holds it now
    s.queue.Add(batch)              // others may use it from here on

What holds the object is followed through the function's own variables. Given away is what
goes into a channel, is captured or passed at a launch, or is put by a method whose name says
so into an object that was there before: a queue, a pool, a scheduler.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.access import root_name
from threadmend.golang.flow import flow_of
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["given_away"]

_TAKES = re.compile(r"(?:Add|Put|Push|Enqueue|Submit|Schedule|Offer|Publish|Dispatch)(?![a-z])")
_HOLDS = frozenset({"short_var_declaration", "assignment_statement", "var_spec", "range_clause"})


def given_away(file: GoFile, binding: Binding, before: Node) -> Node | None:
    """Return where an object that a local variable points to is given away before a node runs."""
    function = before.function
    if function is None or binding.function is not function:
        return None
    flow = flow_of(function)
    end = flow.point_of(before)
    if end is None:
        return None
    again = flow.point_of(binding.node)  # the next round's object is another one
    for place in _places(file, function, _holders(file, binding, function)):
        start = flow.point_of(place)
        if start is not None and start is not end:
            if end in flow.reachable(start, stop=lambda p: p is again):
                return place
    return None


def _holders(file: GoFile, binding: Binding, function: Node) -> set[Binding]:
    """Return the variables of a function through which the object may be reached."""
    held = {binding}
    statements = [n for n in function.walk() if n.kind in _HOLDS]
    grown = True
    while grown:
        grown = False
        for statement in statements:
            if not _mentions(file, statement.get("right") or statement.get("value"), held):
                continue
            for target in _targets(statement):
                found = file.binding(target)
                if found is not None and found.kind in {"variable", "range"} and found not in held:
                    if found.function is function:
                        held.add(found)
                        grown = True
    return held


def _targets(statement: Node) -> Iterator[Node]:
    if statement.kind == "var_spec":
        yield from statement.all("name")
        return
    left = statement.get("left")
    names = left.children if left is not None else []
    # `for key, value := range`: the key holds nothing
    for target in names[1:] if statement.kind == "range_clause" else names:
        name = root_name(target)
        if name is not None:
            yield name


def _mentions(file: GoFile, value: Node | None, held: set[Binding]) -> bool:
    """Return whether a value holds one of the objects itself: no field of it, no result."""
    if value is None:
        return False
    if value.kind == "identifier":
        return file.binding(value) in held
    if value.kind in {"expression_list", "literal_value", "literal_element", "keyed_element"}:
        return any(_mentions(file, c, held) for c in value.children)
    if value.kind == "composite_literal":
        return _mentions(file, value["body"], held)
    if value.kind in {"parenthesized_expression", "index_expression", "slice_expression"}:
        return _mentions(file, value.children[0], held)
    if value.kind == "unary_expression" and value["operator"].kind == "&":
        return _mentions(file, value["operand"], held)
    if value.kind == "call_expression" and value["function"].text == b"append":
        return any(_mentions(file, c, held) for c in value["arguments"].children)
    return False


def _places(file: GoFile, function: Node, held: set[Binding]) -> Iterator[Node]:
    """Yield the nodes of a function itself that give one of the objects away."""
    for node in function.own():
        if node.kind == "send_statement" and _mentions(file, node["value"], held):
            yield node
        elif node.kind == "go_statement":
            if any(file.binding(n) in held for n in node.find("identifier")):
                yield node
        elif node.kind == "call_expression" and node["function"].kind == "selector_expression":
            if _TAKES.match(node["function"]["field"].name) and _is_elsewhere(file, node, held):
                if any(_mentions(file, a, held) for a in node["arguments"].children):
                    yield node


def _is_elsewhere(file: GoFile, call: Node, held: set[Binding]) -> bool:
    """Return whether a method's object was there before: it begins at none of our variables."""
    root = root_name(call["function"]["operand"])
    if root is None:
        return False
    binding = file.binding(root)
    if binding is None:
        return file.imported(root.name) is None
    return binding not in held and binding.kind in {"receiver", "parameter"}
