"""Values of multiprocessing that one process alone changes: the others read what it counts."""

from __future__ import annotations

import ast

from threadmend.python import api
from threadmend.python.file import PythonFile
from threadmend.python.flow import are_alternatives, in_comprehension, innermost_loop
from threadmend.python.functions import Function
from threadmend.python.threads import Spawn, is_repeated
from threadmend.python.uses import is_self

from ._handed import argument_for, handed

__all__ = ["is_changed_by_one"]

_PROCESSES = frozenset({"process", "run"})
_KEPT = frozenset({"append", "add"})


def is_changed_by_one(file: PythonFile, value: ast.expr) -> bool:
    """Return whether the value that a function of a process changes is changed by that process
    only: nobody else runs the function, no other process gets the value, and nothing else that
    is seen changes it.
    """
    function = file.function(value)
    if function is None or (function.callers and function.name != "run"):
        return False
    home = function.home
    spawns = [s for s in file.spawns if s.target is function]
    if home is not None and home.inherits(*api.PROCESSES):
        if function.name == "run" or _is_thread_of_run(file, spawns):
            return _is_of_its_process(file, value, function)
    if len(spawns) != 1 or spawns[0].kind not in _PROCESSES:
        return False
    spawn = spawns[0]
    if isinstance(value, ast.Name) and value.id in function.parameters:
        given = argument_for(spawn, value.id)
        return given is not None and _is_for_one(file, given, spawn.node)
    return not spawn.many and _is_kept(file, spawn) and _changers(file, value) == {function}


def _is_thread_of_run(file: PythonFile, spawns: list[Spawn]) -> bool:
    """Return whether a method is a thread that the process starts once in its `run`."""
    if len(spawns) != 1 or spawns[0].kind != "thread" or spawns[0].many:
        return False
    starter = file.function(spawns[0].node)
    return starter is not None and starter.name == "run" and not starter.callers


def _is_of_its_process(file: PythonFile, value: ast.expr, worker: Function) -> bool:
    """Return whether the object that is the process has a value of its own, which one of its
    functions alone changes.
    """
    if not isinstance(value, ast.Attribute) or not is_self(file, value.value):
        return False
    assert worker.home is not None
    if _changers(file, value) != {worker}:
        return False
    values = worker.home.values_of(value.attr)
    if len(values) != 1:
        return False
    source, made = values[0]
    maker = source.function(made)
    if maker is None or maker.name != "__init__":
        return False
    if isinstance(made, ast.Call):
        return True
    if not isinstance(made, ast.Name) or made.id not in maker.parameters:
        return False
    given = handed(source, maker, made.id)
    return bool(given) and all(
        isinstance(call := other.parent(one), ast.Call) and _is_for_one(other, one, call)
        for other, one in given
    )


def _is_for_one(file: PythonFile, given: ast.expr, process: ast.AST) -> bool:
    """Return whether a value is handed to one process: made in the call, or a variable or an
    attribute that nothing else gets.
    """
    if isinstance(given, ast.Call):
        return True
    if isinstance(given, ast.Attribute):
        if (
            is_repeated(process)
            or not is_self(file, given.value)
            or not _is_assigned(file, process)
        ):
            return False
        home = getattr(file.function(given), "home", None)
        uses = [] if home is None else [u.node for u in home.uses_of(given.attr)]
        return bool(uses) and all(_is_harmless(file, n, process) for n in uses)
    binding = file.binding(given)
    if binding is None or len(binding.sites) != 1 or binding.scope.kind != "function":
        return False
    if innermost_loop(binding.sites[0].node) is not innermost_loop(process):
        return False
    if in_comprehension(process):
        return False
    return all(_is_harmless(file, node, process) for node in file.uses(binding))


def _is_assigned(file: PythonFile, process: ast.AST) -> bool:
    """Return whether a process takes the place of the one before it: `self.process = …`."""
    above = file.parent(process)
    return isinstance(above, ast.Assign) and isinstance(above.targets[0], ast.Name | ast.Attribute)


def _is_harmless(file: PythonFile, node: ast.AST, process: ast.AST) -> bool:
    """Return whether a use of a value neither changes it nor hands it to anybody else."""
    above = file.parent(node)
    if isinstance(above, ast.Attribute) and above.attr == "value":
        return isinstance(above.ctx, ast.Load) or _is_reset(file, above)
    if isinstance(above, ast.Subscript) and above.value is node:
        return isinstance(above.ctx, ast.Load)
    if isinstance(above, ast.Assign | ast.AnnAssign):
        return above.value is not node
    while isinstance(above, ast.Tuple | ast.List | ast.keyword):
        above = file.parent(above)
    if not isinstance(above, ast.Call):
        return isinstance(above, ast.Return)
    if above is process or are_alternatives(above, process):
        return True
    return isinstance(above.func, ast.Attribute) and above.func.attr in _KEPT


def _is_reset(file: PythonFile, target: ast.Attribute) -> bool:
    """Return whether a value is only set to a constant: it is no count that gets lost."""
    statement = file.parent(target)
    return isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)


def _is_kept(file: PythonFile, spawn: Spawn) -> bool:
    """Return whether the function that makes a process is no method that others call again and
    again: a process that is started and dropped may have many beside it.
    """
    function = file.function(spawn.node)
    return function is None or function.cls is None or _is_assigned(file, spawn.node)


def _changers(file: PythonFile, value: ast.expr) -> set[Function | None]:
    """Return the functions of a file that change a value, other than by setting it anew."""
    text, place = file.text(value), file.place(value)
    found = set()
    for node in file.nodes(ast.Attribute, ast.Subscript):
        inner = node.value  # type: ignore[attr-defined]
        stored = isinstance(node.ctx, ast.Store)  # type: ignore[attr-defined]
        if stored and isinstance(inner, ast.Name | ast.Attribute) and file.text(inner) == text:
            if file.place(inner) == place and not (
                isinstance(node, ast.Attribute) and _is_reset(file, node)
            ):
                found.add(file.function(node))
    return found
