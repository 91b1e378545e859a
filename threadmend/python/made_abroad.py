"""Objects that other files than that of their class make: `LoanDesk(self.catalogue)`."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from threadmend.python.api import makes

if TYPE_CHECKING:
    from threadmend.python.classes import Class
    from threadmend.python.file import PythonFile
    from threadmend.python.functions import Function
    from threadmend.python.project import PythonProject

__all__ = ["made_abroad"]

_MANY = 60
"""Files of a project: of a larger one each process would read most for a few objects."""
_FEW = 4
"""What more files name is too common to ask them all."""

Calls = list[tuple["PythonFile", ast.Call]]


def made_abroad(init: Function) -> Calls:
    """Return the calls of the class whose `__init__` is given in the other files of a project that
    is not large, tests left out; none of what many files make, or of a class whose file shares
    nothing with threads that it knows of.
    """
    file = init.file
    if init.cls is None or init.name != "__init__" or init.outer is not None:
        return []
    known: dict[Function, Calls] = file.__dict__.setdefault("_made_abroad", {})
    if init not in known:
        known[init] = []
        known[init] = _calls(init.cls) if makes(file.data) and not file.is_test else []
    return known[init]


def _calls(cls: Class) -> Calls:
    file, project = cls.file, cls.file.project
    word = file.encode(f"{cls.name}(")
    paths = [p for p in _readable(project) if p != file.path and word in project.source(p).data]
    if len(paths) > _FEW:
        return []
    others = [other for other in map(project.readable, paths) if other is not None]
    return [
        (other, call)
        for other in others
        for call in other.calls(cls.name)
        if other.qualified(call.func) == cls.qualified
    ]


def _readable(project: PythonProject) -> list[str]:
    """Return the files that are read for such a question: none of a large project."""
    from threadmend.python.file import is_test

    known: list[str] | None = project.__dict__.get("_asked_who_makes")
    if known is None:
        known = [path for path in project.paths if not is_test(path)]
        known = project.__dict__["_asked_who_makes"] = known if len(known) <= _MANY else []
    return known
