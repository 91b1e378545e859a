"""Parameters that switch a part of a function on, and calls that leave it off.

def setup(settings=None, start=True):        setup(start=False)
    if start:                                 does not start, and updates nothing
        self._start()
    if settings:
        update(settings)
    return None if not start else self._shown()
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from threadmend.python.arguments import argument, default_of
from threadmend.python.flow import conditions_around, is_none

if TYPE_CHECKING:
    from threadmend.python.functions import Function

__all__ = ["is_switched_off", "switches_of"]


def is_switched_off(call: ast.expr, callee: Function, node: ast.AST) -> bool:
    """Return whether a node of a function only runs for callers that ask for it by an argument,
    and a call does not: it gives nothing, or something that counts as false.
    """
    if not isinstance(call, ast.Call) or isinstance(callee.node, ast.Lambda):
        return False
    if any(isinstance(a, ast.Starred) for a in call.args) or any(
        k.arg is None for k in call.keywords
    ):
        return False
    return any(_is_off(call, callee, *switch) for switch in switches_of(node))


def switches_of(node: ast.AST) -> frozenset[tuple[str, bool]]:
    """Return the names that have to be true where a node runs, and whether it is enough that they
    are not None.
    """
    found = (_switch(test, is_true) for test, is_true in conditions_around(node))
    return frozenset(switch for switch in found if switch is not None)


def _switch(test: ast.expr, is_true: bool) -> tuple[str, bool] | None:
    """Return the name that has to be true for a test to be true (or false), also as its first part,
    and whether it is enough that it is not None.
    """
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _switch(test.operand, not is_true)
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And if is_true else ast.Or):
        return _switch(test.values[0], is_true)
    asks_for_none = (
        isinstance(test, ast.Compare)
        and isinstance(test.ops[0], ast.IsNot if is_true else ast.Is)
        and is_none(test.comparators[0])
    )
    name = test.left if isinstance(test, ast.Compare) and asks_for_none else test
    if not isinstance(name, ast.Name) or not (is_true or asks_for_none):
        return None
    return name.id, asks_for_none


def _is_off(call: ast.Call, callee: Function, name: str, only_none: bool) -> bool:
    binding = callee.scope.bindings.get(name)
    if binding is None or [site.kind for site in binding.sites] != ["parameter"]:
        return False
    assert not isinstance(callee.node, ast.Lambda)
    given: ast.expr | None = None
    if name in callee.parameters:
        at = callee.parameters.index(name) - (callee.self_name is not None)
        given = argument(call, at, name)
    else:
        given = next((k.value for k in call.keywords if k.arg == name), None)
    given = given if given is not None else default_of(callee.node.args, name)
    if only_none:
        return is_none(given)
    return isinstance(given, ast.Constant) and not given.value
