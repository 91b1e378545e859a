"""Workers that are told to stop by a flag, and wait for an item where they cannot see it."""

from __future__ import annotations

import ast
import re

from threadmend.python import api
from threadmend.python.file import PythonFile
from threadmend.python.flow import leaves, walk
from threadmend.python.functions import Function
from threadmend.python.places import Place
from threadmend.python.queues import QueueUse
from threadmend.python.scope import parent
from threadmend.python.threads import reached

from ._taken import Taken

__all__ = ["flag_of_loop", "is_told_by_item", "sets_before"]


_PLAIN = rb"(?:None|[A-Z]\w*(?:\(\))?|\"|'|\(\))"


def flag_of_loop(file: PythonFile, one: Taken) -> tuple[Place, bool] | None:
    """Return the flag that ends a loop, a variable or an Event, and the value that does it:
    `while not self.stopped:`, `while self.running:`, or the test that a round begins with.
    """
    if not isinstance(one.loop, ast.While) or not one.waits or one.end is not None:
        return None
    if not isinstance(one.call.func, ast.Attribute) or one.call.func.attr != "get":
        return None
    test, ends = one.loop.test, False
    if isinstance(test, ast.Constant) and test.value:
        first = one.loop.body[0]
        if not isinstance(first, ast.If) or first.orelse or not leaves(first.body[-1:]):
            return None
        test, ends = first.test, True
    while isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test, ends = test.operand, not ends
    if isinstance(test, ast.Call):
        func = test.func
        if not isinstance(func, ast.Attribute) or func.attr not in {"is_set", "isSet"}:
            return None
        if test.args or test.keywords or not file.is_a(func.value, api.EVENTS):
            return None
        test = func.value
    place = file.place(test) if isinstance(test, ast.Attribute | ast.Name) else None
    return None if place is None else (place.anywhere, ends)


def is_told_by_item(file: PythonFile, use: QueueUse, one: Taken) -> bool:
    """Return whether an item may tell the worker that it is to end, or just wake it: one that it
    looks at, or that some code puts without more.
    """
    for node in walk(one.rest):
        if isinstance(node, ast.Compare) and one.name:
            if any(isinstance(n, ast.Name) and n.id == one.name for n in ast.walk(node)):
                return True
        if isinstance(node, ast.If | ast.IfExp) and isinstance(node.test, ast.Name | ast.UnaryOp):
            if any(isinstance(n, ast.Name) and n.id == one.name for n in ast.walk(node.test)):
                return True
    name = re.escape(file.encode(use.place.name.rpartition(".")[2]))
    wakes = re.compile(
        rb"\b" + name + rb"\.put(?:_nowait)?\(\s*(?:None|[A-Z]\w*(?:\(\))?|\"|'|\(\))"
    )
    return any(wakes.search(file.project.source(path).data) for path in file.project.paths)


def sets_before(file: PythonFile, flag: tuple[Place, bool], join: ast.Call, use: QueueUse) -> bool:
    """Return whether a function sets a flag before it waits for a thread, and wakes it by nothing
    that it puts.
    """
    function = file.function(join)
    if function is None:
        return False
    own = reached(function)
    if any(file.function(put) in own for put in use.puts):
        return False
    if any(
        isinstance(call.func, ast.Attribute) and call.func.attr in {"put", "put_nowait", "shutdown"}
        for one in own
        for call in one.calls
    ):
        return False
    return any(_sets(one, flag, join.lineno if one is function else None) for one in own)


def _sets(function: Function, flag: tuple[Place, bool], before: int | None) -> bool:
    file, (place, ends) = function.file, flag
    for node in function.own:
        if before is not None and getattr(node, "lineno", before) >= before:
            continue
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            above = parent(node)
            value = above.value if isinstance(above, ast.Assign) else None
            if isinstance(value, ast.Constant) and value.value is ends:
                if _is(file, node, place):
                    return True
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            told = "set" if ends else "clear"
            if node.func.attr == told and _is(file, node.func.value, place):
                return True
    return False


def _is(file: PythonFile, node: ast.expr, place: Place) -> bool:
    found = file.place(node)
    return found is not None and found.anywhere == place
