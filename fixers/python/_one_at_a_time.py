"""Threads that are only started when none of the kind runs any more.

if not self.thread or not self.thread.is_alive():   if self.running: return
    self.thread = Thread(target=self._work)         self.running = True
    self.thread.start()                             Thread(target=self._work).start()   # ends
                                                    # with `finally: self.running = False`
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.python import api
from threadmend.python.file import PythonFile
from threadmend.python.flow import always_leaves, before, enclosing
from threadmend.python.functions import Function
from threadmend.python.threads import Spawn, reached
from threadmend.python.uses import is_self

__all__ = ["is_one_at_a_time"]

_ALIVE = frozenset({"is_alive", "isAlive"})


def is_one_at_a_time(spawn: Spawn) -> bool:
    """Return whether a thread is only made where the one before has ended: that is asked, or a
    flag says so, which the thread takes back in the end; or a coroutine holds its lock until then.
    """
    file, statement = spawn.file, spawn.file.statement(spawn.node)
    if spawn.kind in {"to_thread", "executor"} and spawn.through is None:
        return _is_awaited_under_lock(file, spawn.node)
    if spawn.kind != "thread" or spawn.through is not None or not isinstance(spawn.node, ast.Call):
        return False
    kept = statement.targets if isinstance(statement, ast.Assign) else []
    named = {file.text(one) for one in kept if isinstance(one, ast.Attribute)}
    tests = list(_known(file, statement))
    if any(_asks_alive(file, node) in named for test, _ in tests for node in ast.walk(test)):
        return True
    return any(is_off and _is_taken_back(spawn, test) for test, is_off in tests)


def _is_awaited_under_lock(file: PythonFile, call: ast.AST) -> bool:
    """Return whether a coroutine waits for a job with a lock held: `async with self._lock: await
    asyncio.to_thread(work)`.
    """
    if not isinstance(file.parent(call), ast.Await):
        return False
    return any(
        file.is_a(item.context_expr, api.ASYNC_LOCKS)
        for above in enclosing(call, ast.AsyncWith)
        if isinstance(above, ast.AsyncWith)
        for item in above.items
    )


def _known(file: PythonFile, statement: ast.stmt) -> Iterator[tuple[ast.expr, bool]]:
    """Yield the tests that decide whether a statement is reached, with whether they are false
    there.
    """
    at: ast.AST = statement
    for above in enclosing(statement, ast.stmt):
        if isinstance(above, ast.If):
            yield _plain(above.test, at not in above.body)
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef):
            break
        at = above
    for earlier in before(statement):
        if isinstance(earlier, ast.If) and not earlier.orelse and always_leaves(earlier.body):
            yield _plain(earlier.test, True)


def _plain(test: ast.expr, is_off: bool) -> tuple[ast.expr, bool]:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.operand, not is_off
    return test, is_off


def _asks_alive(file: PythonFile, node: ast.AST) -> str:
    """Return the thread of `thread.is_alive()`."""
    func = node.func if isinstance(node, ast.Call) else None
    if isinstance(func, ast.Attribute) and func.attr in _ALIVE:
        return file.text(func.value)
    return ""


def _is_taken_back(spawn: Spawn, test: ast.expr) -> bool:
    """Return whether a test is of a flag that only the starter sets and only the thread clears."""
    file, target = spawn.file, spawn.target
    starter = file.function(spawn.node)
    home = None if starter is None else starter.home
    if not isinstance(test, ast.Attribute) or not is_self(file, test.value) or home is None:
        return False
    changes = [use for use in home.uses_of(test.attr) if use.changes]
    quiet = {f for base in home.mro for f in base.init_only}
    values = {(use.function, _constant(use.node, use.function)) for use in changes}
    runs = frozenset() if target is None else reached(target)
    set_on = {f for f, value in values if value is True}
    set_off = {f for f, value in values if value is False and f not in quiet}
    return (
        {value for _, value in values} == {True, False}
        and set_on == {starter}
        and bool(set_off)
        and all(function in runs for function in set_off)
    )


def _constant(node: ast.expr, function: Function) -> object:
    """Return the constant that an attribute is set to, None when it is no plain one."""
    statement = function.file.parent(node)
    value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
    return value.value if isinstance(value, ast.Constant) else None
