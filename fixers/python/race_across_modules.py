"""Hold a lock in what threads of another module share

A class or a module that knows nothing of threads is used by several of them: another module of
the project starts the threads, and hands them the object. What the class reads and writes in two
steps (`if key not in self.cache: self.cache[key] = make(key)`) is no longer one, and neither file
alone shows it.

Not reported: what the class's own file shows (see `counter-unlocked`, `check-then-act`,
`dict-race`, `inconsistent-lock`); objects that each thread makes for itself; single steps;
changes under a lock, or only for callers that ask for them by an argument that is False
otherwise (`settings(init=True)`).

Unsafe: what ran at the same time now runs one after the other; a lock becomes re-entrant
where a function that was handed in runs under it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace

from threadmend.model import Finding, Related
from threadmend.python.file import PythonFile
from threadmend.python.flow import enclosing
from threadmend.python.offers import helped
from threadmend.python.project import PythonProject
from threadmend.python.threads import Spawn

from ._contended import contended_by
from ._data import Data
from ._forgotten import forgotten
from ._given import abroad, in_threads
from ._guarding import finding, raced, with_units
from ._uneven import uneven

CATEGORY = "shared-state"
GATE = rb"Thread|Executor|executor|to_thread|Timer\b"

_THREADS = re.compile(GATE)
_SAID = "{} is read and changed in two steps, and threads of another module may do so at once"


def check(project: PythonProject) -> Iterator[Finding]:
    """Yield the data of a file that threads of other files race for."""
    for file in abroad(project):
        running = in_threads(file, of_many=True)
        known = {_key(data) for data, _ in raced(file)}
        every = with_units(contended_by(file, running))
        told = _told(file) if every else set()
        for data, units in every:
            if told.issuperset(unit.use.node for unit in units):
                continue
            starting = {s for u in units for s in u.use.threads if s is not None}
            places = _starts(file, starting)
            if all(_is_asked_for(file, unit.use.node) for unit in units):
                continue
            if places and _key(data) not in known and _is_between_threads(data):
                found = finding(data, units, _SAID, every)
                yield replace(found, related=(*found.related, *places))
    for file in helped(project):
        if not _THREADS.search(file.data):  # the rules of one file leave it out
            every = raced(file)
            for data, units in every:
                found = finding(data, units, _SAID, every)
                helping = {
                    inner
                    for unit in units
                    for spawn in unit.use.threads
                    if spawn is not None and (inner := spawn.through) is not None
                }
                yield replace(found, related=(*found.related, *_starts(file, helping)))


def _told(file: PythonFile) -> set[ast.expr]:
    """Return the changes of which other rules tell that they leave a lock out."""
    steps = {one.use.node for one in uneven(file) if one.is_step}
    return steps | {use.node for one in forgotten(file) for use in one.uses}


def _is_asked_for(file: PythonFile, node: ast.expr) -> bool:
    """Return whether only callers that say so get to a change: `if init:`, which is False when
    nobody says anything. Threads read what somebody set up.
    """
    function = file.function(node)
    if function is None or isinstance(function.node, ast.Lambda):
        return False
    given = function.node.args
    named = [*given.posonlyargs, *given.args][::-1]
    pairs = [*zip(named, given.defaults[::-1], strict=False)]
    pairs += [(a, d) for a, d in zip(given.kwonlyargs, given.kw_defaults, strict=True) if d]
    off = {a.arg for a, d in pairs if isinstance(d, ast.Constant) and d.value is False}
    return any(
        isinstance(above, ast.If)
        and isinstance(above.test, ast.Name)
        and above.test.id in off
        and any(node in ast.walk(s) for s in above.body)
        for above in enclosing(node, ast.If)
    )


def _is_between_threads(data: Data) -> bool:
    """Return whether threads that are seen race: a single one with whoever else may call the
    methods of a class from elsewhere does not.
    """
    seen = [replace(use, threads=use.threads - {None}) for use in data.uses]
    alone = replace(data, uses=seen)
    return any(map(alone.races, seen))


def _key(data: Data) -> tuple[object, ...]:
    return (data.name, data.cls, data.binding, data.of_class)


def _starts(file: PythonFile, spawns: set[Spawn]) -> tuple[Related, ...]:
    """Return where other files start the threads."""
    places = {(s.file.path, *s.file.span(s.node)) for s in spawns if s.file is not file}
    return tuple(Related(*place, "threads are started here") for place in sorted(places))
