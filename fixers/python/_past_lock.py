"""Waits for a thread that has the lock behind it, as a flag says that its last section sets:

with self._lock:                        def _run(self):
    if self._stopping:                      …
        self._thread.join()                 with self._lock:
                                                self._stopping = True
                                            # and takes the lock no more
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from threadmend.python.file import PythonFile
from threadmend.python.flow import enclosing, walk
from threadmend.python.functions import Function
from threadmend.python.locks import Section
from threadmend.python.places import Place
from threadmend.python.threads import reached
from threadmend.python.uses import is_self

__all__ = ["is_past_lock"]


def is_past_lock(
    file: PythonFile, call: ast.Call, place: Place, targets: Sequence[Function]
) -> bool:
    """Return whether a wait stands under a flag which all threads that are waited for set in the
    last section of the lock that they take.
    """
    statement = file.statement(call)
    tests = [
        above.test
        for above in enclosing(statement, ast.If)
        if isinstance(above, ast.If) and statement in walk(above.body)
    ]
    flags = {t.attr for t in tests if isinstance(t, ast.Attribute) and is_self(file, t.value)}
    return any(all(_sets_last(one, place, flag) for one in targets) for flag in flags)


def _sets_last(target: Function, place: Place, flag: str) -> bool:
    """Return whether the last section of the lock in a thread's function sets the flag, nothing
    else does, and what is called behind it takes no lock.
    """
    file, home = target.file, target.home
    own = [s for s in file.sections if s.function is target and s.lock.place == place]
    last = max(own, key=lambda s: s.start.lineno, default=None)
    if last is None or home is None:
        return False
    setting = [u for u in home.uses_of(flag) if u.mode == "write" and _is_true(u.node, u.function)]
    inside = {*walk(last.body)}
    if not setting or not all(use.node in inside for use in setting):
        return False
    return not any(
        s.function in reached(callee)
        for behind, callee in target.callees.items()
        if _is_behind(behind, last)
        for s in file.sections
        if s.lock.place == place
    )


def _is_behind(call: ast.Call, section: Section) -> bool:
    return call.lineno > (section.body[-1].end_lineno or 0)


def _is_true(node: ast.expr, function: Function) -> bool:
    """Return whether an attribute is not set back, to False."""
    statement = function.file.parent(node)
    value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
    return not (isinstance(value, ast.Constant) and not value.value)
