"""The lock beside shared data: the one that its other uses stand under, or a new one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from threadmend.model import Edit
from threadmend.python import api
from threadmend.python.builders import (
    BuilderError,
    add_attribute,
    add_variable,
    free_attribute,
    free_name,
    insert_after,
    insert_before,
    reference,
    replace,
)
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.locks import Lock
from threadmend.python.mixins import host_of, is_mixed_in
from threadmend.python.places import Place
from threadmend.python.threads import reached

from ._data import Data, Use
from ._unit import Unit

__all__ = ["existing", "new", "reentrant"]

_ANY = frozenset(
    {
        "lock", "rlock", "mutex", "guard", "cond", "condition", "cv", "sync", "thread", "state",
        "data", "acces", "internal", "instance", "self", "my", "the", "m", "l", "mu", "clas",
        "global", "main",
    }
)  # fmt: skip
"""Words of locks that are for whatever their object has."""


def existing(data: Data, units: list[Unit]) -> Lock | None:
    """Return the lock that most other uses stand under, or the only one of the owner."""
    file = data.file
    host = None if data.cls is None or data.of_class else host_of(data.cls, data.name)
    if host is not None:
        return _of_host(data, host)
    locks = [lock for lock in _locks(data) if not _comes_late(lock, units)]
    counts = [0] * len(locks)
    for held in _held_at_uses(data):
        for number, lock in enumerate(locks):
            counts[number] += _is_among(data, lock, held)
    for unit in units:
        if unit.inner is not None:
            late = file.lock(unit.inner.items[0].context_expr)
            for number, lock in enumerate(locks):
                counts[number] += 1000 * (late is not None and late.place == lock.place)
    most = max(counts, default=0)
    if most:
        return locks[counts.index(most)]
    if any(_held_at_uses(data)):
        raise BuilderError("its other uses stand under a lock that cannot be named here")
    places = {lock.place for lock in locks}
    return locks[0] if len(places) == 1 and _is_for_any(data, locks[0]) else None


def _is_for_any(data: Data, lock: Lock) -> bool:
    """Return whether a lock that none of the data's uses stand under may be for it as well: not
    one that is called after something else, `reload_lock`, which may be held for long.
    """
    name = lock.place.name.rpartition(".")[2]
    owner = "" if data.cls is None else data.cls.name
    known = {*_words(data.name), *_words(owner)} | _ANY
    return known.issuperset(_words(name))


def _words(name: str) -> set[str]:
    """Return the words of a name, in the singular: `ImageCounts` has `image` and `count`."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return {word.lower().removesuffix("s") for word in words}


def _of_host(data: Data, host: Class) -> Lock:
    """Return the lock under which the class that a mixin is for uses what the mixin changes."""
    uses = host.uses_of(data.name)
    held = [place for use in uses for place in use.function.file.held(use.node).locks]
    if held:
        most = max(held, key=held.count)
        for lock in _locks(Data(host.file, data.name, cls=host)):
            if lock.place == most:
                return lock
    raise BuilderError(f"which lock {host.name} has for {data.name} cannot be told")


def _comes_late(lock: Lock, units: list[Unit]) -> bool:
    """Return whether a lock that no initializer makes is not there yet where it is to be held: a
    `start` that sets the data, or calls what does, and makes the lock behind that.
    """
    made = lock.value.made
    maker = None if made is None else lock.value.file.function(made)
    if made is None or maker is None or maker.home is None or maker in maker.home.init_only:
        return False
    line = made.lineno
    called = (f for call, f in maker.callees.items() if call.lineno < line)
    before = {function for callee in called for function in reached(callee)}
    return any(
        unit.use.function in before or (unit.use.function is maker and unit.first.lineno < line)
        for unit in units
    )


def _is_among(data: Data, lock: Lock, held: frozenset[Place]) -> bool:
    """Return whether a lock of the data's class is held: another module names it as that of an
    object, which has to be the one that the data is of.
    """
    if data.home is None or data.cls is None:
        return lock.place in held
    return any(place.anywhere == lock.place.anywhere for place in held)


def _held_at_uses(data: Data) -> Iterator[frozenset[Place]]:
    """Yield the locks that are held where the data is used, by bases in other files as well."""
    for use in data.uses:
        yield data.file.held(use.node).locks
    for other in () if data.cls is None else data.cls.uses_of(data.name):
        if other.function.file is not data.file:
            yield other.function.file.held(other.node).locks


def _locks(data: Data) -> Iterator[Lock]:
    """Yield the locks of threads that stand where the data does."""
    file = data.file
    if data.cls is not None:
        seen = set()
        for use in (use for cls in data.cls.mro for use in cls.uses):
            if use.name in seen:
                continue
            lock = use.function.file.lock(use.node)
            if lock is None or lock.family != "thread" or lock.own != lock.place:
                continue
            if data.of_class and lock.place.base != "class":
                continue
            seen.add(use.name)
            yield lock
        if not data.of_class:
            yield from _declared(data.cls, seen)
    elif data.binding is not None:
        file = data.owner
        for binding in data.binding.scope.bindings.values():
            site = binding.sites[0]
            if site.kind == "assign" and isinstance(site.node, ast.Name):
                lock = file.lock(site.node)
                if lock is not None and lock.family == "thread" and lock.own == lock.place:
                    yield lock


