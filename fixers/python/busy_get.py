"""Wait for an item instead of asking again and again

`get_nowait` in a loop that goes on when the queue is empty keeps a processor busy, and every
other thread of the program from it. `get` sleeps until there is something.

Not reported: loops that end when the queue is empty; loops that do something else meanwhile.

Unsafe: the loop looks at its own condition once in a while, no longer all the time.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python import api
from threadmend.python.file import PythonFile
from threadmend.python.flow import innermost_loop

CATEGORY = "queue"
GATE = rb"\.get_nowait\(|\.get\((?:block=)?False\)"

_WAIT = "1"
"""Seconds: often enough to see that the loop is to end, too seldom to cost anything."""


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the loops that ask a queue all the time."""
    for call in file.calls("get_nowait", "get"):
        if not isinstance(call.func, ast.Attribute) or not _is_at_once(call):
            continue
        loop = innermost_loop(call)
        if not isinstance(loop, ast.While) or not file.is_a(call.func.value, api.QUEUES):
            continue
        statement = file.statement(call)
        attempt = file.parent(statement)
        if not isinstance(attempt, ast.Try) or attempt not in loop.body:
            continue
        if statement not in attempt.body or attempt.finalbody or len(attempt.handlers) != 1:
            continue
        pause = _pause(file, attempt.handlers[0], loop)
        if pause is not None and _is_all(loop, attempt, pause):
            yield _finding(file, call, attempt.handlers[0], pause)


def _is_at_once(call: ast.Call) -> bool:
    assert isinstance(call.func, ast.Attribute)
    if call.func.attr == "get_nowait":
        return not call.args and not call.keywords
    given = [*call.args, *(k.value for k in call.keywords if k.arg == "block")]
    return len(given) == 1 and isinstance(given[0], ast.Constant) and given[0].value is False


def _pause(file: PythonFile, handler: ast.ExceptHandler, loop: ast.While) -> str | None:
    """Return how long the loop sleeps when the queue is empty (`""`: not at all), None when it
    does anything else then.
    """
    kind = file.qualified(handler.type)
    if kind is None or not kind.endswith("Empty"):
        return None
    pause = ""
    for statement in handler.body:
        if isinstance(statement, ast.Pass | ast.Continue):
            continue
        call = statement.value if isinstance(statement, ast.Expr) else None
        if not isinstance(call, ast.Call) or file.qualified(call.func) != "time.sleep" or pause:
            return None
        pause = file.text(call.args[0]) if call.args else ""
    return pause


def _is_all(loop: ast.While, attempt: ast.Try, pause: str) -> bool:
    """Return whether the loop does nothing when there is no item: the handler goes on with the
    next round, or nothing follows it.
    """
    goes_on = isinstance(attempt.handlers[0].body[-1], ast.Continue)
    index = loop.body.index(attempt)
    return index == 0 and (goes_on or index + 1 == len(loop.body))


def _finding(file: PythonFile, call: ast.Call, handler: ast.ExceptHandler, pause: str) -> Finding:
    start, end = file.span(call)
    assert isinstance(call.func, ast.Attribute)
    queue = file.text(call.func.value)
    said = f"the loop asks {queue} all the time"
    edits = [Edit(file.path, start, end, file.encode(f"{queue}.get(timeout={pause or _WAIT})"))]
    for statement in handler.body:
        if isinstance(statement, ast.Expr):
            said = f"the loop asks {queue} every {pause} seconds"
            word = b"pass" if statement is handler.body[-1] else b""
            first, last = file.span(statement)
            if not word:  # something follows on a line of its own
                first, last = (
                    file.tree.starts[statement.lineno - 1],
                    file.tree.starts[statement.lineno],
                )
            edits.append(Edit(file.path, first, last, word))
    reason = "the loop looks at its own condition less often"
    fix = Fix(f"Wait for {queue}", tuple(edits), Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, fixes=(fix,))
