"""Calls of methods by their name, wherever they are made for who writes them: `thread.join()`,
`end(thread)` of a helper that does nothing else, `wait()` where `wait = thread.join`.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from threadmend.python.arguments import argument
from threadmend.python.bound import bound_calls
from threadmend.python.forwarded import only_call
from threadmend.python.uses import is_self

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile
    from threadmend.python.functions import Function

__all__ = ["method_calls"]


def method_calls(file: PythonFile, *names: str) -> list[tuple[ast.Call, ast.expr]]:
    """Return the calls that call methods of these names, where a helper does with no arguments but
    by name, each with the object: of a helper of the same object, as that names it.
    """
    found = [(c, c.func.value) for c in file.calls(*names) if isinstance(c.func, ast.Attribute)]
    found += [(call, kept.value) for call, kept in bound_calls(file, *names)]
    for function in file.functions:
        for call, callee in function.callees.items():
            inner = _only(callee, names)
            if inner is not None:
                owner = _owner(file, call, callee, inner)
                if owner is not None:
                    found.append((call, owner))
    return found


def _only(helper: Function, names: tuple[str, ...]) -> ast.expr | None:
    """Return the object whose method is all that a helper calls."""
    call = only_call(helper)
    func = None if call is None or call.args else call.func
    return func.value if isinstance(func, ast.Attribute) and func.attr in names else None


def _owner(file: PythonFile, call: ast.Call, helper: Function, inner: ast.expr) -> ast.expr | None:
    names = helper.parameters[1:] if helper.self_name else helper.parameters
    if isinstance(inner, ast.Name) and inner.id in names:
        return argument(call, names.index(inner.id), inner.id)
    if not isinstance(inner, ast.Attribute) or not is_self(helper.file, inner.value):
        return None
    func = call.func
    same = isinstance(func, ast.Attribute) and is_self(file, func.value)
    return inner if same and helper.file is file else None
