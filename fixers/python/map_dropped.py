"""Look at the results of Executor.map

`pool.map(f, rows)` returns an iterator, and raises what `f` raised when one asks for the
result. A call whose iterator is dropped hides every exception.

Not reported: `map` of other types; results that are used; functions of the project that
handle every exception themselves. Jobs of a pool that lives on are hints where they are not
functions of the project: to ask for their results would be to wait for them.

Unsafe: what was hidden is raised; or logged where the pool lives on, unless the job makes an
exception of its own, which somebody has to get, or all other jobs of the pool are waited for.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Confidence, Edit, Finding, Fix, Safety
from threadmend.python.builders import BuilderError, free_name, is_alone, replace_statement
from threadmend.python.file import PythonFile
from threadmend.python.flow import enclosing, walk
from threadmend.python.functions import Function
from threadmend.python.threads import spawns_reaching

from ._silent import handed_pool_is_closed, handles_everything, pool_block, shut_down_behind
from ._told import raises_unseen, teller

CATEGORY = "executor"
GATE = rb"\.map\("


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the calls of an executor's map whose results nobody looks at."""
    for spawn in file.spawns:
        call = spawn.node
        if spawn.kind != "map" or not _is_dropped(file.parent(call)):
            continue
        if spawn.target is not None and handles_everything(spawn.target):
            continue
        assert isinstance(call, ast.Call)
        yield _finding(file, call, spawn.target)


def _is_dropped(above: ast.AST | None) -> bool:
    """Return whether a statement does nothing with a result, or calls it `_`."""
    if isinstance(above, ast.Assign):
        target = above.targets[0]
        return len(above.targets) == 1 and isinstance(target, ast.Name) and target.id == "_"
    return isinstance(above, ast.Expr)


def _finding(file: PythonFile, call: ast.Call, target: Function | None) -> Finding:
    start, end = file.span(call)
    said = "nobody sees what map returns, nor the exceptions of its jobs"
    lives_on = not (
        pool_block(file, call) is not None
        or _is_shut_down(file, call)
        or shut_down_behind(file, call) is not None
        or handed_pool_is_closed(file, call)
    )
    if lives_on and not _raises_for_caller(file, call, target):
        if raises_unseen(target) and len(call.args) == 2 and not call.keywords:
            try:
                return Finding(file.path, start, end, said, fixes=_logged(file, call))
            except BuilderError as error:
                return Finding(file.path, start, end, said, reason=str(error))
        reason = "the pool lives on: look at the results where they are wanted"
        return Finding(file.path, start, end, said, reason=reason, confidence=Confidence.LOW)
    edits = (Edit(file.path, start, start, b"list("), Edit(file.path, end, end, b")"))
    reason = "exceptions that were hidden are raised"
    if lives_on:
        reason = "it waits for the jobs, and exceptions that were hidden are raised"
    fix = Fix("Ask for the results", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, fixes=(fix,))


def _raises_for_caller(file: PythonFile, call: ast.Call, target: Function | None) -> bool:
    """Return whether a job makes an exception of its own, for somebody who asks, or others who
    give jobs to the pool wait for them: to log that would not be to tell whoever goes on as if all
    was well. A job of a pool, which would wait for other jobs of it, and a coroutine ask nobody.
    """
    function = file.function(call)
    if target is None or function is None or function.is_async or function in spawns_reaching(file):
        return False
    return _is_asked_elsewhere(file, call) or any(
        isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and not any(
            isinstance(above, ast.Try) and node in walk(above.body)
            for above in enclosing(node, ast.Try)
        )
        for node in target.own
    )


def _is_asked_elsewhere(file: PythonFile, call: ast.Call) -> bool:
    """Return whether all other jobs that the file gives to a pool by map are waited for."""
    assert isinstance(call.func, ast.Attribute)
    pool = file.place(call.func.value)
    others = [
        other.node
        for other in file.spawns
        if other.kind == "map"
        and other.node is not call
        and isinstance(other.node, ast.Call)
        and isinstance(other.node.func, ast.Attribute)
        and file.place(other.node.func.value) == pool
    ]
    given = [file.parent(other) for other in others]
    return pool is not None and bool(given) and not any(
        _is_dropped(above) or isinstance(above, ast.Return) for above in given
    )  # fmt: skip


def _logged(file: PythonFile, call: ast.Call) -> tuple[Fix, ...]:
    """Return the fix that submits each job with a callback, none where it cannot be written."""
    statement = file.statement(call)
    first, last = call.args
    assert isinstance(call.func, ast.Attribute)
    plain = isinstance(statement, ast.Expr) and is_alone(file, statement)
    if not plain or isinstance(last, ast.Starred):
        raise BuilderError("the call cannot be written as a loop")
    if b"#" in file.data[slice(*file.span(call))]:
        raise BuilderError("a comment would be lost")
    name, added = teller(file)
    item = free_name(file, "item", call)
    job = f"{file.text(call.func.value)}.submit({file.text(first)}, {item})"
    text = f"for {item} in {file.text(last)}:\n    {job}.add_done_callback({name})"
    edits = (*replace_statement(file, statement, text), *added)
    reason = "exceptions that were hidden are logged"
    return (Fix("Log what the jobs raise", edits, Safety.UNSAFE, reason),)


def _is_shut_down(file: PythonFile, call: ast.Call) -> bool:
    """Return whether the function that gives the jobs waits for all of them afterwards."""
    assert isinstance(call.func, ast.Attribute)
    pool = file.binding(call.func.value)
    return pool is not None and any(
        isinstance(one.func, ast.Attribute)
        and file.binding(one.func.value) is pool
        and file.function(one) is file.function(call)
        and not one.args
        and not one.keywords
        for one in file.calls("shutdown")
    )
