"""The iterations of a loop: what begins the next one, and what waits before it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.access import uses_of
from threadmend.golang.flow import Flow, Point, flow_of
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = [
    "decided_once",
    "ends_after",
    "in_one_round",
    "leaves_when_closed",
    "own_condition",
    "point_in",
    "turns",
    "waits_at",
]


def leaves_when_closed(receive: Node) -> Node | None:
    """Return the test that leaves an endless loop when the channel it receives from is closed.

    for {
        v, ok := <-ch
        if !ok {
            break
        }
    """
    values = receive.parent
    statement = values.parent if values is not None and values.field == "right" else None
    if statement is None or statement.kind != "short_var_declaration" or statement.next is None:
        return None
    names, test, body = statement["left"].children, statement.next, statement.parent
    loop = body.parent if body is not None else None
    if len(names) != 2 or test.kind != "if_statement" or test.get("initializer") is not None:
        return None
    if loop is None or [c.kind for c in loop.children] != ["for", "block"]:
        return None
    left = test["consequence"].statements
    if test["condition"].text != b"!" + names[1].text or len(left) != 1:
        return None
    return test if left[0].kind in {"break_statement", "return_statement"} else None


def own_condition(loop: Node) -> Node | None:
    """Return the condition of `for condition { … }`, of no other loop."""
    apart = {"for", "block", "range_clause", "for_clause"}
    return next((c for c in loop.children if c.kind not in apart), None)


def ends_after(loop: Node, node: Node) -> bool:
    """Return whether the loop never begins another iteration once `node` has run."""
    function = _function_of(loop)
    flow = flow_of(function)
    point = point_in(flow, node)
    if point is None or point is flow.entry:
        return False
    begins = turns(flow, loop)
    if not begins & flow.reachable(point, feasible=False):
        return True  # also where the conditions on the way are too many to follow
    return flow.complete and not (begins & flow.reachable(point)) and flow.complete


def _function_of(loop: Node) -> Node:
    function = loop.function
    assert function is not None
    return function


def point_in(flow: Flow, node: Node) -> Point | None:
    """Return the point of a function that holds a node, also from inside its literals."""
    at: Node | None = node
    while at is not None and at.function is not flow.function:
        at = at.function
    return flow.point_of(at) if at is not None else None


def turns(flow: Flow, loop: Node) -> set[Point]:
    """Return the points at which the loop's variables change: its update or its head."""
    clause = next((c for c in loop.children if c.kind in {"for_clause", "range_clause"}), None)
    if clause is None:
        # `for {` begins at itself, `for x {` at its condition.
        heads = [loop, *(c for c in loop.children if c.field != "body")]
        return {p for p in flow.points if p.node in heads}
    if clause.kind == "range_clause":
        return {p for p in flow.points if p.node is clause}
    heads = [clause.get("update") or clause.get("condition") or loop]
    return {p for p in flow.points if p.node in heads}


def waits_at(point: Point, launch: bytes) -> bool:
    """Return whether a point waits for something that a launch's text mentions.

    A select waits when one of its cases does: the others are for when it takes too long.
    """
    if point.node.kind == "select_statement":
        for case in point.node.children:
            communication = case.get("communication")
            if communication is not None:
                if any(_waits_for(node, launch) for node in communication.own()):
                    return True
        return False
    return any(_waits_for(node, launch) for node in point.own())


def _waits_for(node: Node, launch: bytes) -> bool:
    """Return whether an expression waits for something that the launch mentions."""
    if node.kind == "call_expression":
        function = node["function"]
        if function.kind != "selector_expression" or function["field"].name != "Wait":
            return False
        return _mentions(launch, function["operand"].text)
    if node.kind == "unary_expression" and node["operator"].kind == "<-":
        return _mentions(launch, node["operand"].text)
    if node.kind == "range_clause" and "right" in (c.field for c in node.children):
        return _mentions(launch, node["right"].text)
    return False


def _mentions(text: bytes, name: bytes) -> bool:
    return bool(re.search(rb"(?<![\w.])" + re.escape(name) + rb"(?!\w)", text))


def decided_once(file: GoFile, node: Node, loop: Node) -> bool:
    """Return whether a condition inside a loop lets a node run in one round only, it seems.

    `if i == 0 { … }` on the loop's own variable, `if len(found) == n { … }` on what the loop
    changes, a condition on a variable that the same branch changes (a flag), or on what an atomic
    counter has come to (`n.Add(1) == total`).
    """
    for branch in node.ancestors():
        if branch is loop or branch.kind == "func_literal":
            return False
        condition = _condition(branch, node)
        if condition is None:
            continue
        if any(_counts(call) for call in condition.find("call_expression")):
            return True
        for name in condition.find("identifier"):
            binding = file.binding(name)
            if binding is None:
                continue
            equal = condition.kind == "binary_expression" and condition["operator"].kind == "=="
            if equal and binding.kind == "range":
                return True
            # What is equal to something once has changed by the next round.
            within = loop if equal else branch
            if any(
                use.kind in {"write", "update", "store"} and within.contains(use.node)
                for use in uses_of(binding)
            ):
                return True
    return False


_COUNTS = re.compile(r"(?:Add|Inc|Dec|Sub)(?:U?[iI]nt(?:32|64))?|(?:CompareAndSwap|CAS)\w*")


def _counts(call: Node) -> bool:
    """Return whether a call counts on, and is compared with the one number, or swaps a flag."""
    function, outer = call["function"], call.parent
    name = function["field"].name if function.kind == "selector_expression" else ""
    if outer is None or not _COUNTS.fullmatch(name):
        return False
    if name.startswith("C"):
        return outer.kind in {"if_statement", "binary_expression"}
    return outer.kind == "binary_expression" and outer["operator"].kind == "=="


def in_one_round(file: GoFile, node: Node, loop: Node) -> bool:
    """Return whether a node runs in one round at most: `if i == last { … }` on the loop's count."""
    for branch in node.ancestors():
        if branch is loop or branch.kind == "func_literal":
            return False
        condition = _condition(branch, node)
        if condition is None or condition.kind != "binary_expression":
            continue
        if condition["operator"].kind != "==":
            continue
        for side in (condition["left"], condition["right"]):
            binding = file.binding(side) if side.kind == "identifier" else None
            if binding is not None and binding.scope is loop and binding.index == 0:
                return True
    return False


def _condition(branch: Node, node: Node) -> Node | None:
    """Return what has to hold for a node: of its `if`, or of its case in a bare `switch`."""
    if branch.kind == "if_statement":
        return branch["condition"] if branch["consequence"].contains(node) else None
    if branch.kind != "expression_case" or branch.parent is None or branch.parent.get("value"):
        return None
    values = branch["value"].children
    return values[0] if len(values) == 1 else None
