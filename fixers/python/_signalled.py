"""Waits for events, queues and conditions that others serve only under a lock which is held."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.python import api
from threadmend.python.arguments import argument
from threadmend.python.file import PythonFile
from threadmend.python.flow import enclosing
from threadmend.python.held import held_here
from threadmend.python.places import Place

__all__ = ["signalled"]

_SERVED = {"set": "wait", "put": "get", "put_nowait": "get", "notify": "wait",
           "notify_all": "wait", "notifyAll": "wait"}  # fmt: skip
"""What ends a wait."""


def signalled(file: PythonFile) -> Iterator[tuple[ast.Call, Place, ast.Call]]:
    """Yield the waits, the lock that is held, and a call that would end them under that lock."""
    for call in file.calls("wait", "get"):
        func, function = call.func, file.function(call)
        if not isinstance(func, ast.Attribute) or function is None or function.is_async:
            continue
        held = held_here(file, call)
        if not held.locks or held.unknown or not _is_endless(file, call, func):
            continue
        if _is_asked(file, call, func):
            continue
        place = file.place(func.value)
        lock = file.lock(func.value) if file.is_a(func.value, api.CONDITIONS) else None
        own = None if lock is None else lock.place
        if place is None or not _is_private(place):
            continue
        serving = _serving(file, call, func)
        for taken in sorted(held.locks):
            if taken != own and _is_thread_lock(file, taken) and serving:
                if all(taken in file.held(other).locks for other in serving):
                    yield call, taken, serving[0]
                    break


def _is_endless(file: PythonFile, call: ast.Call, func: ast.Attribute) -> bool:
    """Return whether a call waits for a signal without a limit."""
    if func.attr == "wait":
        kinds = api.EVENTS | api.CONDITIONS
        return not call.args and not call.keywords and file.is_a(func.value, kinds)
    if not file.is_a(func.value, api.QUEUES) or argument(call, 1, "timeout") is not None:
        return False
    block = argument(call, 0, "block")
    return block is None or (isinstance(block, ast.Constant) and block.value is True)


def _is_asked(file: PythonFile, call: ast.Call, func: ast.Attribute) -> bool:
    """Return whether a queue or an event is looked at first: `if not q.empty(): q.get()`."""
    text = file.text(func.value)
    tests = [test.test for test in enclosing(call, ast.If, ast.While)]  # type: ignore[attr-defined]
    return not file.is_a(func.value, api.CONDITIONS) and any(
        isinstance(node, ast.Attribute) and file.text(node.value) == text
        for test in tests
        for node in ast.walk(test)
    )


def _is_private(place: Place) -> bool:
    """Return whether only the class itself serves an attribute: by its name."""
    return place.base == "self" and place.name.startswith("_")


def _is_thread_lock(file: PythonFile, place: Place) -> bool:
    return any(s.lock.place == place and s.lock.family == "thread" for s in file.sections)


def _serving(file: PythonFile, wait: ast.Call, func: ast.Attribute) -> list[ast.Call]:
    """Return the calls that end a wait; none where what is waited for goes elsewhere."""
    place, found = file.place(func.value), []
    for other in file.calls(*_SERVED):
        node = other.func
        if isinstance(node, ast.Attribute) and file.place(node.value) == place:
            if _SERVED[node.attr] == func.attr:
                found.append(other)
    name = func.value.attr if isinstance(func.value, ast.Attribute) else ""
    for node in file.nodes(ast.Attribute):
        assert isinstance(node, ast.Attribute)
        if node.attr == name and isinstance(node.ctx, ast.Load):
            above = file.parent(node)
            if not isinstance(above, ast.Attribute | ast.withitem):
                return []  # others get it, and may serve it without the lock
    return found
