"""What may fail: less than whatever may raise."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from threadmend.python import api
from threadmend.python.arguments import given_to
from threadmend.python.borrowed import borrowed_sections
from threadmend.python.file import PythonFile
from threadmend.python.flow import can_raise, walk, without_text
from threadmend.python.functions import function_of
from threadmend.python.lockcalls import lock_calls
from threadmend.python.locks import is_acquire, is_release, receiver

__all__ = ["is_logged", "is_told", "may_fail", "untold"]

_LOGS = frozenset({"debug", "info", "warning", "error", "exception", "critical"})
_LOGGER = re.compile(r"(?i)log(?:ger|ging)?$")
_ALL = frozenset({"Exception", "BaseException"})
_ASKED = frozenset(
    {"isinstance", "getattr", "hasattr", "callable", "type", "str", "repr", "print", "sys.exc_info"}
)
"""Functions of which a handler may make the words that tell of an exception."""


def may_fail(file: PythonFile, block: Sequence[ast.stmt]) -> bool:
    """Return whether something in a block may raise and is not caught there: comparing,
    taking a lock, adding to a collection and writing to a log hardly ever do.
    """
    return any(_may_fail(file, statement) for statement in block)


def _may_fail(file: PythonFile, statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Try):
        handled = any(_catches_all(file, h) for h in statement.handlers)
        rest = [*statement.orelse, *statement.finalbody, *([] if handled else statement.body)]
        others = (h for h in statement.handlers if not _only_describes(file, h))
        return may_fail(file, [*rest, *(s for h in others for s in h.body)])
    if isinstance(statement, ast.With):
        held = [s.item for s in borrowed_sections(file) if s.start is statement]
        entered = [i.context_expr for i in statement.items]
        is_locked = all(file.lock(e) or e in held for e in entered)
        return not is_locked or may_fail(file, statement.body)
    if isinstance(statement, ast.If):
        inner = [*statement.body, *statement.orelse]
        return can_raise([statement.test], ast.cmpop) or may_fail(file, inner)
    if isinstance(statement, ast.Assign):
        made = statement.value
        if isinstance(made, ast.Call) and _catches_what_it_does(file, made):
            return can_raise([*given_to(made), *map(_without_store, statement.targets)], ast.cmpop)
        return can_raise([statement.value, *map(_without_store, statement.targets)], ast.cmpop)
    call = statement.value if isinstance(statement, ast.Expr) else None
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
        if _is_logging(file, call.func) or _is_adding(file, call.func):
            return can_raise(given_to(call))
        if call.func.attr == "task_done" and file.is_a(call.func.value, api.QUEUES):
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
    if callee is None or callee.is_async or callee.is_generator:
        return False
    if not {*callee.decorators} <= {"staticmethod", "classmethod"}:
        return False
    body = without_text(callee.body)
    attempt = body[0] if body else None
    if not isinstance(attempt, ast.Try) or attempt.finalbody or not all(map(_answers, body[1:])):
        return False
    told = all(is_told(callee.file, s) or _answers(s) for h in attempt.handlers for s in h.body)
    return told and any(_catches_all(callee.file, h) for h in attempt.handlers)


def _answers(statement: ast.stmt) -> bool:
    """Return whether a statement returns a constant: whether the work was done."""
    if not isinstance(statement, ast.Return):
        return False
    return statement.value is None or isinstance(statement.value, ast.Constant)


def _only_describes(file: PythonFile, handler: ast.ExceptHandler) -> bool:
    """Return whether a handler of everything only finds the words for what has failed, and tells
    of it: `name = getattr(job, "name", "")`, `logger.error("%s failed", name)`.
    """
    return _catches_all(file, handler) and all(
        not isinstance(node, ast.Raise | ast.Await | ast.Yield | ast.YieldFrom | ast.Subscript)
        and (not isinstance(node, ast.Call) or _is_asked(file, node))
        for node in walk(handler.body)
    )


def _is_asked(file: PythonFile, call: ast.Call) -> bool:
    """Return whether a call only looks at something, or tells of it."""
    name = file.qualified(call.func) or ""
    if name in _ASKED or name.startswith("traceback."):
        return True
    return isinstance(call.func, ast.Attribute) and _is_logging(file, call.func)


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
