"""Ways out of a critical section that keep what it took."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.python.file import PythonFile, last_name
from threadmend.python.flow import after, can_raise, innermost_loop, leaves, walk
from threadmend.python.lockcalls import lock_calls
from threadmend.python.locks import Lock, Section, is_acquire, is_release, receiver
from threadmend.python.scope import parent

__all__ = ["before_try", "goes_round", "way_out"]

_HARMLESS = frozenset({"debug", "info", "warning", "warn", "error", "log", "print", "len", "repr",
                       "str", "time", "monotonic", "perf_counter", "current_thread", "get_ident",
                       "getpid", "dict", "list", "set", "isinstance", "append"})  # fmt: skip
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
    if not all(isinstance(n, plain) or goes_round(file, section, n) for n in leaving):
        return None  # a hand-over, or a generator that is left in the middle
    return (leaving, released) if leaving or can_raise(section.body) else None


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
