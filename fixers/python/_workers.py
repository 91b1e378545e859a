"""How many workers a place starts: the list that holds them, or the `range` it counts."""

from __future__ import annotations

import ast

from threadmend.python.file import PythonFile
from threadmend.python.scope import ancestors
from threadmend.python.threads import Spawn, is_repeated

__all__ = ["each", "started_at"]

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp)


def started_at(file: PythonFile, spawn: Spawn) -> ast.Call | None:
    """Return the call that starts several workers: the spawn in a loop, or the only call, in a
    loop, of a function that makes one thread.
    """
    assert isinstance(spawn.node, ast.Call)
    if spawn.many:
        return spawn.node
    starter = file.function(spawn.node)
    if starter is None or not starter.is_only_called or len(starter.callers) != 1:
        return None
    if starter.cls is not None and not starter.is_private:
        return None
    call = starter.callers[0].call
    return call if is_repeated(call) else None


def each(file: PythonFile, spawn: Spawn) -> str | None:
    """Return what to loop over for as many rounds as there are workers: the list of threads,
    or the `range` that they are started over.
    """
    at = started_at(file, spawn) or spawn.node
    for above in ancestors(at):
        if isinstance(above, _COMPREHENSIONS):
            top = file.parent(above)
            if isinstance(top, ast.Assign) and isinstance(top.targets[0], ast.Name | ast.Attribute):
                return file.text(top.targets[0])
            return None
        if isinstance(above, ast.For):
            return _list(file, at, above) or _range(file, above)
    return None


def _list(file: PythonFile, made: ast.AST, loop: ast.For) -> str | None:
    """Return the list that a loop appends its threads to."""
    name = file.parent(made)
    names = (
        {t.id for t in name.targets if isinstance(t, ast.Name)}
        if isinstance(name, ast.Assign)
        else set()
    )
    for call in file.calls("append"):
        if loop in ancestors(call) and call.args and isinstance(call.func, ast.Attribute):
            given = call.args[0]
            if given is made or (isinstance(given, ast.Name) and given.id in names):
                return file.text(call.func.value)
    return None


def _range(file: PythonFile, loop: ast.For) -> str | None:
    iterated = loop.iter
    if isinstance(iterated, ast.Call) and file.qualified(iterated.func) == "range":
        if all(isinstance(a, ast.Name | ast.Constant | ast.Attribute) for a in iterated.args):
            return file.text(iterated)
    return None
