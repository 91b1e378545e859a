"""Variables of other modules of the project, and objects of their classes, that threads of a file
change.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.functions import Function
from threadmend.python.scope import Binding
from threadmend.python.threads import Spawn
from threadmend.python.uses import is_self, use_mode

from ._data import Data, Use
from ._given import given

__all__ = ["foreign_classes", "foreign_names"]


_Named: TypeAlias = ast.Name | ast.Attribute


@dataclass(frozen=True)
class _Variable:
    home: PythonFile
    binding: Binding


def foreign_names(file: PythonFile, running: Mapping[Function, list[Spawn]]) -> Iterator[Data]:
    """Yield the variables of other modules that functions of a file use in threads: `state.hits`,
    and what `from state import hits` names, with all uses in this file.
    """
    threaded = {function for function in running if function.file is file}
    named = sorted(_named(file), key=_place) if threaded else []
    inside = {variable for _, function, variable in named if function in threaded}
    found: dict[_Variable, Data] = {}
    for node, function, variable in named:
        if variable not in inside:
            continue
        data = found.setdefault(
            variable,
            Data(file, variable.binding.name, binding=variable.binding, home=variable.home),
        )
        threads: set[Spawn | None] = set(running.get(function, []))
        if not threads and not any(s.node in set(function.own) for s in file.spawns):
            threads.add(None)
        data.uses.append(Use(node, use_mode(node), function, frozenset(threads)))
    yield from found.values()


def foreign_classes(file: PythonFile, running: Mapping[Function, list[Spawn]]) -> list[Class]:
    """Return the classes of other modules of whose objects functions that threads run change
    attributes: `self.totals.weight += 1`.
    """
    found: dict[Class, None] = {}
    for function in running:
        for node in function.own if function.file is file else ():
            if not isinstance(node, ast.Attribute) or not _is_changed(node):
                continue
            if isinstance(node.value, ast.Name | ast.Attribute) and not is_self(file, node.value):
                cls = given(file, node.value)
                if cls is not None and cls.file is not file and not cls.file.is_test:
                    found[cls] = None
    return list(found)


def _is_changed(node: ast.Attribute) -> bool:
    return use_mode(node) in {"write", "augment", "mutate", "delete"}


def _named(file: PythonFile) -> Iterator[tuple[_Named, Function, _Variable]]:
    """Yield the expressions in functions that name variables of other modules."""
    for scope in file.tree.scopes:
        for binding in scope.bindings.values():
            if any(site.kind != "import" for site in binding.sites):
                continue
            for name in file.uses(binding):
                above = file.parent(name)
                nodes: list[_Named] = [name]
                if isinstance(above, ast.Attribute):
                    nodes.append(above)
                for node in nodes:
                    function = file.function(node)
                    variable = None if function is None else _variable(file, node)
                    if function is not None and variable is not None:
                        yield node, function, variable


def _place(named: tuple[_Named, Function, _Variable]) -> tuple[int, int]:
    return named[0].lineno, named[0].col_offset


def _variable(file: PythonFile, node: _Named) -> _Variable | None:
    """Return the variable of another module that an expression names."""
    name = file.qualified(node)
    found = None if name is None or "." not in name else file.project.find(name)
    if found is None or not found[1] or "." in found[1] or found[0] is file:
        return None
    variable = found[0].tree.scopes[0].bindings.get(found[1])
    if variable is None or any(site.kind not in _PLAIN for site in variable.sites):
        return None
    return _Variable(found[0], variable)


_PLAIN = frozenset({"assign", "annotation", "augment"})
