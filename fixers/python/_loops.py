"""Which library runs the coroutines of a file: a lock of asyncio fails in a program of trio."""

from __future__ import annotations

import re

from threadmend.python.file import PythonFile
from threadmend.python.project import PythonProject

__all__ = ["loop_library"]

_IMPORTS = re.compile(
    rb"(?m)^[ \t]*(?:import[ \t]+(?:[^\n#;]*,[ \t]*)?|from[ \t]+)(asyncio|trio|anyio|curio)\b"
)


def loop_library(file: PythonFile) -> str | None:
    """Return the library whose loop runs a file's coroutines, None where nobody can tell: what
    the file imports counts, else what the project does.
    """
    own = _imported(file.data)
    return _only(own or _of_project(file.project))


def _imported(data: bytes) -> frozenset[str]:
    return frozenset(name.decode() for name in _IMPORTS.findall(data))


def _only(found: frozenset[str]) -> str | None:
    """Return the one library of several: what anyio offers works in all loops."""
    if len(found) > 1:
        return "anyio" if "anyio" in found and "curio" not in found else None
    return next(iter(found), "asyncio")


def _of_project(project: PythonProject) -> frozenset[str]:
    known: frozenset[str] | None = project.__dict__.get("_loop_libraries")
    if known is None:
        every = (_imported(project.source(path).data) for path in project.paths)
        known = project.__dict__["_loop_libraries"] = frozenset().union(*every)
    return known
