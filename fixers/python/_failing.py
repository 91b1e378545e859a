"""What may fail: less than whatever may raise."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from threadmend.python import api
from threadmend.python.arguments import given_to
from threadmend.python.borrowed import borrowed_sections
from threadmend.python.file import PythonFile
from threadmend.python.flow import can_raise, without_text
from threadmend.python.functions import function_of
from threadmend.python.lockcalls import lock_calls
from threadmend.python.locks import is_acquire, is_release, receiver

__all__ = ["is_logged", "is_told", "may_fail", "untold"]

_LOGS = frozenset({"debug", "info", "warning", "error", "exception", "critical"})
_LOGGER = re.compile(r"(?i)log(?:ger|ging)?$")
_ALL = frozenset({"Exception", "BaseException"})


def may_fail(file: PythonFile, block: Sequence[ast.stmt]) -> bool:
    """Return whether something in a block may raise and is not caught there: comparing,
    taking a lock, adding to a collection and writing to a log hardly ever do.
    """
    return any(_may_fail(file, statement) for statement in block)


def _may_fail(file: PythonFile, statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Try):
        handled = any(_catches_all(file, h) for h in statement.handlers)
        rest = [*statement.orelse, *statement.finalbody, *([] if handled else statement.body)]
        return may_fail(file, [*rest, *(s for h in statement.handlers for s in h.body)])
    if isinstance(statement, ast.With):
        held = [s.item for s in borrowed_sections(file) if s.start is statement]
        entered = [i.context_expr for i in statement.items]
        is_locked = all(file.lock(e) or e in held for e in entered)
        return not is_locked or may_fail(file, statement.body)
    if isinstance(statement, ast.If):
        inner = [*statement.body, *statement.orelse]
        return can_raise([statement.test], ast.cmpop) or may_fail(file, inner)
    if isinstance(statement, ast.Assign):
        return can_raise([statement.value, *map(_without_store, statement.targets)], ast.cmpop)
    call = statement.value if isinstance(statement, ast.Expr) else None
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
        if _is_logging(file, call.func) or _is_adding(file, call.func):
            return can_raise(given_to(call))
    if isinstance(call, ast.Call) and file.qualified(call.func) == "print":
        return can_raise(given_to(call))
    if isinstance(call, ast.Call) and _is_lock_call(file, call):
        return False
    if isinstance(call, ast.Call) and _catches_what_it_does(file, call):
        return can_raise(given_to(call))
    return can_raise([statement])


def _is_lock_call(file: PythonFile, call: ast.Call) -> bool:
    """Return whether a call takes or releases a lock, also by a helper."""
    if is_acquire(call) or is_release(call):
        return file.lock(receiver(call)) is not None
    return any(one.call is call for one in lock_calls(file))


def _catches_what_it_does(file: PythonFile, call: ast.Call) -> bool:
    """Return whether a call is of a function of the project that handles every exception of what
    it does, and only tells of it.
    """
    callee = function_of(file, call.func)
    if callee is None or callee.is_async or callee.is_generator or callee.decorators:
        return False
    body = without_text(callee.body)
    attempt = body[0] if len(body) == 1 else None
    if not isinstance(attempt, ast.Try) or attempt.finalbody:
        return False
    told = all(is_told(callee.file, s) for h in attempt.handlers for s in h.body)
    return told and any(_catches_all(callee.file, h) for h in attempt.handlers)


def untold(file: PythonFile, block: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Return the statements of a block but for those that only say what happens."""
    return [statement for statement in block if not is_told(file, statement)]


def is_told(file: PythonFile, statement: ast.stmt) -> bool:
    """Return whether a statement says what happens, and does nothing else."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call):
        return isinstance(statement, ast.Pass)
    name = file.qualified(call.func) or ""
    return is_logged(file, statement) or name == "print" or name.startswith("traceback.")


def _catches_all(file: PythonFile, handler: ast.ExceptHandler) -> bool:
    return handler.type is None or file.qualified(handler.type) in _ALL


def _without_store(target: ast.expr) -> ast.expr:
    """Return `k` of `self.found[k] = …`: what has to be worked out to set it."""
    if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name | ast.Attribute):
        return target.slice
    return target


def is_logged(file: PythonFile, statement: ast.stmt) -> bool:
    """Return whether a statement writes to a log, and does nothing else."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    func = call.func if isinstance(call, ast.Call) else None
    return isinstance(func, ast.Attribute) and _is_logging(file, func)


def _is_logging(file: PythonFile, func: ast.Attribute) -> bool:
    if func.attr not in _LOGS:
        return False
    if isinstance(func.value, ast.Call):
        return file.qualified(func.value.func) == "logging.getLogger"
    return _LOGGER.search(file.text(func.value)) is not None


def _is_adding(file: PythonFile, func: ast.Attribute) -> bool:
    return func.attr in {"append", "add", "put"} and file.is_a(
        func.value, api.COLLECTIONS | api.QUEUES
    )
