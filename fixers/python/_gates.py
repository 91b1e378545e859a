"""Locks that are gates: made shut, for a thread to wait until another one opens them.

self._ready = threading.Lock()
self._ready.acquire()
"""

from __future__ import annotations

import ast

from threadmend.python.file import PythonFile
from threadmend.python.flow import before
from threadmend.python.locks import is_acquire, is_release, receiver
from threadmend.python.places import Place

__all__ = ["is_gate"]


def is_gate(file: PythonFile, place: Place) -> bool:
    """Return whether a function takes a lock right where it has made it, and leaves it taken."""
    known: set[Place] | None = file.__dict__.get("_gates")
    if known is None:
        gates = (_gate(file, call) for call in file.calls("acquire") if is_acquire(call))
        known = file.__dict__["_gates"] = {gate.anywhere for gate in gates if gate is not None}
    return place.anywhere in known


def _gate(file: PythonFile, call: ast.Call) -> Place | None:
    """Return the lock that a call shuts for others to open."""
    function, statement = file.function(call), file.parent(call)
    if function is None or not isinstance(statement, ast.Expr) or call.args or call.keywords:
        return None
    text = file.text(receiver(call))
    made = any(
        isinstance(earlier, ast.Assign)
        and [file.text(target) for target in earlier.targets] == [text]
        and isinstance(earlier.value, ast.Call)
        for earlier in before(statement)
    )
    opened = any(is_release(c) and file.text(receiver(c)) == text for c in function.calls)
    return file.place(receiver(call)) if made and not opened else None
