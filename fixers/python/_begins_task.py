"""Tasks: what makes one, and functions that make one and leave it to their callers."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.python.file import PythonFile
from threadmend.python.functions import Function, function_of
from threadmend.python.project import PythonProject

__all__ = ["is_told", "makes_task", "started"]

_MAKERS = frozenset({"asyncio.create_task", "asyncio.ensure_future"})
_NAMES = ("create_task", "ensure_future")


def makes_task(file: PythonFile, call: ast.Call) -> bool:
    """Return whether a call makes a task that the event loop holds weakly."""
    if file.qualified(call.func) in _MAKERS:
        return True
    func = call.func
    return isinstance(func, ast.Attribute) and file.is_a(func.value, "asyncio.AbstractEventLoop")


def is_told(file: PythonFile, use: ast.Name) -> bool:
    """Return whether a task is only given a callback or a name."""
    attribute = file.parent(use)
    call = None if attribute is None else file.parent(attribute)
    return (
        isinstance(attribute, ast.Attribute)
        and attribute.attr in {"add_done_callback", "set_name"}
        and isinstance(call, ast.Call)
        and isinstance(file.parent(call), ast.Expr)
    )


def started(file: PythonFile) -> Iterator[ast.Call]:
    """Yield the calls of functions of the project that return a task which nobody else holds."""
    starters = _starters(file.project)
    names = {function.name for function in starters}
    for call in file.calls(*names) if names else ():
        if function_of(file, call.func) in starters:
            yield call


def _starters(project: PythonProject) -> frozenset[Function]:
    known: frozenset[Function] | None = project.__dict__.get("_task_starters")
    if known is None:
        known = project.__dict__["_task_starters"] = frozenset(
            function
            for name in _NAMES
            for file in project.files(name.encode(), tests=False)
            for call in file.calls(name)
            if (function := file.function(call)) is not None and _returns_task(function, call)
        )
    return known


def _returns_task(function: Function, made: ast.Call) -> bool:
    """Return whether all that a function does with the task it makes is to name and return it."""
    file, returns = function.file, function.returns()
    if function.is_async or function.is_generator or function.decorators or not returns:
        return False
    if not makes_task(file, made) or any(_is_overridden(function)):
        return False
    statement = file.parent(made)
    if isinstance(statement, ast.Return):
        return len(returns) == 1
    target = statement.targets[0] if isinstance(statement, ast.Assign) else None
    binding = file.binding(target)
    if binding is None or len(binding.sites) != 1 or binding.scope is not function.scope:
        return False
    loads = [use for use in file.uses(binding) if isinstance(use.ctx, ast.Load)]
    given = [use for use in loads if isinstance(file.parent(use), ast.Return)]
    plain = all(use in given or is_told(file, use) for use in loads)
    return (
        plain
        and not any(_is_handed_on(file, use) for use in loads)
        and (len(given) == len(returns))
    )


def _is_handed_on(file: PythonFile, use: ast.Name) -> bool:
    """Return whether a callback of the task is a method of what may hold it: `tasks.discard`."""
    call = next((a for a in file.ancestors(use) if isinstance(a, ast.Call)), None)
    return call is not None and any(
        isinstance(given, ast.Attribute) and given.attr in {"discard", "remove"}
        for given in call.args
    )


def _is_overridden(function: Function) -> Iterator[bool]:
    """Yield whether a class below has a method of its own in place of this one."""
    for heir in function.cls.heirs if function.cls is not None else ():
        yield heir.method(function.name) is not function
