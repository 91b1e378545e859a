"""How many workers a place starts: the list that holds them, or the `range` it counts."""

from __future__ import annotations

import ast

from threadmend.python.file import PythonFile
from threadmend.python.scope import ancestors
from threadmend.python.threads import Spawn

__all__ = ["each"]

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp)


def each(file: PythonFile, spawn: Spawn) -> str | None:
    """Return what to loop over for as many rounds as there are workers: the list of threads,
    or the `range` that they are started over.
    """
    assert isinstance(spawn.node, ast.Call)
    for above in ancestors(spawn.node):
        if isinstance(above, _COMPREHENSIONS):
            top = file.parent(above)
            if isinstance(top, ast.Assign) and isinstance(top.targets[0], ast.Name | ast.Attribute):
                return file.text(top.targets[0])
            return None
        if isinstance(above, ast.For):
            return _list(file, spawn, above) or _range(file, above)
    return None


def _list(file: PythonFile, spawn: Spawn, loop: ast.For) -> str | None:
    """Return the list that a loop appends its threads to."""
    name = file.parent(spawn.node)
    names = (
        {t.id for t in name.targets if isinstance(t, ast.Name)}
        if isinstance(name, ast.Assign)
        else set()
    )
    for call in file.calls("append"):
        if loop in ancestors(call) and call.args and isinstance(call.func, ast.Attribute):
            given = call.args[0]
            if given is spawn.node or (isinstance(given, ast.Name) and given.id in names):
                return file.text(call.func.value)
    return None


def _range(file: PythonFile, loop: ast.For) -> str | None:
    iterated = loop.iter
    if isinstance(iterated, ast.Call) and file.qualified(iterated.func) == "range":
        if all(isinstance(a, ast.Name | ast.Constant | ast.Attribute) for a in iterated.args):
            return file.text(iterated)
    return None
