"""Variables of other modules of the project that threads of a file change."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from threadmend.python.classes import use_mode
from threadmend.python.file import PythonFile
from threadmend.python.functions import Function
from threadmend.python.scope import Binding
from threadmend.python.threads import Spawn

from ._data import Data, Use

__all__ = ["foreign_names"]


@dataclass(frozen=True)
class _Variable:
    home: PythonFile
    binding: Binding


def foreign_names(file: PythonFile, running: Mapping[Function, list[Spawn]]) -> Iterator[Data]:
    """Yield the variables of other modules that functions of a file use in threads: `state.hits`,
    and what `from state import hits` names, with all uses in this file.
    """
    inside = {
        variable
        for function in running
        if function.file is file
        for node in function.own
        if (variable := _variable(file, node)) is not None
    }
    if not inside:
        return
    found: dict[_Variable, Data] = {}
    for node in file.nodes(ast.Attribute, ast.Name):
        variable = _variable(file, node)
        function = file.function(node)
        if variable not in inside or variable is None or function is None:
            continue
        assert isinstance(node, ast.Attribute | ast.Name)
        data = found.setdefault(
            variable,
            Data(file, variable.binding.name, binding=variable.binding, home=variable.home),
        )
        threads: set[Spawn | None] = set(running.get(function, []))
        if not threads and not any(s.node in set(function.own) for s in file.spawns):
            threads.add(None)
        data.uses.append(Use(node, use_mode(node), function, frozenset(threads)))
    yield from found.values()


def _variable(file: PythonFile, node: ast.AST) -> _Variable | None:
    """Return the variable of another module that an expression names."""
    root = node.value if isinstance(node, ast.Attribute) else node
    if not isinstance(root, ast.Name):
        return None
    binding = file.binding(root)
    if binding is None or any(site.kind != "import" for site in binding.sites):
        return None
    name = file.qualified(node)
    found = None if name is None or "." not in name else file.project.find(name)
    if found is None or not found[1] or "." in found[1] or found[0] is file:
        return None
    variable = found[0].tree.scopes[0].bindings.get(found[1])
    if variable is None or any(site.kind not in _PLAIN for site in variable.sites):
        return None
    return _Variable(found[0], variable)


_PLAIN = frozenset({"assign", "annotation", "augment"})
