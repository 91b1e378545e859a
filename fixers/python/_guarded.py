"""Collections that code changes in place under a lock, of objects and of modules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.python import api
from threadmend.python.borrowed import all_sections
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.functions import Function
from threadmend.python.guards import guards_of
from threadmend.python.held import callers_hold
from threadmend.python.locks import Lock
from threadmend.python.places import Place
from threadmend.python.scope import Binding
from threadmend.python.uses import use_mode

__all__ = ["Guarded", "guarded", "may_be_held"]

_KINDS = api.COLLECTIONS | {
    "weakref.WeakSet", "weakref.WeakKeyDictionary", "weakref.WeakValueDictionary"
}  # fmt: skip
_GROWING = frozenset({"append", "extend", "appendleft"})


@dataclass(frozen=True, slots=True, eq=False)
class Guarded:
    """A collection that is changed in place under a lock.

    `kind` is its type; `changed` are the places where it is changed under the lock, `uses` all
    others of this file outside of initializers; `only_grows`: nothing is ever taken out.
    """

    lock: Lock
    kind: str
    changed: list[tuple[PythonFile, ast.expr]]
    uses: list[tuple[ast.expr, Function]]
    only_grows: bool

    def lock_in(self, function: Function) -> str | None:
        """Return how a function of the same file writes the lock."""
        place = self.lock.place
        if place.kind == "global":
            return place.name
        outer: Function | None = function
        while outer is not None and outer.self_name is None:
            outer = outer.outer
        return None if outer is None else f"{outer.self_name}.{place.name}"


def guarded(file: PythonFile) -> Iterator[Guarded]:
    """Yield the collections of a file's classes and of its module."""
    for cls in file.classes:
        yield from _of_class(cls)
    taken = {s.lock.place: s.lock for s in all_sections(file) if s.lock.place.kind == "global"}
    if taken:
        for binding in file.tree.scopes[0].bindings.values():
            found = _of_module(file, binding, taken)
            if found is not None:
                yield found


def _of_class(cls: Class) -> Iterator[Guarded]:
    for guard in guards_of(cls).values():
        if guard.lock.kind != "global" and guard.lock.base not in {"self", "class"}:
            continue
        if guard.lock.kind == "global" and guard.lock.owner != cls.file.module:
            continue
        changed = [use for use in guard.locked if use.mode == "mutate"]
        other = [use for use in guard.unlocked if use.mode == "mutate"]
        if not changed or len(other) >= len(changed):
            continue
        value = changed[0].function.file.value(changed[0].node)
        lock = _lock(cls, guard.lock)
        if value is None or not value.is_a(_KINDS) or lock is None or lock.family != "thread":
            continue
        uses = [
            (use.node, use.function)
            for use in (*guard.locked, *guard.unlocked)
            if use.function.home is cls and use.mode == "read"
        ]
        places: list[tuple[PythonFile, ast.expr]] = [(u.function.file, u.node) for u in changed]
        grows = all(_grows(f, node) for f, node in places) and not other
        yield Guarded(lock, value.type, places, list(uses), grows)


def _lock(cls: Class, place: Place) -> Lock | None:
    for file in dict.fromkeys(base.file for base in cls.mro):
        for section in all_sections(file):
            if section.lock.place == place:
                return section.lock
    return None


def _of_module(file: PythonFile, binding: Binding, taken: dict[Place, Lock]) -> Guarded | None:
    if any(site.kind not in {"assign", "annotation"} for site in binding.sites):
        return None
    value = file.value(binding.sites[0].node)
    if value is None or not value.is_a(_KINDS):
        return None
    inside = [n for n in file.uses(binding) if file.function(n) is not None]
    changed = [node for node in inside if use_mode(node) == "mutate"]
    counts = {place: sum(place in file.held(n) for n in changed) for place in taken}
    best = max(sorted(counts), key=lambda place: counts[place])
    if 2 * counts[best] <= len(changed) or taken[best].family != "thread":
        return None
    places: list[tuple[PythonFile, ast.expr]]
    places = [(file, n) for n in changed if best in file.held(n)]
    uses: list[tuple[ast.expr, Function]] = [
        (n, f) for n in inside if use_mode(n) == "read" and (f := file.function(n)) is not None
    ]
    return Guarded(taken[best], value.type, places, uses, all(_grows(*p) for p in places))


def _grows(file: PythonFile, node: ast.expr) -> bool:
    above = file.parent(node)
    return isinstance(above, ast.Attribute) and above.attr in _GROWING


def may_be_held(function: Function, place: Place) -> bool:
    """Return whether some caller of a function in its file holds a lock."""
    if place in callers_hold(function):
        return True
    return any(place in site.file.held(site.call) for site in function.callers)
