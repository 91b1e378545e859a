"""Thread classes of the project that run what they are made with: `Runner(work, item).start()`.

class Runner(threading.Thread):
    def __init__(self, work, *args):
        super().__init__()
        self._work, self._args = work, args

    def run(self):
        self._work(*self._args)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from threadmend.python.functions import Function
from threadmend.python.uses import is_self

if TYPE_CHECKING:
    from threadmend.python.classes import Class
    from threadmend.python.threads import Spawn

__all__ = ["Runner", "runners_of"]


class Runner(NamedTuple):
    """A class that calls a parameter of its `__init__` in `run`, with parameters, when known."""

    cls: Class
    init: Function
    name: str
    args: tuple[ast.expr, ...] | None


def runners_of(spawn: Spawn) -> Iterator[Runner]:
    """Yield what the class of a spawn of the kind `run` calls of what its objects are made with."""
    run, file = spawn.target, spawn.file
    if run is None or not isinstance(spawn.node, ast.ClassDef):
        return
    cls = file.class_of(spawn.node)
    init = cls.method("__init__")
    for call in run.calls if init is not None else ():
        func = call.func
        if isinstance(func, ast.Attribute) and is_self(file, func.value):
            name = _parameter(cls, init, func.attr)
            if init is not None and name:
                yield Runner(cls, init, name, _arguments(cls, init, call))


def _parameter(cls: Class, init: Function | None, attribute: str) -> str:
    """Return the parameter of `__init__` that an attribute keeps for good."""
    values = cls.values_of(attribute)
    if init is None or len(values) != 1 or cls.method(attribute) is not None:
        return ""
    file, value = values[0]
    binding = file.binding(value)
    if binding is None or binding.scope is not init.scope or not isinstance(value, ast.Name):
        return ""
    return binding.name if [site.kind for site in binding.sites] == ["parameter"] else ""


def _arguments(cls: Class, init: Function, call: ast.Call) -> tuple[ast.expr, ...] | None:
    """Return the arguments of a call in `run` as names of parameters of `__init__`."""
    found: list[ast.expr] = []
    for given in call.args:
        inner = given.value if isinstance(given, ast.Starred) else given
        name = ""
        if isinstance(inner, ast.Attribute) and is_self(cls.file, inner.value):
            name = _parameter(cls, init, inner.attr)
        if not name:
            return None
        one = ast.Name(name, ast.Load())
        found.append(ast.Starred(one, ast.Load()) if inner is not given else one)
    return tuple(found)
