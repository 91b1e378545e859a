"""Take the lock here as everywhere else

Most uses of an attribute stand under one lock, and a few do not. Either those few are mistakes,
or the lock is not what keeps the attribute safe; whoever reads the code cannot tell.

Not reported: single reads, which see the value before or the one after; attributes with fewer
than two thirds of their uses under the lock, or that are never changed under it; initializers
and what only they call; handlers after a fork, of pickling and of `repr`; private helpers that
are always called with the lock, names and docstrings that say that the caller holds it.

Unsafe: what ran at the same time now runs one after the other; code that left the lock out
on purpose, because one thread alone uses it then, waits for no reason.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from threadmend.model import Confidence, Finding, Fix, Related, Safety
from threadmend.python.builders import BuilderError
from threadmend.python.classes import AttributeUse, Class
from threadmend.python.file import PythonFile
from threadmend.python.guards import Guard, guards_of
from threadmend.python.locks import Lock

from ._data import Data, Use
from ._guarding import check_apart, is_held_before, takes_again
from ._hold import edits_of, plan_of
from ._unit import Unit

CATEGORY = "shared-state"
GATE = rb"[lL]ock|Condition"
OPT_IN = True

_SHARE = 2 / 3
_ALONE = re.compile(r"fork|__(?:del|repr|str|getstate|setstate|reduce|copy|deepcopy|len|bool)__")
_SIMPLE = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.Return, ast.Delete)


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the uses without the lock that most others are under."""
    if file.is_test:
        return
    seen: set[ast.AST] = set()
    for cls in file.classes:
        for guard in guards_of(cls).values():
            if guard.share < _SHARE or not guard.unlocked or not _is_guarded(guard):
                continue
            lock = _lock(file, cls, guard)
            if lock is None:
                continue
            for use in guard.unlocked:
                statement = file.statement(use.node)
                if statement not in seen and _is_doubtful(file, use):
                    seen.add(statement)
                    yield _finding(file, cls, guard, lock, use)


def _is_guarded(guard: Guard) -> bool:
    """Return whether the lock is there for the attribute: two uses, and a change, under it."""
    return len(guard.locked) > 1 and any(use.changes for use in guard.locked)


def _lock(file: PythonFile, cls: Class, guard: Guard) -> Lock | None:
    """Return the lock of threads that the class can name `self.lock`."""
    for use in (use for one in cls.mro for use in one.uses):
        if use.function.file is file:
            lock = file.lock(use.node)
            if lock is not None and lock.place == lock.own == guard.lock:
                return lock if lock.family == "thread" else None
    return None


def _is_doubtful(file: PythonFile, use: AttributeUse) -> bool:
    """Return whether a use is more than a single read, which sees one value or the other."""
    function = use.function
    if function.file is not file or function.is_async or _ALONE.search(function.name):
        return False
    statement = file.statement(use.node)
    if use.changes:
        return True
    if isinstance(statement, ast.For | ast.If | ast.With | ast.Try):
        return False
    assert function.home is not None
    guards = guards_of(function.home)
    lock = guards[use.name].lock if use.name in guards else None
    others = {n for g in guards.values() if g.lock == lock for n in (u.node for u in g.unlocked)}
    return sum(node in others for node in ast.walk(statement)) > 1


def _finding(file: PythonFile, cls: Class, guard: Guard, lock: Lock, use: AttributeUse) -> Finding:
    start, end = file.span(use.node)
    name, held = ast.unparse(use.node), lock.place.name
    count = len(guard.locked)
    said = f"{name} is used without {held}, which {count} other uses are under"
    first = guard.locked[0].node
    related: tuple[Related, ...] = ()
    if guard.locked[0].function.file is file:
        related = (Related(file.path, *file.span(first), f"{name} is used under {held} here"),)
    data = Data(file, use.name, cls=cls)
    statement = file.statement(use.node)
    spelled = f"{ast.unparse(use.node.value)}.{held}"  # a span inside of an f-string is not known
    try:
        if not isinstance(statement, _SIMPLE):
            raise BuilderError("the lock would be held for the whole statement")
        unit = Unit("change", data, Use(use.node, use.mode, use.function, frozenset()), [statement])
        plan = plan_of(unit)
        if not lock.reentrant:
            if is_held_before(file, lock, {use.function}) or takes_again(file, [plan], lock):
                raise BuilderError(f"{held} would be taken twice by one thread")
        edits = tuple(edits_of(plan, spelled))
        check_apart([*edits])
    except BuilderError as error:
        return Finding(
            file.path, start, end, said, (), related, str(error), confidence=Confidence.MEDIUM
        )
    fix = Fix(f"Hold {spelled} here as well", edits, Safety.UNSAFE, f"it waits for {spelled}")
    return Finding(file.path, start, end, said, (fix,), related, confidence=Confidence.MEDIUM)
