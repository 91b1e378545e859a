"""Objects with a lock of their name, whose methods are called under it everywhere but here."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.guards import Guard, is_named_for
from threadmend.python.held import callers_seem_to_hold
from threadmend.python.locks import Lock
from threadmend.python.sharing import is_synchronized
from threadmend.python.uses import AttributeUse

from ._uneven import Uneven, is_left_out

__all__ = ["named_calls"]

_MANY = 4
_FUNCTIONS = 3
_EACH = 3
"""So many calls under the lock for each without it."""


def named_calls(file: PythonFile) -> Iterator[Uneven]:
    """Yield the calls of `self.protocol` without `self.protocol_lock`, which all others hold."""
    for cls in file.classes if not file.is_test else ():
        for lock in _own_locks(file, cls):
            names = {use.name for use in cls.uses if is_named_for(lock.place.name, use.name)}
            for name in sorted(names - {lock.place.name}):
                if not is_synchronized(cls, name):
                    yield from _uneven(file, cls, name, lock)


def _own_locks(file: PythonFile, cls: Class) -> list[Lock]:
    found = {
        section.lock.place: section.lock
        for section in file.sections
        if section.function is not None and section.function.home is cls
        if section.lock.family == "thread" and section.lock.place == section.lock.own
        if section.lock.place.base == "self"
    }
    return list(found.values())


def _uneven(file: PythonFile, cls: Class, name: str, lock: Lock) -> Iterator[Uneven]:
    locked: list[AttributeUse] = []
    bare: list[AttributeUse] = []
    for use in cls.uses_of(name):
        function = use.function
        if function in cls.init_only or function.file is not file or _call(file, use) is None:
            continue
        held = file.held(use.node)
        if lock.place in held:
            locked.append(use)
        elif not held and isinstance(file.parent(_call(file, use)), ast.Expr):  # type: ignore[arg-type]
            bare.append(use)
    if len(locked) < _MANY or len({use.function for use in locked}) < _FUNCTIONS:
        return
    if _EACH * len(bare) > len(locked):
        return
    for use in bare:
        function = use.function
        if function.is_async or is_left_out(function) or function.name == "__del__":
            continue
        if function.is_private and not function.is_only_called:
            continue
        if not callers_seem_to_hold(function, lock.place):
            guard = Guard(name, lock.place, locked, [use])
            yield Uneven(file, cls, guard, lock, use, is_step=False)


def _call(file: PythonFile, use: AttributeUse) -> ast.Call | None:
    """Return the call of a method of the attribute that a use is."""
    method = file.parent(use.node)
    call = file.parent(method) if isinstance(method, ast.Attribute) else None
    is_called = isinstance(call, ast.Call) and call.func is method
    return call if is_called and isinstance(call, ast.Call) else None
