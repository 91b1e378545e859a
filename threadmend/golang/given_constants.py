"""Given constants: branches of a function that a call leaves out, because of what it passes.

go copyTo(a, b, true)     // if up { s.sent++ } else { s.received++ }
go copyTo(b, a, false)    // never gets to s.sent

Likewise what stands behind `if readOnly { return … }`.
"""

from __future__ import annotations

from threadmend.golang.access import is_assigned_once
from threadmend.golang.node import bare
from threadmend.golang.scope import argument_of, resolve_local
from threadmend.golang.syntax import Node

__all__ = ["CONSTANTS", "branch_of", "leaves_out"]

CONSTANTS = frozenset({"true", "false", "int_literal", "interpreted_string_literal", "nil"})


def branch_of(body: Node, at: Node) -> int:
    """Return where the innermost branch begins that a parameter decides on; 0 without one."""
    inner = at
    for outer in at.ancestors():
        if outer is body:
            break
        if outer.kind == "if_statement" and inner.field in {"consequence", "alternative"}:
            if any(_tested(test, body) is not None for test in _conjuncts(outer["condition"])):
                return inner.start
        inner = outer
    return 0


def leaves_out(call: Node, body: Node, at: Node) -> bool:
    """Return whether the body does not come to a place when a call runs it."""
    inner = at
    for outer in at.ancestors():
        if outer.kind == "block" and any(
            _leaves_above(test, call, body) for test in outer.statements if test.end <= at.start
        ):
            return True
        if outer is body:
            return False
        if outer.kind == "if_statement":
            tests = _conjuncts(outer["condition"])
            held = [_holds(test, call, body) for test in tests]
            if inner.field == "consequence" and False in held:
                return True
            if inner.field == "alternative" and all(h is True for h in held):
                return True
        inner = outer
    return False


def _leaves_above(test: Node, call: Node, body: Node) -> bool:
    """Return whether a statement returns from the body in the run that a call begins."""
    if test.kind != "if_statement" or test.function is not body:
        return False
    last = test["consequence"].statements[-1:]
    if not last or last[0].kind != "return_statement":
        return False
    return all(_holds(t, call, body) is True for t in _conjuncts(test["condition"]))


def _conjuncts(condition: Node) -> list[Node]:
    condition = bare(condition)
    if condition.kind == "binary_expression" and condition["operator"].kind == "&&":
        return [*_conjuncts(condition["left"]), *_conjuncts(condition["right"])]
    return [condition]


def _tested(test: Node, body: Node) -> tuple[Node, bytes, bool] | None:
    """Return the parameter that a test is about, the constant, and whether it has to be that."""
    wanted, value = True, b"true"
    if test.kind == "unary_expression" and test["operator"].kind == "!":
        test, wanted = test["operand"], False
    elif test.kind == "binary_expression" and test["operator"].kind in {"==", "!="}:
        if test["right"].kind not in CONSTANTS:
            return None
        wanted, value, test = test["operator"].kind == "==", test["right"].text, test["left"]
    binding = resolve_local(test) if test.kind == "identifier" else None
    if binding is None or binding.kind != "parameter" or binding.scope is not body:
        return None
    return (test, value, wanted) if is_assigned_once(binding) else None


def _holds(test: Node, call: Node, body: Node) -> bool | None:
    """Return whether a test holds in the run that a call begins, None if that cannot be told."""
    tested = _tested(test, body)
    binding = resolve_local(tested[0]) if tested is not None else None
    given = argument_of(call, body, binding) if binding is not None else None
    if tested is None or given is None or given.kind not in CONSTANTS:
        return None
    return (given.text == tested[1]) == tested[2]
