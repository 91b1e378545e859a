"""Collections that a guarded mapping holds: `return self._rows[key]`, while others fill it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.python.classes import Class
from threadmend.python.elements import values_in
from threadmend.python.elementuses import element_of, is_changed, where_changed
from threadmend.python.file import PythonFile
from threadmend.python.functions import Function
from threadmend.python.guards import Guard, guards_of
from threadmend.python.held import callers_hold
from threadmend.python.uses import AttributeUse, use_mode

from ._guarded import lock_behind

__all__ = ["Inner", "inner_returned"]

_KINDS = frozenset({"list", "set", "collections.deque"})
_TAKES_OUT = frozenset({"pop", "popitem", "clear"})


@dataclass(frozen=True, slots=True, eq=False)
class Inner:
    """An element of a mapping that leaves the section which guards both.

    `given` is what is returned, `element` how the element is looked up, `kind` its type,
    `changed` where another section changes such an element.
    """

    given: ast.expr
    element: ast.expr
    kind: str
    changed: tuple[PythonFile, ast.expr]

    @property
    def may_be_none(self) -> bool:
        """Return whether there may be no element: `self._rows.get(key)`."""
        if not isinstance(self.element, ast.Call):
            return False
        default = self.element.args[1:] or [k.value for k in self.element.keywords]
        return not default or (isinstance(default[0], ast.Constant) and default[0].value is None)

    @property
    def may_be_another(self) -> bool:
        """Return whether what stands for no element is of another type:
        `self._recent.get(key, ())`, for a deque.
        """
        default = self.element.args[1:] if isinstance(self.element, ast.Call) else []
        return any(isinstance(one, ast.Tuple) for one in default)


def inner_returned(file: PythonFile) -> Iterator[Inner]:
    """Yield the elements of guarded mappings that are returned while other code changes them."""
    for cls in file.classes:
        for guard in guards_of(cls).values():
            lock = lock_behind(cls, guard.lock)
            if lock is None or lock.family != "thread" or guard.lock.base not in {"self", "class"}:
                continue
            if len(guard.unlocked) < len(guard.locked):
                yield from _of_guard(file, cls, guard)


def _of_guard(file: PythonFile, cls: Class, guard: Guard) -> Iterator[Inner]:
    changed = [
        (use.function, at)
        for use in guard.locked
        if (at := _changed(use)) is not None and guard.lock in use.function.file.held(at)
    ]
    if not changed or any(_changed(use) is not None for use in guard.unlocked):
        return
    for use in guard.locked:
        element, function = element_of(use), use.function
        if element is None or function.home is not cls or function.file is not file:
            continue
        elsewhere = [(f.file, node) for f, node in changed if f is not function]
        kind, given = _kind(file, use, element), _returned(file, element, function)
        if given is None or kind not in _KINDS or not elsewhere:
            continue
        if guard.lock in callers_hold(function) or _is_handed_over(guard, function):
            continue
        if not _is_changed_by_callers(function):
            yield Inner(given, element, kind, elsewhere[0])


def _kind(file: PythonFile, use: AttributeUse, element: ast.expr) -> str:
    """Return the type of an element, empty when it is not known; an empty tuple may stand for none:
    `self._rows.get(key, ())`.
    """
    default = element.args[1:] if isinstance(element, ast.Call) else []
    if not any(isinstance(one, ast.Tuple) and not one.elts for one in default):
        value = file.value(element)
        return "" if value is None else value.type or ""
    found = [other.value(one) for other, one in values_in(file, use.node)]
    kinds = {"" if value is None else value.type or "" for value in found}
    return kinds.pop() if len(kinds) == 1 else ""


def _changed(use: AttributeUse) -> ast.expr | None:
    """Return where code changes an element that a use looks up."""
    element = element_of(use)
    return None if element is None else where_changed(use.function.file, element)


def _returned(file: PythonFile, element: ast.expr, function: Function) -> ast.expr | None:
    """Return what the function returns of an element: itself, or the variable that it is."""
    above = file.parent(element)
    if isinstance(above, ast.Return):
        return element
    target = above.targets[0] if isinstance(above, ast.Assign) and above.value is element else None
    binding = file.binding(target)
    if binding is None or binding.scope is not function.scope or len(binding.sites) != 1:
        return None
    uses = [use for use in file.uses(binding) if use is not target]
    returned = [use for use in uses if isinstance(file.parent(use), ast.Return)]
    if len(returned) != 1 or any(use_mode(use) != "read" for use in uses):
        return None
    return returned[0]


def _is_handed_over(guard: Guard, function: Function) -> bool:
    """Return whether the function takes elements out of the mapping, or puts others in."""
    for use in (*guard.locked, *guard.unlocked):
        above = use.function.file.parent(use.node)
        if use.function is not function:
            continue
        if use.mode in {"write", "delete"}:
            return True
        if isinstance(above, ast.Attribute) and above.attr in _TAKES_OUT:
            return True
        if isinstance(above, ast.Subscript) and not isinstance(above.ctx, ast.Load):
            return True
    return False


def _is_changed_by_callers(function: Function) -> bool:
    """Return whether a caller changes what it gets, and means the collection itself."""
    for site in function.callers:
        above = site.file.parent(site.call)
        if is_changed(site.call):
            return True
        target = above.targets[0] if isinstance(above, ast.Assign) else None
        binding = site.file.binding(target)
        named = [] if binding is None else site.file.uses(binding)
        if any(use_mode(use) in {"mutate", "augment"} for use in named):
            return True
        if any(is_changed(use) for use in named):
            return True
    return False
