"""Methods of an object that its user calls one after the other: `crew.stop()`, `crew.wait()`."""

from __future__ import annotations

import ast

from threadmend.python.file import PythonFile
from threadmend.python.flow import innermost_loop
from threadmend.python.functions import Function

__all__ = ["are_called_together"]

_MANY = 40
"""Files that name a method, of which more are not read for one question."""


def are_called_together(first: Function, then: Function) -> bool:
    """Return whether code of the project calls a method of an object and then another one, and
    nobody calls the first one again and again.
    """
    cls, project = first.home, first.file.project
    if cls is None or first is then or "__" in first.name + then.name:
        return False
    paths = project.naming(first.file.encode(first.name))
    if len(paths) > _MANY:
        return False
    together = False
    for file in filter(None, map(project.readable, paths)):
        for call in file.calls(first.name):
            owner = _owner(file, call)
            if owner is None or not _may_be(file, owner, first):
                continue
            if innermost_loop(call) is not None:
                return False
            together = together or any(
                (other := _owner(file, later)) is not None
                and file.text(other) == file.text(owner)
                and file.function(later) is file.function(call)
                and later.lineno > call.lineno
                and _is(file, owner, first)
                for later in file.calls(then.name)
            )
    return together


def _owner(file: PythonFile, call: ast.Call) -> ast.expr | None:
    return call.func.value if isinstance(call.func, ast.Attribute) else None


def _is(file: PythonFile, owner: ast.expr, method: Function) -> bool:
    value = file.value(owner)
    return value is not None and value.cls is not None and method.home in value.cls.mro


def _may_be(file: PythonFile, owner: ast.expr, method: Function) -> bool:
    """Return whether an object is of the class of a method, or nobody knows what it is."""
    return file.value(owner) is None or _is(file, owner, method)
