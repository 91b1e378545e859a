"""Whether code is at shared data: by itself, by what it calls, or by what gets the object."""

from __future__ import annotations

import ast

from threadmend.python.file import PythonFile
from threadmend.python.functions import Function, function_of
from threadmend.python.threads import reached
from threadmend.python.uses import owner_of

from ._data import Data

__all__ = ["calls_into", "is_touched"]


def is_touched(data: Data, node: ast.AST) -> bool:
    """Return whether running a node reads or changes data: it names them, calls a function that
    does, or hands their object to one that nobody knows (`rule(self)`).
    """
    inside = set(ast.walk(node))
    if any(use.node in inside for use in data.uses):
        return True
    calls = [n for n in inside if isinstance(n, ast.Call)]
    users = _users(data) if calls else set()
    return any(
        bool(calls_into(data.file, call) & users) or _hands_over(data, call) for call in calls
    )


def calls_into(file: PythonFile, call: ast.Call) -> set[Function]:
    """Return the functions of the project that a call certainly runs."""
    callee = function_of(file, call.func)
    return set() if callee is None else set(reached(callee))


def _users(data: Data) -> set[Function]:
    """Return the functions that use the data of an object that is set up."""
    found = {use.function for use in data.uses}
    for name in {data.name} if data.cls is None else {data.name, *_names(data)}:
        for cls in () if data.cls is None else data.cls.mro:
            found |= {u.function for u in cls.uses_of(name) if u.function not in cls.init_only}
    return found


def _names(data: Data) -> set[str]:
    """Return the attributes that the uses are of."""
    return {use.node.attr for use in data.uses if isinstance(use.node, ast.Attribute)}


def _hands_over(data: Data, call: ast.Call) -> bool:
    """Return whether a call gives the object to a function that nobody knows."""
    if data.cls is None or function_of(data.file, call.func) is not None:
        return False
    owners = {
        ast.dump(owner) for use in data.uses if (owner := owner_of(data.file, use.node)) is not None
    }
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    return any(ast.dump(one) in owners for one in given)
