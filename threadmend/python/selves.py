"""Objects that hand themselves over: `store.attach(self)`, `Engine(self)`."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from threadmend.python.api import makes

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile
    from threadmend.python.functions import Function
    from threadmend.python.project import PythonProject

__all__ = ["calls_with_self"]

_SELF = re.compile(rb"(?<!def )\b(\w+)\((?:\w+ *= *)?self *[,)]")
_FEW = 4
"""A name that more files call so is too common to ask them all."""

Handed = list[tuple["PythonFile", ast.Call]]


def calls_with_self(function: Function) -> Handed:
    """Return the calls of a method, or of its class, in those other files of the project where one
    of them hands over the object that it stands in; tests are left out.
    """
    known: dict[Function, Handed] = function.file.__dict__.setdefault("_calls_with_self", {})
    if "_makes_shared" not in function.file.__dict__:
        function.file.__dict__["_makes_shared"] = makes(function.file.data)
    if not function.file.__dict__["_makes_shared"]:
        return []  # it shares nothing with threads that it knows of
    if function not in known:
        known[function] = []
        known[function] = _calls(function)
    return known[function]


def _calls(function: Function) -> Handed:
    from threadmend.python.functions import function_of

    name, file = function.name, function.file
    if name == "__init__" and function.cls is not None:
        name = function.cls.name
    paths = _paths(file.project).get(file.encode(name), [])
    files = [file.project.readable(path) for path in paths if path != file.path]
    return [
        (other, call)
        for other in files
        if other is not None
        for call in other.calls(name)
        if function_of(other, call.func) is function
    ]


def _paths(project: PythonProject) -> dict[bytes, list[str]]:
    """Return what is called with `self` as its first argument, and in which few files."""
    from threadmend.python.file import is_test

    known: dict[bytes, list[str]] | None = project.__dict__.get("_called_with_self")
    if known is None:
        found: dict[bytes, list[str]] = {}
        for path in project.paths:
            if not is_test(path) and project.matters(path):
                for name in set(_SELF.findall(project.source(path).data)):
                    found.setdefault(name, []).append(path)
        known = {name: paths for name, paths in found.items() if len(paths) <= _FEW}
        project.__dict__["_called_with_self"] = known
    return known