def _declared(cls: Class, known: set[str]) -> Iterator[Lock]:
    """Yield the locks that are fields of a dataclass."""
    for name in cls.scope.bindings if _is_dataclass(cls) else ():
        values = [file.value(value) for file, value in cls.values_of(name)]
        value = values[0] if len(values) == 1 else None
        if name in known or value is None or value.type not in api.THREAD_LOCKS:
            continue
        if value.type not in api.CONDITIONS:
            place = Place("attribute", cls.qualified, name, "self")
            yield Lock(place, value.type, value.type in api.REENTRANT, place, value)


def new(data: Data, use: Use, kind: str) -> tuple[str, list[Edit]]:
    """Return the name of a new lock beside the data, and the edits that make it."""
    if data.cls is not None:
        return _new_attribute(data, data.cls, kind)
    file = data.owner
    assert data.binding is not None
    site = data.binding.sites[0]
    at = use.node if file is data.file else site.node
    text, added = reference(file, f"threading.{kind}", at)
    name = free_name(file, f"{data.name.lower().strip('_')}_lock")
    if data.binding.scope.kind == "module" and data.name.startswith("_"):
        name = free_name(file, f"_{name}")
    line = f"{name} = {text}()"
    if site.kind == "parameter":
        return name, [*added, *add_variable(file, line, site.node)]
    statement = file.statement(site.node)
    owner = data.binding.scope.node if _is_local(data) else statement
    if not isinstance(statement, ast.Assign | ast.AnnAssign) or file.function(
        statement
    ) is not file.function(owner):
        raise BuilderError("there is no place for a lock")
    return name, [*added, *insert_after(file, statement, line)]


def _new_attribute(data: Data, cls: Class, kind: str) -> tuple[str, list[Edit]]:
    file = cls.file
    at = cls.methods.get("__init__")
    text, added = reference(file, f"threading.{kind}", at.node if at else None)
    name = "_lock"
    if free_attribute(cls, name) != name:
        name = free_attribute(cls, f"_{data.name.strip('_')}_lock")
    if data.of_class:
        site = cls.scope.bindings[data.name].sites[0]
        line = f"{name} = {text}()"
        return name, [*added, *insert_after(file, file.statement(site.node), line)]
    fields = [s for s in cls.node.body if isinstance(s, ast.AnnAssign)]
    if _is_dataclass(cls) and at is None and fields:
        field, more = reference(file, "dataclasses.field")
        given = f"    default_factory={text}, init=False, repr=False, compare=False\n"
        line = f"{name}: {text} = {field}(\n{given})"
        return name, [*added, *more, *insert_after(file, fields[-1], line)]
    maker = _maker(data, cls) if at is None else None
    if maker is not None:
        name = free_attribute(cls, f"_{data.name.strip('_')}_lock")
        line = f"{file.text(maker.value)}.{name} = {text}()"
        return name, [*added, *insert_before(file, file.statement(maker), line)]
    return name, [*added, *add_attribute(cls, name, f"{text}()")]


def _maker(data: Data, cls: Class) -> ast.Attribute | None:
    """Return where a mixin, which has no initializer of its own, sets the data at first: in a
    method that the initializers of the classes below call, and behind nothing that may not come.
    """
    sets = [use for use in cls.uses_of(data.name) if use.mode == "write"]
    first = [use for use in sets if use.function in cls.init_only]
    only = first[0] if len(first) == 1 and is_mixed_in(cls) else None
    if only is None or not isinstance(only.node, ast.Attribute):
        return None
    return only.node if cls.file.statement(only.node) in only.function.body else None


def _is_dataclass(cls: Class) -> bool:
    file = cls.file
    for one in cls.node.decorator_list:
        if (
            file.qualified(one.func if isinstance(one, ast.Call) else one)
            == "dataclasses.dataclass"
        ):
            return True
    return False


def _is_local(data: Data) -> bool:
    return data.binding is not None and data.binding.scope.kind == "function"


def reentrant(file: PythonFile, lock: Lock) -> list[Edit]:
    """Return the edits that make an existing lock re-entrant."""
    made = lock.value.made
    if not isinstance(made, ast.Call) or lock.value.file is not file or lock.is_condition:
        raise BuilderError(f"what runs meanwhile may take {lock.place.name} again")
    if lock.type != "threading.Lock" or file.qualified(made.func) not in api.THREAD_LOCKS:
        raise BuilderError(f"what runs meanwhile may take {lock.place.name} again")
    text, added = reference(file, "threading.RLock", made)
    return [*added, *replace(file, made.func, text)]
