"""Say task_done in finally

`queue.join()` waits until `task_done` was called as often as `put`, and so does who looks whether
`unfinished_tasks` is 0. One item whose work raises, or a `return` in between, and it waits for
ever.

Not reported: queues that nobody joins; work that can neither raise nor leave the loop, or
whose exceptions are all caught; a `task_done` in `finally`, or one on each way out.

Unsafe: where several calls become one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python.builders import (
    BuilderError,
    delete,
    insert_after,
    insert_before,
    is_alone,
    with_comment,
    wrap,
)
from threadmend.python.file import PythonFile
from threadmend.python.flow import block_of, can_raise, in_finally, walk, without_text
from threadmend.python.queue_objects import is_joined_within, queues_behind
from threadmend.python.queues import QueueUse, is_joined, queues_of

from ._failing import may_fail
from ._handed_on import handed_on
from ._taken import Taken, is_call_of, taken, taken_in_steps

CATEGORY = "queue"
GATE = rb"\.task_done\(|\.\w*(?:done|finish|complete|processed|handled|ack|release)\w*\(\)"
"""Also what an object around a queue may call it."""


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the items that are not done when their work raises or leaves the loop."""
    behind = queues_behind(file)
    for use in (*queues_of(file), *behind):
        if not use.dones or not (is_joined(file, use) or (use in behind and is_joined_within(use))):
            continue
        yield from handed_on(file, use)
        for one in (*taken(file, use), *taken_in_steps(file, use)):
            if _is_handed_back(one):
                yield from _let_go(file, use, one)
                continue
            dones = [node for node in walk(one.rest) if is_call_of(node, use.dones)]
            if not dones:
                helped = _in_helper(file, use, one)
                one, dones = helped if helped is not None else (one, dones)
            if dones and not any(map(in_finally, dones)):
                yield from _findings(file, use, one, dones)
            elif dones:
                yield from _before_finally(file, use, one)


def _is_handed_back(one: Taken) -> bool:
    """Return whether a function takes the item for its caller, who says then that it is done."""
    returns = (node for node in walk(one.rest) if isinstance(node, ast.Return) and node.value)
    names = (n for r in returns if r.value is not None for n in ast.walk(r.value))
    return bool(one.name) and any(isinstance(n, ast.Name) and n.id == one.name for n in names)


def _let_go(file: PythonFile, use: QueueUse, one: Taken) -> Iterator[Finding]:
    """Yield the ways to the next round of a loop that takes an item for its caller, on which
    nobody says that the item is done.
    """
    function = file.function(one.statement)
    if function is None or not function.callers or not function.is_only_called:
        return
    doing = {file.function(call) for call in use.dones}
    if any(
        site.file is not file or file.function(site.call) not in doing for site in function.callers
    ):
        return
    for leaving in _leaves(one.rest, use):
        if isinstance(leaving, ast.Continue):
            yield _unseen(file, one, leaving, f"{one.queue}.task_done()")
    last = one.rest[-1]
    if not isinstance(last, ast.If) or last.orelse or not isinstance(last.body[-1], ast.Return):
        return
    if not any(is_call_of(s, use.dones) for s in one.rest):
        yield _unseen(file, one, last, f"{one.queue}.task_done()", below=True)


def _in_helper(file: PythonFile, use: QueueUse, one: Taken) -> tuple[Taken, list[ast.AST]] | None:
    """Return the helper that says when an item is done, as what follows the get: nobody but
    this loop calls it.
    """
    for node in walk(one.rest):
        function = file.function(one.statement)
        helper = (
            None
            if function is None or not isinstance(node, ast.Call)
            else function.callees.get(node)
        )
        if helper is None or helper.file is not file or len(helper.callers) != 1:
            continue
        dones = [n for n in walk(helper.body) if is_call_of(n, use.dones)]
        if dones and helper.is_only_called and not helper.is_async and not in_finally(node):
            call = dones[0].value  # type: ignore[attr-defined]
            rest = without_text(helper.body)
            return replace(one, queue=use.text(file, call), rest=rest), dones
    return None


