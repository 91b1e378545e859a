"""Wait for an item instead of asking again and again

`get_nowait` in a loop that goes on when the queue is empty keeps a processor busy, and every
other thread of the program from it; a sleep in between makes each item late instead. `get` sleeps
until there is something.

Not reported: loops that end when the queue is empty; loops that do something else meanwhile.

Unsafe: the loop looks at its own condition once in a while, no longer all the time.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python import api
from threadmend.python.builders import (
    BuilderError,
    delete,
    drop_import,
    is_alone,
    reference,
    replace_statement,
    wrap,
)
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, innermost_loop, walk
from threadmend.python.threads import spawns_reaching

from ._asking import asker, pause_of
from ._drained import as_written
from ._sentinels import ending

CATEGORY = "queue"
GATE = rb"\.get_nowait\(|\.get\((?:block=)?False\)|\.empty\(\)"

_WAIT = "1"
"""Seconds: often enough to see that the loop is to end, too seldom to cost anything."""

_WITH_LIMIT = api.QUEUES - {"multiprocessing.SimpleQueue"}
_ALONE = "the loop waits for as long as there is nothing"
_REASON = "the loop looks at its own condition less often"


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the loops that ask a queue all the time."""
    for call in file.calls("get_nowait", "get"):
        if not isinstance(call.func, ast.Attribute) or not _is_at_once(call):
            continue
        attempt = file.parent(file.statement(call))
        if not isinstance(attempt, ast.Try) or file.statement(call) not in attempt.body:
            continue
        if attempt.finalbody or len(attempt.handlers) != 1 or not _is_empty(file, attempt):
            continue
        if not file.is_a(call.func.value, api.QUEUES):
            continue
        block = _when_empty(file, attempt)
        pause = None if block is None else pause_of(file, block)
        if block is not None and pause is not None:
            yield _finding(file, call, block, pause)
    for call in file.calls("empty"):
        looked = _looked(file, call)
        if looked is not None:
            yield _asked(file, call, *looked)
        elif (branch := _looked_for(file, call)) is not None:
            yield _found(file, call, branch)


def _looked(file: PythonFile, test: ast.Call) -> tuple[ast.If, ast.Assign, str] | None:
    """Return `if q.empty(): sleep(k); continue`, the `item = q.get()` behind it, and k."""
    branch = file.parent(test)
    loop = innermost_loop(test)
    if not isinstance(branch, ast.If) or not isinstance(loop, ast.While) or branch.orelse:
        return None
    if branch.test is not test or not _is_in_every_round(file, branch, loop):
        return None
    if test.args or test.keywords:
        return None
    assert isinstance(test.func, ast.Attribute)
    if not file.is_a(test.func.value, _WITH_LIMIT) or not isinstance(branch.body[-1], ast.Continue):
        return None
    pause = pause_of(file, branch.body)
    following = after(branch)
    taking = following[0] if following else None
    call = taking.value if isinstance(taking, ast.Assign) else None
    if pause is None or not isinstance(call, ast.Call) or call.args or call.keywords:
        return None
    func = call.func
    if not isinstance(func, ast.Attribute) or func.attr not in {"get", "get_nowait"}:
        return None
    if file.text(func.value) != file.text(test.func.value) or not isinstance(taking, ast.Assign):
        return None
    return branch, taking, pause


def _looked_for(file: PythonFile, test: ast.Call) -> ast.If | None:
    """Return `if not q.empty():`, the whole of an endless loop, which begins with taking an item:
    `item = q.get()`, or `handle(q.get())`. Else it does nothing, or pauses.
    """
    negated = file.parent(test)
    branch = file.parent(negated) if negated is not None else None
    loop = innermost_loop(test)
    if not isinstance(negated, ast.UnaryOp) or not isinstance(negated.op, ast.Not):
        return None
    if not isinstance(branch, ast.If) or branch.test is not negated or test.args:
        return None
    if not isinstance(loop, ast.While) or loop.body != [branch] or loop.orelse:
        return None  # a pause behind each item may be meant
    others = branch.orelse
    endless = isinstance(loop.test, ast.Constant) and bool(loop.test.value)
    assert isinstance(test.func, ast.Attribute)
    if not endless or pause_of(file, others) is None or any(map(_may_leave, others)):
        return None
    queue = file.text(test.func.value)
    taking = [
        call
        for call in ast.walk(branch.body[0])
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "get"
        and not (call.args or call.keywords)
        and file.text(call.func.value) == queue
    ]
    plain = isinstance(branch.body[0], ast.Assign | ast.Expr | ast.AnnAssign)
    is_queue = file.is_a(test.func.value, api.QUEUES)
    return branch if plain and is_queue and len(taking) == 1 else None


