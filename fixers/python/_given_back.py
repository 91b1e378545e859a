"""Slots that a job gives back: `job.add_done_callback(lambda _: slots.release())`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.python.file import PythonFile, last_name
from threadmend.python.flow import after, can_raise, leaves, walk
from threadmend.python.functions import Function, function_of
from threadmend.python.locks import Lock, is_acquire, is_release, receiver

__all__ = ["until_callback"]

_TASKS = frozenset({"create_task", "ensure_future"})


def until_callback(file: PythonFile, call: ast.Call, slot: Lock) -> list[ast.stmt] | None:
    """Return the statements between `slots.acquire()` and what gives the slot back at the end of a
    job, when one of them may raise: then there is no job, and the slot is lost.
    """
    above = file.parent(call)
    start = file.parent(above) if isinstance(above, ast.Await) else above
    if not isinstance(start, ast.Expr):
        return None
    rest = after(start)
    for number, statement in enumerate(rest):
        if _gives_back(file, statement, slot):
            return rest[:number] if _loses(rest[:number]) else None
        if any(is_release(node) or is_acquire(node) for node in walk(statement)):
            return None
        if isinstance(statement, ast.Try):
            return None  # what it does about an error is not asked
    return None


def _gives_back(file: PythonFile, statement: ast.stmt, slot: Lock) -> bool:
    """Return whether a statement only tells a job to give the slot back when it is done."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or last_name(call.func) != "add_done_callback":
        return False
    given = call.args[0] if call.args else None
    if isinstance(given, ast.Lambda):
        return any(_is_slot(file, node, slot) for node in ast.walk(given.body))
    callback = function_of(file, given)
    return callback is not None and any(_releases(callback, slot))


def _releases(callback: Function, slot: Lock) -> Iterator[bool]:
    for statement in callback.body:
        for node in walk(statement) if isinstance(statement, ast.Expr | ast.Try) else ():
            yield _is_slot(callback.file, node, slot)


def _is_slot(file: PythonFile, node: ast.AST, slot: Lock) -> bool:
    if not isinstance(node, ast.Call) or not is_release(node):
        return False
    place = file.place(receiver(node))
    return place is not None and place.anywhere == slot.place.anywhere


def _loses(between: list[ast.stmt]) -> bool:
    """Return whether one of some statements may raise: a task is made in any case."""
    if not between or any(not isinstance(node, ast.Await) for node in leaves(between)):
        return False
    if not can_raise(between):
        return False
    calls = [node for node in walk(between) if isinstance(node, ast.Call)]
    made = [c for c in calls if last_name(c.func) in _TASKS]
    if made:
        inside = {a for c in made for a in c.args if isinstance(a, ast.Call)}
        return any(c not in made and c not in inside for c in calls)
    return bool(calls)