def _findings(
    file: PythonFile, use: QueueUse, one: Taken, dones: list[ast.AST]
) -> Iterator[Finding]:
    settled = _settled(one.rest, use)
    rest = one.rest[settled:]
    here = [node for node in walk(rest) if is_call_of(node, use.dones)]
    if not rest or not here or not _may_miss(file, rest, use):
        return
    start, end = file.span(here[-1])
    waits = f"{one.queue}.join waits for ever"
    if use.counts and not use.joins:
        waits = f"{one.queue}.unfinished_tasks never becomes 0"
    said = f"{waits} when the work before task_done raises"
    early = _early(rest, use)
    if early is not None:
        line = file.tree.line_of(file.span(early)[0])
        said = f"the item is not done when line {line} leaves, and {waits}"
    try:
        edits = _edits(file, one, rest, here)
    except BuilderError as error:
        yield Finding(file.path, start, end, said, reason=str(error))
        return
    title = f"Call {file.text(here[-1].value.func)} in finally"  # type: ignore[attr-defined]
    # Exactly one call for one item, on every way out.
    fix = Fix(title, edits)
    if len(here) > 1:
        fix = Fix(title, edits, Safety.UNSAFE, "several calls become one")
    yield Finding(file.path, start, end, said, fixes=(fix,))


def _before_finally(file: PythonFile, use: QueueUse, one: Taken) -> Iterator[Finding]:
    """Yield the ways to the next round before the try statement that sees to the items."""
    for number, statement in enumerate(one.rest):
        ends = statement.finalbody if isinstance(statement, ast.Try) else []
        if not any(is_call_of(s, use.dones) for s in ends):
            continue
        for leaving in _leaves(one.rest[:number], use):
            if isinstance(leaving, ast.Continue) and _is_done_here(file, use):
                last = next(s for s in ends if is_call_of(s, use.dones))
                yield _unseen(file, one, leaving, file.text(last))
        return


def _is_done_here(file: PythonFile, use: QueueUse) -> bool:
    """Return whether nobody says that an item is done but who has taken it."""
    takers = {file.function(call) for call in use.gets}
    return all(file.function(call) in takers for call in use.dones)


def _unseen(
    file: PythonFile, one: Taken, at: ast.stmt, done: str, *, below: bool = False
) -> Finding:
    """Return the finding about a way to the next round, at or below a statement."""
    start, end = file.span(at)
    said = f"the next item is taken before this one is done, and {one.queue}.join waits for ever"
    try:
        edits = insert_after(file, at, done) if below else insert_before(file, at, done)
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    return Finding(file.path, start, end, said, fixes=(Fix(f"Call {done} there as well", edits),))


def _settled(rest: list[ast.stmt], use: QueueUse) -> int:
    """Return how many statements at the start see to their own items: a sentinel's branch."""
    for number, statement in enumerate(rest):
        inside = [node for node in walk(statement) if is_call_of(node, use.dones)]
        plain = isinstance(statement, ast.If) and not can_raise([statement.test], ast.cmpop)
        if not plain or not inside or _early([statement], use) is not None:
            return number
    return len(rest)


def _may_miss(file: PythonFile, rest: list[ast.stmt], use: QueueUse) -> bool:
    if _early(rest, use) is not None:
        return True
    last = rest[-1]
    if isinstance(last, ast.Try) and _is_done_by_all(last, use):
        return False
    if isinstance(last, ast.Try) and _is_left_by_handler(file, last, use):
        return True
    direct = [number for number, s in enumerate(rest) if is_call_of(s, use.dones)]
    return may_fail(file, rest[: direct[0]] if direct else rest)


def _is_left_by_handler(file: PythonFile, statement: ast.Try, use: QueueUse) -> bool:
    """Return whether work raises before the call at the end of its `try`, and a handler that
    goes on does not say that the item is done.
    """
    direct = [number for number, s in enumerate(statement.body) if is_call_of(s, use.dones)]
    if not direct or not may_fail(file, statement.body[: direct[0]]):
        return False
    return any(
        not any(is_call_of(node, use.dones) for node in walk(handler.body))
        for handler in statement.handlers
    )