def _may_leave(statement: ast.stmt) -> bool:
    return any(isinstance(node, ast.Return | ast.Break | ast.Raise) for node in walk([statement]))


def _found(file: PythonFile, test: ast.Call, branch: ast.If) -> Finding:
    """Return the finding about an endless loop that takes an item when it finds one."""
    start, end = file.span(test)
    assert isinstance(test.func, ast.Attribute)
    queue, pause = file.text(test.func.value), pause_of(file, branch.orelse)
    how_often = f"every {pause} seconds" if pause else "all the time"
    said = f"the loop asks {queue} {how_often}"
    try:
        if not is_alone(file, branch):
            raise BuilderError("the statement shares its line with another one")
        edits = [*replace_statement(file, branch, as_written(file, branch.body))]
        for statement in branch.orelse:
            called = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(called, ast.Call):
                edits += drop_import(file, called.func)
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    fix = Fix(f"Wait for {queue}", tuple(edits), Safety.UNSAFE, _ALONE)
    return Finding(file.path, start, end, said, fixes=(fix,))


def _is_in_every_round(file: PythonFile, branch: ast.stmt, loop: ast.While) -> bool:
    """Return whether a statement of a loop stands in its body, or in that of a `try` or `with`."""
    above = file.parent(branch)
    while isinstance(above, ast.Try | ast.With) and branch in above.body:
        branch, above = above, file.parent(above)
    return above is loop and branch in loop.body


def _asked(
    file: PythonFile, test: ast.Call, branch: ast.If, taking: ast.Assign, pause: str
) -> Finding:
    """Return the finding about a loop that looks whether there is something."""
    start, end = file.span(test)
    assert isinstance(test.func, ast.Attribute)
    assert isinstance(taking.value, ast.Call)
    queue = file.text(test.func.value)
    how_often = f"every {pause} seconds" if pause else "all the time"
    said = f"the loop asks {queue} {how_often}"
    try:
        if not is_alone(file, branch) or not is_alone(file, taking):
            raise BuilderError("the statement shares its line with another one")
        empty, added = reference(file, "queue.Empty", test)
        first, last = file.span(taking.value)
        waits = Edit(file.path, first, last, file.encode(f"{queue}.get(timeout={_seconds(pause)})"))
        held = wrap(file, [taking], "try:", f"except {empty}:\n    continue")
        gone = [*delete(file, branch), *_without_sleep(file, branch)]
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    fix = Fix(f"Wait for {queue}", (*gone, *held, waits, *added), Safety.UNSAFE, _REASON)
    return Finding(file.path, start, end, said, fixes=(fix,))


def _without_sleep(file: PythonFile, branch: ast.If) -> list[Edit]:
    """Return the edits that drop the import of a sleep which goes."""
    calls = [s.value for s in branch.body if isinstance(s, ast.Expr)]
    return [e for c in calls if isinstance(c, ast.Call) for e in drop_import(file, c.func)]


def _is_at_once(call: ast.Call) -> bool:
    assert isinstance(call.func, ast.Attribute)
    if call.func.attr == "get_nowait":
        return not call.args and not call.keywords
    given = [*call.args, *(k.value for k in call.keywords if k.arg == "block")]
    return len(given) == 1 and isinstance(given[0], ast.Constant) and given[0].value is False


def _is_empty(file: PythonFile, attempt: ast.Try) -> bool:
    """Return whether what is handled is that the queue is empty."""
    kind = file.qualified(attempt.handlers[0].type)
    return kind is not None and kind.endswith("Empty")


def _when_empty(file: PythonFile, attempt: ast.Try) -> list[ast.stmt] | None:
    """Return what a loop does when there is no item, and nothing else: the handler goes on with
    the next round, or nothing follows it; or the loop asks a helper that catches it.
    """
    block = attempt.handlers[0].body
    loop = innermost_loop(attempt)
    if loop is None:
        return asker(file, attempt)
    if not isinstance(loop, ast.While) or loop.body[0] is not attempt:
        return None
    if _asks_first(file, loop, attempt) or _waits_meanwhile(loop):
        return None
    return block if isinstance(block[-1], ast.Continue) or len(loop.body) == 1 else None


