"""Which uses of an object's data come before one of its threads is started, or after it has ended:

def start(self):                    def stop(self):
    self.rows = []                      self.worker.stop()      # which joins
    self.worker.start()                 self.rows = []
"""

from __future__ import annotations

import ast
from collections.abc import Set

from threadmend.python import api
from threadmend.python.classes import Class
from threadmend.python.functions import Function
from threadmend.python.threads import Spawn, is_made_by
from threadmend.python.uses import is_self

__all__ = ["is_out_of_time"]


def is_out_of_time(function: Function, node: ast.expr, other: Spawn | None, thread: Spawn) -> bool:
    """Return whether a use of an object's data by `other` (None: whoever calls) comes before
    `thread` is started or after it has ended: in the method that starts or ends it, or in one that
    only these call.
    """
    if thread.kind not in {"thread", "run"} or function.home is None or other is thread:
        return False
    begins, ends = _boundaries(thread)
    if function in begins and node.lineno < begins[function]:
        return True
    if function in ends and node.lineno > ends[function]:
        return True
    if other is None or other.target is None or not (begins or ends):
        return False
    every, late = (_calls_beside(other.target, thread, is_cut=one) for one in (False, True))
    return function in every and function not in late


def _boundaries(thread: Spawn) -> tuple[dict[Function, int], dict[Function, int]]:
    """Return the methods that start a thread of an object which makes it elsewhere, and those that
    wait for its end, with the last line that does.
    """
    known: dict[Spawn, tuple[dict[Function, int], dict[Function, int]]]
    known = thread.file.__dict__.setdefault("_boundaries", {})
    if thread not in known:
        begins: dict[Function, int] = {}
        ends: dict[Function, int] = {}
        for call in thread.file.calls("start", "join", "stop", "close", "shutdown", "terminate"):
            function, func = thread.file.function(call), call.func
            if function is None or not isinstance(func, ast.Attribute):
                continue
            if not _is_of(thread, function, func.value):
                continue
            if func.attr == "start" and not _is_always_alone(function, thread):
                begins[function] = max(call.lineno, begins.get(function, 0))
            elif _joins(thread, func.value, func.attr):
                ends[function] = max(call.lineno, ends.get(function, 0))
        known[thread] = (begins, ends)
    return known[thread]


def _is_always_alone(function: Function, thread: Spawn) -> bool:
    """Return whether a method that starts a thread makes it as well, maybe one of several."""
    return thread.kind == "thread" and thread.file.function(thread.node) is function


def _is_of(thread: Spawn, function: Function, node: ast.expr) -> bool:
    """Return whether an expression is the thread of a spawn: an attribute that keeps it, or the
    object that is the thread.
    """
    if isinstance(thread.node, ast.ClassDef):
        own = thread.file.class_of(thread.node)
        mine = function.home is not None and own in function.home.mro
        return mine and own.inherits(*api.THREADS) and is_self(thread.file, node)
    return isinstance(node, ast.Attribute) and is_made_by(thread.file, node, thread)


def _joins(thread: Spawn, node: ast.expr, name: str) -> bool:
    """Return whether a method of a thread waits for its end: `join`, or one of the class that does
    it.
    """
    if name == "join":
        return True
    value = thread.file.value(node)
    cls: Class | None = None if value is None else value.cls
    method = None if cls is None else cls.method(name)
    return method is not None and any(
        isinstance(call.func, ast.Attribute)
        and call.func.attr == "join"
        and (is_self(method.file, call.func.value) or _is_super(call.func.value))
        for call in method.calls
    )


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == "super"


def _calls_beside(target: Function, thread: Spawn, *, is_cut: bool) -> Set[Function]:
    """Return what a function calls, through any number of calls; `is_cut` leaves out what it calls
    before a thread starts or after its end.
    """
    known: dict[tuple[Function, Spawn, bool], Set[Function]]
    known = thread.file.__dict__.setdefault("_calls_beside", {})
    if (target, thread, is_cut) not in known:
        begins, ends = _boundaries(thread)
        found: dict[Function, None] = {}
        pending = [target]
        while pending:
            one = pending.pop()
            if one in found:
                continue
            found[one] = None
            first, last = begins.get(one, 0), ends.get(one)
            pending += (
                callee
                for call, callee in one.callees.items()
                if not is_cut or (first <= call.lineno and (last is None or call.lineno <= last))
            )
        known[target, thread, is_cut] = found.keys()
    return known[target, thread, is_cut]
