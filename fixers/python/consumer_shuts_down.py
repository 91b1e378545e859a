"""Let the producer shut the queue down

After `queue.shutdown()` (Python 3.13) every `put` raises `ShutDown`. A consumer that has had
enough and shuts the queue down takes it from under the producer, which fails in the middle of
what it does. Who puts knows when there is no more.

Not reported: queues that nobody else puts into; a function that puts as well; producers that
handle `ShutDown`; queues that are handed to code which is not seen.

Unsafe: items that the producer puts later stay in the queue.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Related, Safety
from threadmend.python.builders import BuilderError, delete, is_alone
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, block_of
from threadmend.python.queues import QueueUse, queues_of
from threadmend.python.threads import Spawn, spawns_reaching

from ._tests import softened

CATEGORY = "queue"
GATE = rb"\.shutdown\("


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the shutdowns of a queue by a thread that only takes from it."""
    reaching = spawns_reaching(file)
    for use in queues_of(file):
        if use.escapes or not use.value.type.startswith("queue."):
            continue
        getters = {file.function(call) for call in use.gets}
        putters = {file.function(call) for call in use.puts}
        for call in use.shutdowns:
            function = file.function(call)
            if function not in getters or function in putters or function not in reaching:
                continue
            puts = [p for p in use.puts if not _expects_it(file, p)]
            if puts:
                yield softened(file, _finding(file, use, call, puts[0], reaching[function]))


def _expects_it(file: PythonFile, put: ast.Call) -> bool:
    """Return whether a put handles the end of the queue."""
    for above in file.ancestors(put):
        if isinstance(above, ast.Try) and file.statement(put) not in above.finalbody:
            for handler in above.handlers:
                named = "" if handler.type is None else file.text(handler.type)
                if handler.type is None or "ShutDown" in named or "Exception" in named:
                    return True
    return False


def _finding(
    file: PythonFile, use: QueueUse, call: ast.Call, put: ast.Call, spawns: list[Spawn]
) -> Finding:
    assert isinstance(call.func, ast.Attribute)
    start, end = file.span(call)
    name = file.text(call.func.value)
    said = f"the consumer shuts {name} down, and put raises in who still fills it"
    related = (Related(file.path, *file.span(put), "this put then raises ShutDown"),)
    try:
        edits = _edits(file, call, spawns)
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=related, reason=str(error))
    reason = "what is put later stays in the queue"
    fix = Fix("Leave the shutdown to the producer", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, related=related, fixes=(fix,))


def _edits(file: PythonFile, call: ast.Call, spawns: list[Spawn]) -> tuple[Edit, ...]:
    """Return the edit that takes the shutdown away: the only consumer leaves right after it."""
    statement = file.statement(call)
    following = after(statement)
    leaves = following and isinstance(following[0], ast.Return | ast.Break)
    if len(spawns) > 1 or spawns[0].many or not leaves:
        raise BuilderError("others may wait for the queue to end: shut it down after the last put")
    if not is_alone(file, statement) or len(block_of(statement)) == 1:
        raise BuilderError("the statement stands with others")
    return delete(file, statement)
