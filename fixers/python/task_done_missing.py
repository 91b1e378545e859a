"""Say when an item is done

`queue.join()` waits until `task_done` was called for every item. A worker that never calls it
makes it wait for ever.

Not reported: queues that nobody joins; queues that are handed to other code, which may call it.

Unsafe: `join` returns where it did not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Related, Safety
from threadmend.python.builders import BuilderError, insert_after, wrap
from threadmend.python.file import PythonFile
from threadmend.python.queues import QueueUse, queues_of

from ._apart import abroad, elsewhere
from ._iterable import Yielding, undone
from ._lent import Lent, lent
from ._taken import Taken, leaves_loop, taken

CATEGORY = "queue"
GATE = rb"\.join\(\)"


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the joins of queues whose items nobody reports as done."""
    for use in queues_of(file):
        if not use.joins or use.dones or use.shutdowns:
            continue
        lent_abroad = abroad(file, use) if use.escapes and not use.gets else None
        if use.escapes and lent_abroad is None:
            continue
        if use.value.type.endswith("SimpleQueue") or use.value.type == "multiprocessing.Queue":
            continue  # these have no join
        where = lent_abroad or ((file, use) if use.gets else elsewhere(file, use))
        if where is not None:
            takers = taken(*where)
            if takers and len(takers) == len(where[1].gets):
                yield _finding(file, use, where[0], takers)
            elif use.gets and (managers := lent(file, use)):
                yield _finding_of_managers(file, use, managers)
    told: set[ast.Expr] = set()
    for join in file.calls("join"):
        one = None if join.args or join.keywords else undone(file, join)
        if one is not None and one.given not in told:
            told.add(one.given)
            yield _finding_at(file, join, one)


def _finding_of_managers(file: PythonFile, use: QueueUse, managers: list[Lent]) -> Finding:
    """Return the finding about a queue whose items context managers lend."""
    start, end = file.span(use.joins[0])
    said = f"{file.text(use.joins[0].func)} waits for ever: nobody calls task_done"
    related = tuple(
        Related(file.path, *file.span(one.call), "the item is taken here") for one in managers
    )
    try:
        edits = tuple(edit for one in managers for edit in one.edits(file))
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=related, reason=str(error))
    title = f"Call {managers[0].queue}.task_done when the block with the item ends"
    fix = Fix(title, edits, Safety.UNSAFE, "join returns where it did not")
    return Finding(file.path, start, end, said, related=related, fixes=(fix,))


def _finding_at(file: PythonFile, join: ast.Call, one: Yielding) -> Finding:
    """Return the finding about a queue that is looped over."""
    start, end = file.span(join)
    said = f"{file.text(join.func)} waits for ever: nobody calls task_done"
    other = one.function.file
    related = (Related(other.path, *other.span(one.call), "the item is taken here"),)
    try:
        edits = one.edits()
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=related, reason=str(error))
    reason = "join returns where it did not"
    title = f"Call task_done for every item that {one.function.name} has yielded"
    fix = Fix(title, edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, related=related, fixes=(fix,))


def _finding(file: PythonFile, use: QueueUse, there: PythonFile, takers: list[Taken]) -> Finding:
    """Return the finding about a join, whose items are taken in the same or another file."""
    start, end = file.span(use.joins[0])
    queue = takers[0].queue
    said = f"{file.text(use.joins[0].func)} waits for ever: nobody calls task_done"
    related = tuple(
        Related(there.path, *there.span(one.call), "the item is taken here") for one in takers
    )
    try:
        edits: list[Edit] = []
        for one in takers:
            done = f"{one.queue}.task_done()"
            if one.rest:
                edits += wrap(there, one.rest, "try:", f"finally:\n    {done}")
            if one.end is not None:
                edits += _at_end(there, one, done)
            elif not one.rest:
                edits += insert_after(there, one.statement, done)
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=related, reason=str(error))
    reason = "join returns where it did not"
    fix = Fix(f"Call {queue}.task_done for every item", tuple(edits), Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, related=related, fixes=(fix,))


def _at_end(file: PythonFile, one: Taken, done: str) -> tuple[Edit, ...]:
    """Return the edits that report the item which ends the loop."""
    if leaves_loop(one.rest) or one.loop.orelse:
        raise BuilderError("the loop also ends without the item that ends it")
    return insert_after(file, one.loop, done)
