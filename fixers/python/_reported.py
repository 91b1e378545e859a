"""Functions that give jobs to a pool in a loop and report as if these were done."""

from __future__ import annotations

import ast

from threadmend.python.file import PythonFile
from threadmend.python.flow import after, leaves, walk
from threadmend.python.functions import Function
from threadmend.python.threads import reached, spawns_reaching

__all__ = ["reported"]


def reported(file: PythonFile, call: ast.Call, target: Function | None) -> ast.For | None:
    """Return the loop that gives jobs to a pool, where its function then says how many were done,
    or that all went well: `return len(photos)`, `return True`, `return self.sent`. It can wait for
    them unless it runs in a pool or on an event loop itself, or with a lock, or they are workers
    that go on.
    """
    if target is None or any(_goes_on(one) for one in reached(target)):
        return None
    function, statement = file.function(call), file.parent(call)
    loop = None if statement is None else file.parent(statement)
    if function is None or not isinstance(loop, ast.For) or loop not in function.body:
        return None
    if not isinstance(statement, ast.Expr) or statement not in loop.body or loop.orelse:
        return None
    if function.is_async or function.is_generator or function in spawns_reaching(file):
        return None
    if file.held(call) or not all(isinstance(n, ast.Continue) for n in leaves(loop.body)):
        return None
    last = function.body[-1]
    if last not in after(loop) or not isinstance(last, ast.Return) or len(function.returns()) > 1:
        return None
    return loop if _says_done(file, last.value, loop) else None


def _goes_on(function: Function) -> bool:
    """Return whether a function has a loop that a condition ends."""
    return any(isinstance(node, ast.While) for node in function.own)


def _says_done(file: PythonFile, value: ast.expr | None, loop: ast.For) -> bool:
    """Return whether a result says how much a loop did, or that it did it."""
    if isinstance(value, ast.Constant):
        return value.value is True
    if isinstance(value, ast.Call) and file.qualified(value.func) == "len":
        return file.text(value.args[0]) == file.text(loop.iter) if value.args else False
    if not isinstance(value, ast.Name | ast.Attribute):
        return False
    text = file.text(value)
    return any(
        isinstance(node, ast.AugAssign) and file.text(node.target) == text
        for node in walk(loop.body)
    )
