"""Sharing: which attributes, globals and captured names several threads touch."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from threadmend.python import api
from threadmend.python.classes import Class
from threadmend.python.functions import Function
from threadmend.python.threads import Spawn, reached, reached_outside, spawns_reaching
from threadmend.python.uses import AttributeUse, use_mode

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile
    from threadmend.python.scope import Binding

__all__ = ["Shared", "SharedName", "shared_attributes", "shared_names"]


@dataclass(slots=True, eq=False)
class Shared:
    """An attribute that a thread touches while somebody else may.

    `inside` are the uses that run in a spawned thread, `outside` those that run in whoever
    calls the object's methods (a use may be both); uses of initializers are in neither. `many`:
    several threads run the same code at once. `spawns` start the threads.
    """

    name: str
    inside: list[AttributeUse] = field(default_factory=list)
    outside: list[AttributeUse] = field(default_factory=list)
    spawns: list[Spawn] = field(default_factory=list)
    many: bool = False

    @property
    def uses(self) -> list[AttributeUse]:
        """Return all uses, each once."""
        return list(dict.fromkeys([*self.inside, *self.outside]))

    @property
    def is_contended(self) -> bool:
        """Return whether two threads touch it and one of them changes it."""
        if self.many and any(use.changes for use in self.inside):
            return True
        others = [u for u in self.outside if u not in self.inside] or self.outside
        if not self.inside or not others:
            return False
        return any(use.changes for use in (*self.inside, *others))


def shared_attributes(cls: Class) -> dict[str, Shared]:
    """Return the attributes of a class that spawned threads touch, by name.

    Locks, queues, events and other objects made for it are left out, as are methods.
    """
    by_function = spawns_reaching(cls.file)
    inside = set(by_function)
    if not any(f.home is base for base in cls.mro for f in inside):
        return {}
    outside = reached_outside(cls, inside) | _both(cls, inside)
    found: dict[str, Shared] = {}
    quiet = {f for base in cls.mro for f in base.init_only}
    for use in (use for base in cls.mro for use in base.uses):
        function = use.function
        if function in quiet or cls.method(use.name) is not None or is_synchronized(cls, use.name):
            continue
        shared = found.setdefault(use.name, Shared(use.name))
        spawns = by_function.get(function, [])
        if spawns:
            shared.inside.append(use)
            shared.spawns += [s for s in spawns if s not in shared.spawns]
            shared.many |= len(spawns) > 1 or any(s.many for s in spawns)
        if function in outside or not spawns:
            shared.outside.append(use)
    return {name: shared for name, shared in found.items() if shared.inside}


def _both(cls: Class, inside: set[Function]) -> frozenset[Function]:
    """Return what runs in a spawned thread and is called from outside as well."""
    found: set[Function] = set()
    for base in cls.mro:
        for method in base.methods.values():
            if method.is_private or method in base.init_only:
                continue
            targets = {s.target for s in cls.file.spawns if s.is_threaded}
            if method not in targets:
                found |= reached(method) & inside
    return frozenset(found)


def is_synchronized(cls: Class, name: str) -> bool:
    """Return whether an attribute certainly holds an object made for several threads."""
    values = [file.value(value) for file, value in cls.values_of(name)]
    known = [value for value in values if value is not None and value.type != "NoneType"]
    return bool(known) and all(
        value.is_a(api.SYNCHRONIZED | api.THREADS | api.PROCESSES) for value in known
    )


@dataclass(slots=True, eq=False)
class SharedName:
    """A global or captured variable that a spawned function touches.

    `inside` are the names that run in the spawned thread, `outside` the others, those of the
    binding's own initialisation left out.
    """

    binding: Binding
    inside: list[ast.Name] = field(default_factory=list)
    outside: list[ast.Name] = field(default_factory=list)
    spawns: list[Spawn] = field(default_factory=list)
    many: bool = False

    def changes(self, node: ast.Name) -> bool:
        """Return whether a use changes the variable or what it holds."""
        return use_mode(node) in {"write", "augment", "mutate", "delete"}


def shared_names(
    file: PythonFile, running: Mapping[Function, list[Spawn]] | None = None
) -> list[SharedName]:
    """Return the globals and captured names that spawned functions of a file touch.

    `running` is what runs in other threads where that is more than the file's own spawns reach.
    """
    by_function = spawns_reaching(file) if running is None else running
    found: dict[Binding, SharedName] = {}
    for function, spawns in by_function.items():
        if function.file is not file:
            continue
        for node in function.own:
            binding = file.binding(node)
            if binding is None or binding.scope is function.scope or not _is_variable(binding):
                continue
            assert isinstance(node, ast.Name)
            if binding.scope.kind in {"class", "comprehension"}:
                continue
            shared = found.setdefault(binding, SharedName(binding))
            shared.inside.append(node)
            shared.spawns += [s for s in spawns if s not in shared.spawns]
            shared.many |= len(spawns) > 1 or any(s.many for s in spawns)
    for binding, shared in found.items():
        first = binding.sites[0].node
        shared.outside = [
            n for n in file.uses(binding) if n not in shared.inside and n is not first
        ]
    return list(found.values())


def _is_variable(binding: Binding) -> bool:
    return all(site.kind not in {"import", "def", "class"} for site in binding.sites)
