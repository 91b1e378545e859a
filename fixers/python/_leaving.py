"""Ways out of a critical section that keep what it took."""

from __future__ import annotations

import ast

from threadmend.python.file import PythonFile
from threadmend.python.flow import after, can_raise, innermost_loop, leaves
from threadmend.python.locks import Section, receiver

__all__ = ["goes_round", "way_out"]


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
    text = file.text(section.item)
    found = []
    for call in file.calls("release", "acquire"):
        if not any(s in section.body for s in file.ancestors(call)):
            continue
        if not isinstance(call.func, ast.Attribute) or file.text(call.func.value) != text:
            continue
        statement = file.statement(call)
        following = after(statement)
        if call.func.attr == "acquire" or len(following) != 1 or not _is_plain(following[0]):
            return None
        found.append(statement)
    return found


def _is_plain(statement: ast.stmt) -> bool:
    """Return whether a statement only leaves: what it computes would now be under the lock."""
    if isinstance(statement, ast.Return):
        return isinstance(statement.value, ast.Name | ast.Constant | None)
    return isinstance(statement, ast.Break | ast.Continue)


def _follows(node: ast.AST, released: list[ast.stmt]) -> bool:
    return any(after(statement)[0] is node for statement in released)
