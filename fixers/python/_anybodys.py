"""A lock that is released whoever has it: `finally: if lock.locked(): lock.release()`, of a try
statement that begins with waiting for the lock.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Related, Safety
from threadmend.python.builders import BuilderError, delete, insert_before, is_alone
from threadmend.python.file import PythonFile
from threadmend.python.locks import Lock, is_acquire, is_release, receiver
from threadmend.python.scope import parent

__all__ = ["released_for_others"]


def released_for_others(file: PythonFile) -> Iterator[Finding]:
    """Yield the releases of what somebody else may have by then: the wait was given up."""
    for tried in file.nodes(ast.Try):
        assert isinstance(tried, ast.Try)
        asked = _asked(file, tried)
        call = None if asked is None else _acquired(tried.body[0])
        lock = None if call is None else file.lock(receiver(call))
        if asked is None or call is None or lock is None or not _may_fail(call, lock):
            continue
        name = file.text(receiver(call))
        if file.text(receiver(asked)) == name:
            yield _finding(file, tried, asked, name)


def _asked(file: PythonFile, tried: ast.Try) -> ast.Call | None:
    """Return `x.locked()` of `if x.locked(): x.release()`, with which a `finally` begins."""
    test = tried.finalbody[0] if tried.finalbody else None
    if not isinstance(test, ast.If) or test.orelse:
        return None
    asked = test.test
    if isinstance(asked, ast.Compare) and file.text(asked.comparators[0]) == "True":
        asked = asked.left
    first = test.body[0].value if isinstance(test.body[0], ast.Expr) else None
    if not isinstance(asked, ast.Call) or not isinstance(asked.func, ast.Attribute):
        return None
    if asked.func.attr != "locked" or not isinstance(first, ast.Call) or not is_release(first):
        return None
    return asked if file.text(receiver(first)) == file.text(receiver(asked)) else None


def _acquired(statement: ast.stmt) -> ast.Call | None:
    """Return the call of `x.acquire()` or `await x.acquire()`."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if isinstance(call, ast.Await):
        call = call.value
    return call if isinstance(call, ast.Call) and is_acquire(call) else None


def _may_fail(call: ast.Call, lock: Lock) -> bool:
    """Return whether a wait may end without the lock: a task's that is cancelled, or a limit."""
    is_task = lock.family == "async" and isinstance(parent(call), ast.Await)
    return is_task or (lock.family == "thread" and bool(call.args or call.keywords))


def _finding(file: PythonFile, tried: ast.Try, asked: ast.Call, name: str) -> Finding:
    start, end = file.span(asked)
    said = f"{name} is released here even if somebody else has it, when the wait for it ended early"
    seen = Related(file.path, *file.span(tried.body[0]), "the wait is here")
    try:
        edits = _edits(file, tried)
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=(seen,), reason=str(error))
    fix = Fix(f"Wait for {name} before the try statement", edits, Safety.UNSAFE, _WHY)
    return Finding(file.path, start, end, said, related=(seen,), fixes=(fix,))


_WHY = "what the wait raises no longer runs what follows"


def _edits(file: PythonFile, tried: ast.Try) -> tuple[Edit, ...]:
    """Move the wait in front of the try statement: the lock is held there in any case."""
    first = tried.body[0]
    call = _acquired(first)
    if call is None or call.args or call.keywords:
        raise BuilderError("nobody looks whether the lock was taken")
    if len(tried.body) == 1 or not is_alone(file, first):
        raise BuilderError("nothing else is tried")
    return (*insert_before(file, tried, file.text(first)), *delete(file, first, comments=False))
