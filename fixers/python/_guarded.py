"""Collections that code changes in place under a lock, of objects and of modules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace

from threadmend.python import api
from threadmend.python.borrowed import all_sections
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile, is_test
from threadmend.python.flow import walk
from threadmend.python.functions import Function
from threadmend.python.guards import Guard, guards_of, is_named_for
from threadmend.python.held import callers_hold
from threadmend.python.locks import Lock
from threadmend.python.outsiders import is_locked_outside
from threadmend.python.places import Place
from threadmend.python.scope import Binding
from threadmend.python.uses import AttributeUse, is_self, use_mode

__all__ = ["Guarded", "copied", "guarded", "lock_behind", "looked_into", "may_be_held"]

_KINDS = api.COLLECTIONS | {
    "weakref.WeakSet", "weakref.WeakKeyDictionary", "weakref.WeakValueDictionary"
}  # fmt: skip
_GROWING = frozenset({"append", "extend", "appendleft"})


@dataclass(frozen=True, slots=True, eq=False)
class Guarded:
    """A collection that is changed in place under a lock.

    `kind` is its type; `changed` are the places where it is changed under the lock, `uses` all
    others of this file outside of initializers; `only_grows`: nothing is ever taken out or moved.
    `is_copied`: the class only copies it under the lock, and `changed` are these places. `owner`:
    how the object is written that the uses look into from outside of its class.
    """

    lock: Lock
    kind: str
    changed: list[tuple[PythonFile, ast.expr]]
    uses: list[tuple[ast.expr, Function]]
    only_grows: bool
    is_copied: bool = False
    owner: str = ""

    @property
    def is_of_tasks(self) -> bool:
        """Return whether the lock keeps out the tasks of a loop, whatever it is made by: nothing
        but coroutines changes the collection, and some wait while they hold the lock.
        """
        changing = [other.function(node) for other, node in self.changed]
        return all(f is not None and f.is_async for f in changing) and any(
            section.lock.place == self.lock.place and _waits(section.body)
            for other in dict.fromkeys(other for other, _ in self.changed)
            for section in all_sections(other)
        )

    def lock_in(self, function: Function) -> str | None:
        """Return how a function of the same file writes the lock."""
        place = self.lock.place
        if self.owner:
            return f"{self.owner}.{place.name}"
        if place.kind == "global":
            return place.name
        outer: Function | None = function
        while outer is not None and outer.self_name is None:
            outer = outer.outer
        return None if outer is None else f"{outer.self_name}.{place.name}"


def _waits(block: list[ast.stmt]) -> bool:
    """Return whether other tasks may run while a block does."""
    return any(isinstance(n, ast.Await | ast.AsyncWith | ast.AsyncFor) for n in walk(block))


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
        found = _by_guard(cls, guard)
        if found is not None:
            yield found


def _by_guard(cls: Class, guard: Guard) -> Guarded | None:
    if guard.lock.kind != "global" and guard.lock.base not in {"self", "class"}:
        return None
    if guard.lock.kind == "global" and guard.lock.owner != cls.file.module:
        return None
    resized = [u for u in (*guard.locked, *guard.unlocked) if u.mode == "mutate"]
    resized = [use for use in resized if not _is_inside(use.function.file, use.node)]
    changed = [use for use in guard.locked if use in resized]
    other = [use for use in guard.unlocked if use in resized]
    if not changed:
        return None
    if len(other) >= len(changed) and not is_named_for(guard.lock.name, guard.name):
        return None
    value = changed[0].function.file.value(changed[0].node)
    lock = lock_behind(cls, guard.lock)
    if value is None or not value.is_a(_KINDS) or lock is None or lock.family != "thread":
        return None
    uses = [
        (use.node, use.function)
        for use in (*guard.locked, *guard.unlocked)
        if use.function.home is cls and use.mode == "read"
    ]
    places: list[tuple[PythonFile, ast.expr]] = [(u.function.file, u.node) for u in changed]
    grows = all(_grows(f, node) for f, node in places) and not other
    return Guarded(lock, value.type, places, list(uses), grows)


def looked_into(file: PythonFile, node: ast.Attribute) -> Guarded | None:
    """Return the collection of an object that code outside of its class looks into, when methods
    of the class change it under a lock of the object: `for job in pool._jobs:`.
    """
    function, value = file.function(node), file.value(node.value)
    cls = None if value is None or value.is_class else value.cls
    if function is None or cls is None or function.home is cls or is_self(file, node.value):
        return None
    if (function.home is not None and cls in function.home.mro) or is_test(cls.file.path):
        return None
    if not isinstance(node.value, ast.Attribute | ast.Name) or _is_new(file, node.value, function):
        return None
    guard = guards_of(cls).get(node.attr)
    found = None if guard is None else _by_guard(cls, guard)
    if found is None or found.lock.place.base != "self" or found.lock.place.kind != "attribute":
        return None
    return replace(found, uses=[(node, function)], owner=file.text(node.value))


def _is_new(file: PythonFile, node: ast.expr, function: Function) -> bool:
    """Return whether a variable holds what its function has made."""
    binding = file.binding(node)
    if binding is None or binding.scope is not function.scope:
        return False
    return any(isinstance(site.value, ast.Call) for site in binding.sites)


def copied(file: PythonFile) -> Iterator[Guarded]:
    """Yield the collections that are copied under a lock which is called after them, and that
    nothing in the class changes: those that it hands them to do, with the lock.
    """
    for cls in file.classes:
        known = guards_of(cls)
        names = {use.name for use in cls.uses if use.name not in known}
        taken = {s.lock.place: s.lock for s in all_sections(file) if s.lock.place == s.lock.own}
        for name in sorted(names):
            for place, lock in taken.items():
                if place.base == "self" and is_named_for(place.name, name):
                    yield from _of_copies(cls, name, lock)


def _of_copies(cls: Class, name: str, lock: Lock) -> Iterator[Guarded]:
    file = cls.file
    uses = [u for u in cls.uses_of(name) if u.function not in cls.init_only]
    if lock.family != "thread" or any(u.changes for u in uses) or not _is_own(cls, lock):
        return
    made = [(u.function.file, u.node) for u in uses if _is_copied(u.function.file, u.node)]
    made = [(f, node) for f, node in made if lock.place in f.held(node)]
    value = made[0][0].value(made[0][1]) if made else None
    if value is not None and value.is_a(_KINDS) and _is_given(file, uses, lock):
        places: list[tuple[PythonFile, ast.expr]] = [*made]
        copies = {node for _, node in made}
        reads: list[tuple[ast.expr, Function]]
        reads = [(u.node, u.function) for u in uses if u.function.file is file]
        reads = [(node, function) for node, function in reads if node not in copies]
        yield Guarded(lock, value.type, places, reads, False, is_copied=True)


def _is_own(cls: Class, lock: Lock) -> bool:
    return any(made is lock.value.made for _, made in cls.values_of(lock.place.name))


def _is_copied(file: PythonFile, node: ast.expr) -> bool:
    above = file.parent(node)
    if isinstance(above, ast.Attribute) and above.attr == "copy":
        return isinstance(file.parent(above), ast.Call)
    if not isinstance(above, ast.Call) or node not in above.args:
        return False
    return file.qualified(above.func) in {"list", "tuple", "dict", "set", "sorted", "copy.copy"}


def _is_given(file: PythonFile, uses: list[AttributeUse], lock: Lock) -> bool:
    """Return whether a collection is handed on together with its lock."""
    for use in uses:
        above = use.function.file.parent(use.node)
        beside = above.args if isinstance(above, ast.Call) else getattr(above, "elts", ())
        others = (use.function.file.lock(given) for given in beside)
        if any(other is not None and other.place == lock.place for other in others):
            return True
    return False


def lock_behind(cls: Class, place: Place) -> Lock | None:
    """Return the lock of a place that the files of a class and its bases take."""
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
    changed = [n for n in inside if use_mode(n) == "mutate" and not _is_inside(file, n)]
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


def _is_inside(file: PythonFile, node: ast.expr) -> bool:
    """Return whether a change is of what stands in a collection, which stays as it is: `board[y][x]
    = stone`. A default dictionary may get an entry by that.
    """
    above = file.parent(node)
    if not isinstance(above, ast.Subscript) or not isinstance(above.ctx, ast.Load):
        return False
    return above.value is node and not file.is_a(node, _DEFAULTS)


_DEFAULTS = frozenset({"collections.defaultdict"})


def _grows(file: PythonFile, node: ast.expr) -> bool:
    """Return whether a change of a list moves no item: it adds one, or puts one in the place of
    another.
    """
    above = file.parent(node)
    if isinstance(above, ast.Subscript) and isinstance(above.ctx, ast.Store):
        return not isinstance(above.slice, ast.Slice)
    return isinstance(above, ast.Attribute) and above.attr in _GROWING


def may_be_held(function: Function, place: Place) -> bool:
    """Return whether some caller of a function holds a lock, as far as the project shows."""
    if place in callers_hold(function) or is_locked_outside(function, place):
        return True
    return any(place in site.file.held(site.call) for site in function.callers)
