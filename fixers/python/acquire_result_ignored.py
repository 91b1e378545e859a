"""Look at what acquire returns

`lock.acquire(timeout=1)` and `lock.acquire(blocking=False)` return False when the lock was not
taken, and go on. The code after them runs beside whoever has the lock, and its `release`
takes the lock away from them.

Not reported: a plain `acquire()`, which waits; a result that is used; locks of other libraries,
which raise (by constructor); a semaphore that the function does not give back: it is waited for as
for an event.

In tests it is a hint.

Unsafe: an exception is raised where the code went on without the lock: the module's own, where
another attempt to take the lock raises it, or callers wait for it in vain.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python import api
from threadmend.python.arguments import argument, given_to
from threadmend.python.attempts import behind
from threadmend.python.builders import BuilderError, is_alone, section_to_try
from threadmend.python.file import PythonFile
from threadmend.python.flow import before, is_none
from threadmend.python.implied import text_at
from threadmend.python.places import only_result

from ._gates import is_gate
from ._leaving import way_out
from ._own_error import own_error
from ._tests import softened

CATEGORY = "lock"
GATE = rb"\.acquire\(\s*[^)\s]"

_KINDS = (api.LOCKS | api.SEMAPHORES) - {
    "asyncio.Lock", "asyncio.Condition", "asyncio.Semaphore", "asyncio.BoundedSemaphore"
}  # fmt: skip


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the calls that may fail to take a lock, and whose result nobody looks at."""
    for call in file.calls("acquire"):
        statement = file.parent(call)
        if isinstance(statement, ast.Return):
            yield from _of_helper(file, call)
        if not isinstance(statement, ast.Expr) and not _is_unread(file, statement):
            continue
        if not isinstance(call.func, ast.Attribute):
            continue
        assert isinstance(statement, ast.Expr | ast.Assign)
        why = _may_fail(call)
        if why is not None and file.is_a(call.func.value, _KINDS):
            name = file.text(call.func.value)
            if file.is_a(call.func.value, api.SEMAPHORES) and not _is_given_back(file, call, name):
                continue
            place = file.place(call.func.value)
            if place is not None and is_gate(file, place) and not _is_given_back(file, call, name):
                continue  # it is shut now in any case
            if _is_new(file, statement, name):
                continue
            released = _released(file, statement, call)
            yield softened(file, _finding(file, statement, call, why, name, released))


def _is_new(file: PythonFile, statement: ast.stmt, name: str) -> bool:
    """Return whether a lock is made right above: nobody else has it yet."""
    for earlier in reversed(before(statement)):
        if not isinstance(earlier, ast.Assign | ast.AnnAssign):
            return False
        targets = earlier.targets if isinstance(earlier, ast.Assign) else [earlier.target]
        if any(file.text(target) == name for target in targets):
            return file.is_a(earlier.value, api.LOCKS) and isinstance(earlier.value, ast.Call)
    return False


def _is_given_back(file: PythonFile, call: ast.Call, name: str) -> bool:
    """Return whether the function that takes a slot gives one back."""
    return any(
        isinstance(other.func, ast.Attribute) and file.text(other.func.value) == name
        for other in file.calls("release")
        if file.function(other) is file.function(call)
    )


def _of_helper(file: PythonFile, call: ast.Call) -> Iterator[Finding]:
    """Yield the calls of a helper which returns what acquire returns, that nobody looks at."""
    helper, why = file.function(call), _may_fail(call)
    given = given_to(call)
    if helper is None or helper.is_async or why is None or not isinstance(call.func, ast.Attribute):
        return
    if only_result(helper) is not call or not all(isinstance(a, ast.Constant) for a in given):
        return
    if not file.is_a(call.func.value, _KINDS):
        return
    for site in helper.callers:
        statement = file.parent(site.call)
        name = text_at(file, site.call, helper, call.func.value)
        is_dropped = isinstance(statement, ast.Expr) or _is_unread(file, statement)
        if name is not None and is_dropped:
            assert isinstance(statement, ast.Expr | ast.Assign)
            yield softened(file, _finding(file, statement, site.call, why, name, ()))


def _is_unread(file: PythonFile, statement: ast.AST | None) -> bool:
    """Return whether a statement keeps the result in a variable that nobody reads."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return False
    target = statement.targets[0]
    binding = file.binding(target) if isinstance(target, ast.Name) else None
    if binding is None or binding.scope.kind != "function" or b"locals()" in file.data:
        return False
    return not any(isinstance(use.ctx, ast.Load) for use in file.uses(binding))


def _may_fail(call: ast.Call) -> str | None:
    """Return how a call can fail to take the lock, None when it waits for ever."""
    blocking, timeout = argument(call, 0, "blocking"), argument(call, 1, "timeout")
    if isinstance(blocking, ast.Constant) and not blocking.value:
        return "taken"
    if timeout is None or isinstance(timeout, ast.UnaryOp):  # -1 waits for ever
        return None
    if is_none(timeout):
        return None
    return "late"


def _finding(
    file: PythonFile,
    statement: ast.Expr | ast.Assign,
    call: ast.Call,
    why: str,
    name: str,
    released: tuple[Edit, ...],
) -> Finding:
    start, end = file.span(call)
    when = "in time" if why == "late" else "at once"
    said = f"the code goes on when {name} is not taken {when}"
    if not is_alone(file, statement):
        reason = "the statement shares its line with another one"
        return Finding(file.path, start, end, said, reason=reason)
    begin = file.span(statement)[0]
    indent = file.data[file.tree.starts[statement.lineno - 1] : begin]
    unit = b"\t" if b"\t" in indent else b"    "
    error = own_error(file, call) or ("TimeoutError" if why == "late" else "RuntimeError")
    raised = f'raise {error}("{name} is not free")'.encode()
    edits = (
        Edit(file.path, begin, start, b"if not "),
        Edit(file.path, end, end, b":" + file.source.newline + indent + unit + raised),
        *released,
    )
    fix = Fix(
        f"Raise {error} when {name} is not taken",
        edits,
        Safety.UNSAFE,
        "an exception is raised where the code went on",
    )
    return Finding(file.path, start, end, said, fixes=(fix,))


def _released(file: PythonFile, statement: ast.stmt, call: ast.Call) -> tuple[Edit, ...]:
    """Return the edits that release the lock in `finally`: whoever waits no longer than a while
    is told when somebody else has kept it.
    """
    assert isinstance(call.func, ast.Attribute)
    lock = file.lock(call.func.value)
    section = None if lock is None else behind(file, statement, call, lock)
    lost = None if section is None else way_out(file, section)
    if section is None or lost is None:
        return ()
    try:
        return section_to_try(file, section, lost[1])
    except BuilderError:
        return ()