def _waits_meanwhile(loop: ast.While) -> bool:
    """Return whether a loop waits for its end in every round: `while not done.wait(0.1):`."""
    calls = (node for node in ast.walk(loop.test) if isinstance(node, ast.Call))
    return any(isinstance(c.func, ast.Attribute) and c.func.attr == "wait" for c in calls)


def _asks_first(file: PythonFile, loop: ast.While, attempt: ast.Try) -> bool:
    """Return whether a loop ends when there is nothing left: `while not queue.empty():`."""
    taken = {
        file.text(call.func.value)
        for call in walk(attempt.body)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
    }
    return any(
        isinstance(n, ast.Attribute)
        and n.attr in {"empty", "qsize"}
        and file.text(n.value) in taken
        for n in ast.walk(loop.test)
    )


def _finding(file: PythonFile, call: ast.Call, block: list[ast.stmt], pause: str) -> Finding:
    start, end = file.span(call)
    assert isinstance(call.func, ast.Attribute)
    queue = file.text(call.func.value)
    said = f"the loop asks {queue} all the time"
    attempt = _alone(file, call, block)
    if attempt is not None and is_alone(file, attempt):
        if pause:
            said = f"the loop asks {queue} every {pause} seconds"
        plain = tuple(_plain(file, call, attempt, block))
        fix = Fix(f"Wait for {queue}", plain, Safety.UNSAFE, _ALONE)
        return Finding(file.path, start, end, said, fixes=(fix,))
    edits = [Edit(file.path, start, end, file.encode(f"{queue}.get(timeout={_seconds(pause)})"))]
    for statement in block:
        if isinstance(statement, ast.Expr):
            edits += drop_import(file, getattr(statement.value, "func", statement.value))
            said = f"the loop asks {queue} every {pause} seconds"
            word = b"pass" if statement is block[-1] else b""
            first, last = file.span(statement)
            if not word:  # something follows on a line of its own
                first, last = (
                    file.tree.starts[statement.lineno - 1],
                    file.tree.starts[statement.lineno],
                )
            edits.append(Edit(file.path, first, last, word))
    fix = Fix(f"Wait for {queue}", tuple(edits), Safety.UNSAFE, _REASON)
    return Finding(file.path, start, end, said, fixes=(fix,))


def _alone(file: PythonFile, call: ast.Call, block: list[ast.stmt]) -> ast.Try | None:
    """Return the try statement that does nothing but take an item, where nothing but an item ends
    the loop of a thread or one that a sentinel ends.
    """
    statement = file.statement(call)
    attempt, loop = file.parent(statement), innermost_loop(call)
    if not isinstance(attempt, ast.Try) or not isinstance(loop, ast.While):
        return None
    if attempt.body != [statement] or attempt.orelse or not isinstance(statement, ast.Assign):
        return None
    if not isinstance(loop.test, ast.Constant) or not loop.test.value:
        return None
    if not all(isinstance(s, ast.Continue | ast.Pass | ast.Expr) for s in block):
        return None  # it looks whether it is over
    start, end = file.span(attempt)
    if b"#" in file.data[start:end]:
        return None
    name = getattr(statement.targets[0], "id", "")
    is_ended = any(ending(file, s, name) is not None for s in after(attempt))
    return attempt if is_ended or file.function(call) in spawns_reaching(file) else None


def _plain(
    file: PythonFile, call: ast.Call, attempt: ast.Try, block: list[ast.stmt]
) -> Iterator[Edit]:
    """Yield the edits that take an item without a try statement."""
    statement = attempt.body[0]
    start, (first, last) = file.span(statement)[0], file.span(call)
    assert isinstance(call.func, ast.Attribute)
    asked = f"{file.text(call.func.value)}.get()"
    before = file.data[start:first].decode(file.tree.encoding)
    behind = file.data[last : file.span(statement)[1]].decode(file.tree.encoding)
    yield from replace_statement(file, attempt, f"{before}{asked}{behind}")
    if attempt.handlers[0].type is not None:
        yield from drop_import(file, attempt.handlers[0].type)
    for slept in block:
        if isinstance(slept, ast.Expr) and isinstance(slept.value, ast.Call):
            yield from drop_import(file, slept.value.func)


def _seconds(pause: str) -> str:
    """Return how long to wait: as long as the loop slept, but not so long that whoever ends
    the loop notices.
    """
    return _WAIT if not pause or (pause.isdigit() and int(pause) > 1) else pause
