"""Log what threads raise

An exception that nobody catches ends its thread. It is printed to stderr, which a service often
does not keep, and the program goes on without the thread: the log says nothing. A project that
logs wants `threading.excepthook` to do so as well.

Not reported: projects that set `threading.excepthook` or do not use `logging`; threads whose
function handles every exception; executors, whose futures keep exceptions.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from threadmend.model import Finding, Related
from threadmend.python import api
from threadmend.python.functions import Function
from threadmend.python.project import PythonProject
from threadmend.python.threads import Spawn

CATEGORY = "thread"
GATE = rb"Thread\b|Timer\b"
OPT_IN = True

_LOGS = re.compile(rb"(?m)^[ \t]*(?:import|from)[ \t]+logging\b")
_KINDS = frozenset({"thread", "timer", "run"})


def check(project: PythonProject) -> Iterator[Finding]:
    """Yield one finding at the first thread of a project whose exceptions nobody would log."""
    found: list[Spawn] = []
    for file in project.files():
        if b"excepthook" in file.data:
            return
        if not file.is_test:
            found += [s for s in file.spawns if s.kind in _KINDS and not s.through and _vanishes(s)]
    if not found or not any(_LOGS.search(project.source(path).data) for path in project.paths):
        return
    first, *others = found
    start, end = _span(first)
    count = "a thread" if not others else f"{len(found)} threads"
    said = f"exceptions of {count} go to stderr alone: nothing sets threading.excepthook"
    related = tuple(Related(s.file.path, *_span(s), "so do those of this thread") for s in others)
    reason = "where it is set, and to which log it writes, is for the program to say"
    yield Finding(first.file.path, start, end, said, related=related[:20], reason=reason)


def _span(spawn: Spawn) -> tuple[int, int]:
    """Return where a thread is made: the call, or the name of the class."""
    start, end = spawn.file.span(spawn.node)
    if isinstance(spawn.node, ast.ClassDef):
        end = spawn.file.data.find(b":", start)
    return start, end


def _vanishes(spawn: Spawn) -> bool:
    """Return whether an exception of the thread's function ends the thread."""
    if spawn.target is None:
        return False
    if isinstance(spawn.node, ast.ClassDef):
        cls = spawn.file.class_of(spawn.node)
        if not cls.inherits(*api.THREADS):
            return False
    return not _handles(spawn.target)


def _handles(function: Function) -> bool:
    """Return whether some handler of the function takes every exception."""
    for node in function.own:
        if isinstance(node, ast.ExceptHandler):
            named = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            names = {None if n is None else function.file.qualified(n) for n in named}
            if names & {None, "Exception", "BaseException"}:
                return True
    return False
