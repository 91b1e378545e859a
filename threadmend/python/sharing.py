"""Sharing: which globals and captured names several threads touch, and what is made for that."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from threadmend.python import api
from threadmend.python.classes import Class
from threadmend.python.functions import Function
from threadmend.python.threads import Spawn, spawns_reaching
from threadmend.python.uses import use_mode

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile
    from threadmend.python.scope import Binding

__all__ = ["SharedName", "is_synchronized", "shared_names"]


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
