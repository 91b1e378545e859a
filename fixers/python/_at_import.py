"""What a function that a module calls while it is imported sets of a variable of the module."""

from __future__ import annotations

import ast

from threadmend.python.file import PythonFile
from threadmend.python.flow import walk
from threadmend.python.functions import Function, attributes_of, function_of

__all__ = ["set_by_call"]

_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Pass, ast.Global)


def set_by_call(file: PythonFile, statement: ast.stmt, name: str) -> list[ast.Assign]:
    """Return the statements `name.attribute = …` of the function that a statement `reset()` of
    the module calls, when nobody else does: whoever calls it in a thread sets them for that.
    """
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or call.args or call.keywords:
        return []
    function = function_of(file, call.func)
    if function is None or function.file is not file or function.cls is not None:
        return []
    if function.is_async or function.is_generator or function.decorators:
        return []
    found = []
    for one in function.body:
        if not isinstance(one, _SIMPLE):
            break  # what comes behind may not be reached
        if isinstance(one, ast.Assign) and _is_set(file, function, one, name):
            found.append(one)
    return found if found and _is_called_once(file, function) else []


def _is_set(file: PythonFile, function: Function, one: ast.Assign, name: str) -> bool:
    """Return whether a statement sets an attribute of the module's variable, to what needs
    nothing of the function.
    """
    target = one.targets[0] if len(one.targets) == 1 else None
    if not isinstance(target, ast.Attribute) or not isinstance(target.value, ast.Name):
        return False
    return target.value.id == name and all(
        binding.scope.kind in {"module", "comprehension"}
        for node in walk(one)
        if isinstance(node, ast.Name) and (binding := file.binding(node)) is not None
    )


def _is_called_once(file: PythonFile, function: Function) -> bool:
    """Return whether only the module calls a function, and no file of the project hands it on;
    tests left out.
    """
    if len(function.callers) != 1 or not function.is_only_called:
        return False
    name, module = file.encode(function.name), file.encode(file.module.rpartition(".")[2])
    project = file.project
    for path in project.paths:
        data = b"" if path == file.path else project.source(path).data
        other = project.readable(path) if name in data and module in data else None
        if other is None or other.is_test:
            continue
        nodes = [
            *other.tree.names.get(function.name, ()),
            *attributes_of(other).get(function.name, ()),
        ]
        if any(function_of(other, node) is function for node in nodes):
            return False
    return True
