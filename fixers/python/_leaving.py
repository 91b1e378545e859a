"""Ways out of a critical section that keep what it took."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.python.file import PythonFile, last_name
from threadmend.python.flow import (
    after,
    always_leaves,
    can_raise,
    innermost_loop,
    leaves,
    walk,
)
from threadmend.python.functions import Function
from threadmend.python.lockcalls import lock_calls
from threadmend.python.locks import Lock, Section, is_acquire, is_release, receiver
from threadmend.python.scope import parent

from ._failing import untold

__all__ = ["before_try", "goes_round", "half_handled", "way_out"]

_HARMLESS = frozenset({"debug", "info", "warning", "warn", "error", "log", "print", "len", "repr",
                       "str", "time", "monotonic", "perf_counter", "current_thread", "get_ident",
                       "getpid", "getLogger", "dict", "list", "set", "isinstance",
                       "append"})  # fmt: skip
"""Calls that hardly ever raise, which stand before many a try statement."""


def goes_round(file: PythonFile, section: Section, node: ast.AST) -> bool:
    """Return whether a `continue` leads back to where the section takes what it still has: the
    section is a part of the loop's body, and nobody else gives anything back.
    """
    if not isinstance(node, ast.Continue) or section.release is None:
        return False
    if innermost_loop(node) is not innermost_loop(section.start):
        return False
    text = file.text(section.item)
    releases = [c for c in file.calls("release") if file.text(receiver(c)) == text]
    return len(releases) == 1 and file.statement(releases[0]) is section.release


def before_try(file: PythonFile, call: ast.Call, lock: Lock) -> tuple[Section, ast.Try] | None:
    """Return what lies between `x.acquire()` and a try statement further down its block whose
    `finally` releases x, when that can raise or leave, and the try statement.
    """
    above = parent(call)
    start = parent(above) if isinstance(above, ast.Await) else above
    if not isinstance(start, ast.Expr):
        return None
    item = receiver(call)
    rest = after(start)
    for number, tried in enumerate(rest):
        if isinstance(tried, ast.Try) and number:
            release = _released(file, tried.finalbody, item)
            if release is not None:
                body, function = rest[:number], file.function(start)
                section = Section(lock, "late", start, item, body, release, function)
                return (section, tried) if _loses(section) else None
        if any(is_release(node) or is_acquire(node) for node in walk(tried)):
            return None
    return None


def _released(file: PythonFile, block: list[ast.stmt], item: ast.expr) -> ast.stmt | None:
    """Return the statement of a block that releases x."""
    for statement in block:
        call = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(call, ast.Call) and is_release(call):
            if file.text(receiver(call)) == file.text(item):
                return statement
    return None


def _loses(section: Section) -> bool:
    """Return whether what stands before a try statement leaves, or makes calls that may raise."""
    leaving = leaves(section.body)
    if leaving:
        plain = ast.Return | ast.Raise | ast.Await
        return all(isinstance(node, plain) for node in leaving)
    return any(
        isinstance(node, ast.Call) and last_name(node.func) not in _HARMLESS
        for node in walk(section.body)
    )


def way_out(file: PythonFile, section: Section) -> tuple[list[ast.AST], list[ast.stmt]] | None:
    """Return what leaves a section with the lock held (nothing: only an exception does), and the
    releases before a way out inside of it; None when it is left in no way, or on purpose.
    """
    released = _released_before_leaving(file, section)
    if released is None:
        return None
    leaving = [node for node in leaves(section.body) if not _follows(node, released)]
    if section.lock.family == "async":
        leaving = [node for node in leaving if not isinstance(node, ast.Await)]
    plain = ast.Return | ast.Raise
    if _is_manager(section.function):  # what is raised under its `with` comes out of the yield
        given = [node for node in leaving if isinstance(node, ast.Yield)]
        if given:
            leaving = [node for node in leaving if node not in given]
            return (leaving, released) if all(isinstance(n, plain) for n in leaving) else None
    if not all(isinstance(n, plain) or goes_round(file, section, n) for n in leaving):
        return None  # a hand-over, or a generator that is left in the middle
    return (leaving, released) if leaving or can_raise(untold(file, section.body)) else None


def _is_manager(function: Function | None) -> bool:
    """Return whether a function is a `contextlib.contextmanager`."""
    return function is not None and any("contextmanager" in d for d in function.decorators)


def half_handled(file: PythonFile, section: Section) -> ast.Try | None:
    """Return the try statement of a section all of whose handlers release and leave, but which
    lets through what none of them names.
    """
    if section.kind != "acquire" or section.release is None or section.is_protected:
        return None
    inner = [s for s in section.body if isinstance(s, ast.Try)]
    tried = inner[0] if len(inner) == 1 else None
    if tried is None or not tried.handlers or tried.finalbody or not can_raise(tried.body):
        return None
    if not all(_gives_up(file, section, handler) for handler in tried.handlers):
        return None
    for call, takes in _touching(file, section):
        at = [*file.ancestors(call)]
        if takes and tried in at:
            return None
        if tried in at and not any(handler in at for handler in tried.handlers):
            return None
    return tried


def _gives_up(file: PythonFile, section: Section, handler: ast.ExceptHandler) -> bool:
    """Return whether a handler of some exceptions releases first of all, and leaves."""
    names = [] if handler.type is None else [last_name(n) for n in ast.walk(handler.type)]
    if handler.type is None or "Exception" in names or "BaseException" in names:
        return False
    first = handler.body[0]
    return _released(file, [first], section.item) is not None and always_leaves(handler.body)


def _released_before_leaving(file: PythonFile, section: Section) -> list[ast.stmt] | None:
    """Return the releases inside of the section right before a plain return, break or
    continue; None when there is another one, or another acquisition.
    """
    found = []
    for call, takes in _touching(file, section):
        if not any(s in section.body for s in file.ancestors(call)):
            continue
        statement = file.statement(call)
        following = after(statement)
        if takes or len(following) != 1 or not _is_plain(following[0]):
            return None
        found.append(statement)
    return found


def _touching(file: PythonFile, section: Section) -> Iterator[tuple[ast.Call, bool]]:
    """Yield the calls that take a section's lock, or give it back, and which of the two."""
    text = file.text(section.item)
    for one in lock_calls(file) if section.kind == "helped" else ():
        if one.call is section.item:
            text = one.text
    for one in lock_calls(file):
        if one.text == text:
            yield one.call, one.takes
    for call in file.calls("release", "acquire"):
        if isinstance(call.func, ast.Attribute) and file.text(call.func.value) == text:
            yield call, call.func.attr == "acquire"


def _is_plain(statement: ast.stmt) -> bool:
    """Return whether a statement only leaves: what it computes would now be under the lock."""
    if isinstance(statement, ast.Return):
        return isinstance(statement.value, ast.Name | ast.Constant | None)
    return isinstance(statement, ast.Break | ast.Continue)


def _follows(node: ast.AST, released: list[ast.stmt]) -> bool:
    return any(after(statement)[0] is node for statement in released)
