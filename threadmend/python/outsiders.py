"""Methods that other files call with a lock of the object held:

with self.parent.lock:
    self.parent._stop(port)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.python.flow import walk

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile
    from threadmend.python.functions import Function
    from threadmend.python.places import Place
    from threadmend.python.project import PythonProject

__all__ = ["are_outsiders_locked", "is_locked_outside"]

_OF_ANOTHER = re.compile(rb"with(?<!\wwith)[ \t]+\w+\.[\w.]*(?i:lock|mutex|cond|cv)\w*[ \t]*[:,]")


def is_locked_outside(function: Function, lock: Place) -> bool:
    """Return whether another file calls a method of this name with the lock of its object held."""
    if lock.kind != "attribute" or function.cls is None:
        return False
    found = _locked(function.file.project)
    return any(path != function.file.path for path in found.get(_key(function, lock), ()))


def are_outsiders_locked(function: Function, lock: Place) -> bool:
    """Return whether others hold the lock of the object wherever the project calls a private
    method by its name, and its own file does not call it.
    """
    if not function.is_private or function.callers or not is_locked_outside(function, lock):
        return False
    project = function.file.project
    word = function.file.encode(function.name)
    name = re.compile(rb"\b" + re.escape(word) + rb"\b")
    named = sum(len(name.findall(project.source(p).data)) for p in project.naming(word))
    return named == 1 + sum(_locked(project)[_key(function, lock)].values())


def _key(function: Function, lock: Place) -> tuple[str, str]:
    return function.name, lock.name.rpartition(".")[2]


def _locked(project: PythonProject) -> dict[tuple[str, str], dict[str, int]]:
    """Return how often each file calls a method in a section of a lock of the same object, by the
    names of the method and of the lock.
    """
    known: dict[tuple[str, str], dict[str, int]] | None
    known = project.__dict__.get("_locked_outside")
    if known is None:
        known = project.__dict__["_locked_outside"] = {}
        for path in project.paths:
            if _OF_ANOTHER.search(project.source(path).data):
                file = project.readable(path)
                for name, lock in _calls(file) if file is not None else ():
                    times = known.setdefault((name, lock), {})
                    times[path] = times.get(path, 0) + 1
    return known


def _calls(file: PythonFile) -> Iterator[tuple[str, str]]:
    """Yield the methods that are called in a section of a lock of the same object, by their names
    and those of the locks.
    """
    for section in file.nodes(ast.With):
        assert isinstance(section, ast.With)
        for item in section.items:
            lock = item.context_expr
            if not isinstance(lock, ast.Attribute):
                continue
            owner = file.text(lock.value)
            for node in walk(section.body):
                func = node.func if isinstance(node, ast.Call) else None
                if isinstance(func, ast.Attribute) and file.text(func.value) == owner:
                    yield func.attr, lock.attr