def _is_done_by_all(statement: ast.Try, use: QueueUse) -> bool:
    """Return whether the body and a handler of everything both say that the item is done."""
    handled = [h for h in statement.handlers if any(is_call_of(s, use.dones) for s in h.body)]
    return len(handled) == len(statement.handlers) > 0


def _early(rest: list[ast.stmt], use: QueueUse) -> ast.stmt | None:
    """Return the first statement that leaves the loop, or its round, before the item is done."""
    return next(_leaves(rest, use), None)


def _leaves(rest: list[ast.stmt], use: QueueUse) -> Iterator[ast.stmt]:
    """Yield the statements that leave the loop, or its round, before the item is done."""
    for node in walk(rest):
        if isinstance(node, ast.Return | ast.Break | ast.Continue):
            if any(node in walk(loop.body) for loop in _loops(rest)):
                if not isinstance(node, ast.Return):
                    continue
            block = block_of(node)
            if not any(is_call_of(s, use.dones) for s in block[: block.index(node)]):
                if not _is_after_done(rest, node, use):
                    yield node


def _is_after_done(rest: list[ast.stmt], node: ast.stmt, use: QueueUse) -> bool:
    for number, statement in enumerate(rest):
        if node in walk(statement):
            return any(is_call_of(s, use.dones) for s in rest[:number])
    return False


def _loops(rest: list[ast.stmt]) -> list[ast.For | ast.AsyncFor | ast.While]:
    return [n for n in walk(rest) if isinstance(n, ast.For | ast.AsyncFor | ast.While)]


def _edits(
    file: PythonFile, one: Taken, rest: list[ast.stmt], dones: list[ast.AST]
) -> tuple[Edit, ...]:
    assert isinstance(dones[-1], ast.stmt)
    done = with_comment(file, dones[-1]) if len(dones) == 1 else file.text(dones[-1])
    last = rest[-1]
    if isinstance(last, ast.Try) and not last.finalbody and len(rest) == 1:
        return (*_gone(file, dones), *insert_after(file, last, f"finally:\n    {done}"))
    if last in dones and len(rest) > 1:
        inner = [node for node in dones if node is not last]
        first = rest[0]
        if len(rest) == 2 and isinstance(first, ast.Try) and not first.finalbody:
            gone = _gone(file, inner)
            return (*_apart(wrap(file, [last], "finally:"), gone), *gone)
        return _with_last(file, rest, last, inner)
    gone = _gone(file, dones)
    footer = f"finally:\n    {done}"
    return (*_apart(wrap(file, rest, "try:", footer), gone), *gone)


def _with_last(
    file: PythonFile, rest: list[ast.stmt], last: ast.stmt, inner: list[ast.AST]
) -> tuple[Edit, ...]:
    """Return the edits that turn `work; q.task_done()` into try and finally, the call and its
    comment where they are.
    """
    gone = _gone(file, inner)
    edits = _apart(wrap(file, rest, "try:"), gone)
    at = file.tree.starts[last.lineno - 1]
    start = file.span(last)[0]
    if not is_alone(file, last):
        raise BuilderError("the statement shares its line with another one")
    head = file.data[at:start] + b"finally:" + file.source.newline
    kept = [
        Edit(e.path, e.start, e.end, head + e.new) if e.start == at and e.start == e.end else e
        for e in edits
    ]
    return (*kept, *gone)


def _gone(file: PythonFile, dones: list[ast.AST]) -> tuple[Edit, ...]:
    return tuple(
        edit
        for node in dones
        if isinstance(node, ast.stmt)
        for edit in delete(file, node, comments=False)
    )


def _apart(edits: tuple[Edit, ...], gone: tuple[Edit, ...]) -> tuple[Edit, ...]:
    """Return the edits without the indentation of lines that go."""
    return tuple(
        e for e in edits if not any(g.start <= e.start < g.end and not g.new for g in gone)
    )
