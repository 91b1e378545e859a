"""Items that go straight from the queue to what works on them: `work(q.get())`, `q.task_done()`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix
from threadmend.python.builders import (
    BuilderError,
    delete,
    free_name,
    insert_before,
    is_alone,
    wrap,
)
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, in_finally, innermost_loop, walk
from threadmend.python.queues import QueueUse
from threadmend.python.scope import parent

from ._taken import is_call_of

__all__ = ["handed_on"]


def handed_on(file: PythonFile, use: QueueUse) -> Iterator[Finding]:
    """Yield the items that are not done when the call that they are an argument of raises."""
    for call in use.gets:
        statement = _work(call)
        if statement is None or call in use.written or innermost_loop(statement) is None:
            continue
        rest = after(statement)
        done = rest[0] if rest and is_call_of(rest[0], use.dones) else None
        if done is None or in_finally(statement) or _is_ready(file, statement, use):
            continue
        yield _finding(file, use, call, statement, done)


def _work(call: ast.Call) -> ast.Expr | None:
    """Return the statement that calls something with what `q.get()` returns, before all else."""
    given: ast.AST = call
    above = parent(given)
    if isinstance(above, ast.Starred):
        given, above = above, parent(above)
    work = parent(above) if isinstance(above, ast.Call) and above.args[:1] == [given] else None
    return work if isinstance(work, ast.Expr) else None


def _is_ready(file: PythonFile, statement: ast.stmt, use: QueueUse) -> bool:
    """Return whether a handler in the loop says of what raised that it is done."""
    loop = innermost_loop(statement)
    return any(
        is_call_of(node, use.dones)
        for above in file.ancestors(statement)
        if isinstance(above, ast.Try) and above in walk(loop or [])
        for handler in above.handlers
        for node in walk(handler.body)
    )


def _finding(
    file: PythonFile, use: QueueUse, call: ast.Call, statement: ast.Expr, done: ast.stmt
) -> Finding:
    start, end = file.span(done)
    queue = use.text(file, call)
    said = f"{queue}.join waits for ever when the work before task_done raises"
    try:
        edits = _edits(file, call, statement, done)
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    # Exactly one call for one item, on every way out: the work has begun when it is taken.
    return Finding(file.path, start, end, said, fixes=(Fix(_title(queue), edits),))


def _title(queue: str) -> str:
    return f"Call {queue}.task_done in finally"


def _edits(
    file: PythonFile, call: ast.Call, statement: ast.Expr, done: ast.stmt
) -> tuple[Edit, ...]:
    """Take the item first, and put the work on it into a try statement."""
    if not is_alone(file, done) or not is_alone(file, statement) or "\n" in file.text(call):
        raise BuilderError("the statement shares its line with another one")
    name = free_name(file, "item", statement)
    footer = f"finally:\n    {file.text(done)}"
    at, end = file.span(call)
    return (
        *insert_before(file, statement, f"{name} = {file.text(call)}"),
        *wrap(file, [statement], "try:", footer),
        Edit(file.path, at, end, file.encode(name)),
        *delete(file, done, comments=False),
    )
