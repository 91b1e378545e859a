"""Deques of which all code only uses the ends: what is added or taken there is one step, which
needs no lock, and whoever has the lock only keeps others from coming in between.

with self._lock:                                    self._lines.append(line)
    while self._lines: out.write(self._lines.popleft())
"""

from __future__ import annotations

import ast

from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.guards import Guard
from threadmend.python.uses import AttributeUse

__all__ = ["are_at_its_ends"]

_ADDS = frozenset({"append", "appendleft"})
_STEPS = _ADDS | {"clear", "copy", "extend", "extendleft", "pop", "popleft"}


def are_at_its_ends(cls: Class, guard: Guard) -> bool:
    """Return whether an attribute is a deque to which the uses without the lock add, and of which
    all others use the ends or ask for the size: nobody loops over it, which they would disturb.
    """
    values = [file.value(value) for file, value in cls.values_of(guard.name)]
    if not values or not all(v is not None and v.is_a("collections.deque") for v in values):
        return False
    return all(_method(use) in _ADDS for use in guard.unlocked) and all(
        _method(use) in _STEPS or _is_size(use.function.file, use.node)
        for use in (*guard.locked, *guard.unsure)
    )


def _method(use: AttributeUse) -> str:
    """Return the method of the deque that a use calls."""
    file, above = use.function.file, use.function.file.parent(use.node)
    call = None if above is None else file.parent(above)
    if isinstance(above, ast.Attribute) and isinstance(call, ast.Call) and call.func is above:
        return above.attr
    return ""


def _is_size(file: PythonFile, node: ast.expr) -> bool:
    """Return whether a deque is only asked for its size, or whether there is something in it."""
    above = file.parent(node)
    if isinstance(above, ast.Call):
        return isinstance(above.func, ast.Name) and above.func.id in {"len", "bool"}
    return isinstance(above, ast.If | ast.While | ast.UnaryOp | ast.BoolOp)
