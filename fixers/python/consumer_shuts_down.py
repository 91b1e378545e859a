"""Let the producer shut the queue down

After `queue.shutdown()` (Python 3.13) every `put` raises `ShutDown`. A consumer that has had
enough and shuts the queue down takes it from under the producer, which fails in the middle of
what it does. Who puts knows when there is no more. So it is with who starts the producers, takes
what he wants, and drops the rest (`immediate=True`).

Not reported: queues that nobody else puts into; a function that puts as well; producers that
handle `ShutDown`, or whose callers do; queues that are handed to code which is not seen.

Unsafe: items that the producer puts later stay in the queue; one that goes on after a queue was
found empty is heard to the end; one that is told that there is no use any more stops.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from threadmend.model import Edit, Finding, Fix, Related, Safety
from threadmend.python.arguments import argument
from threadmend.python.builders import (
    BuilderError,
    delete,
    insert_after,
    is_alone,
    reference,
    wrap,
)
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, block_of, innermost_loop
from threadmend.python.functions import Function
from threadmend.python.queues import QueueUse, is_joined, queues_of
from threadmend.python.threads import Spawn, spawns_reaching

from ._tests import softened

CATEGORY = "queue"
GATE = rb"\.shutdown\("


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the shutdowns of a queue by a thread that only takes from it."""
    reaching = spawns_reaching(file)
    for use in queues_of(file):
        if use.escapes or not use.type.startswith("queue."):
            continue
        getters = {file.function(call) for call in use.gets}
        putters = {file.function(call) for call in use.puts}
        for call in use.shutdowns:
            function = file.function(call)
            if function is None or function not in getters or function in putters:
                continue
            if function not in reaching and not _is_cut_off(
                file, function, call, putters, reaching
            ):
                continue
            puts = [p for p in use.puts if not _expects_it(file, p)]
            if puts:
                spawns = reaching.get(function, [])
                yield softened(file, _finding(file, use, call, puts[0], spawns))


def _is_cut_off(
    file: PythonFile,
    function: Function,
    call: ast.Call,
    putters: set[Function | None],
    reaching: Mapping[Function, list[Spawn]],
) -> bool:
    """Return whether who starts the producers takes what he wants and drops the rest:
    `shutdown(immediate=True)`, before he has waited for them.
    """
    immediate = argument(call, 0, "immediate")
    if not isinstance(immediate, ast.Constant) or immediate.value is not True:
        return False
    if any(putter not in reaching for putter in putters):
        return False
    waits = [
        c for c in function.calls if isinstance(c.func, ast.Attribute) and c.func.attr == "join"
    ]
    return not any(one.lineno < call.lineno for one in waits)


def _expects_it(file: PythonFile, call: ast.Call, depth: int = 2) -> bool:
    """Return whether the end of the queue is handled around a put, or around all calls of it."""
    function = file.function(call)
    for above in file.ancestors(call):
        if function is not None and above is function.node:
            break
        if isinstance(above, ast.Try) and file.statement(call) not in above.finalbody:
            if any(_handles_it(file, handler) for handler in above.handlers):
                return True
        if isinstance(above, ast.With) and any(_suppresses(file, i) for i in above.items):
            return True
    if function is None or depth == 0 or not function.is_private or not function.is_only_called:
        return False
    sites = function.callers
    return bool(sites) and all(_expects_it(site.file, site.call, depth - 1) for site in sites)


def _handles_it(file: PythonFile, handler: ast.ExceptHandler) -> bool:
    """Return whether a handler was written for the end of the queue: it names that, or takes what
    comes and goes on. One that keeps or logs any exception makes a failure of it.
    """
    if handler.type is not None and "ShutDown" in file.text(handler.type):
        return True
    if handler.type is not None and not _names_it(file, handler.type):
        return False
    return handler.name is None or not any(
        isinstance(n, ast.Name) and n.id == handler.name for s in handler.body for n in ast.walk(s)
    )


def _suppresses(file: PythonFile, item: ast.withitem) -> bool:
    call = item.context_expr
    if not isinstance(call, ast.Call) or file.qualified(call.func) != "contextlib.suppress":
        return False
    return any(_names_it(file, argument) for argument in call.args)


def _names_it(file: PythonFile, kind: ast.expr) -> bool:
    named = file.text(kind)
    return "ShutDown" in named or "Exception" in named


def _finding(
    file: PythonFile, use: QueueUse, call: ast.Call, put: ast.Call, spawns: list[Spawn]
) -> Finding:
    assert isinstance(call.func, ast.Attribute)
    start, end = file.span(call)
    name = file.text(call.func.value)
    said = f"the consumer shuts {name} down, and put raises in who still fills it"
    related = (Related(file.path, *file.span(put), "this put then raises ShutDown"),)
    try:
        fix = _fix(file, use, call, spawns)
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=related, reason=str(error))
    return Finding(file.path, start, end, said, related=related, fixes=(fix,))


def _fix(file: PythonFile, use: QueueUse, call: ast.Call, spawns: list[Spawn]) -> Fix:
    """Return the fix: who shuts a queue down that it found empty leaves that to the producer,
    the only consumer just leaves, and one that ends the work early is heard by the producer.
    """
    guard = _empty_test(file, use, call)
    if guard is not None:
        edits = (*delete(file, guard), *_after_last(file, use, call))
        reason = "the consumers go on until the producer is done"
        return Fix("Shut down after the last put", edits, Safety.UNSAFE, reason)
    several = len(spawns) > 1 or any(spawn.many for spawn in spawns)
    if spawns and not several and not use.is_bounded and not is_joined(file, use):
        reason = "what is put later stays in the queue"
        return Fix("Leave the shutdown to the producer", _gone(file, call), Safety.UNSAFE, reason)
    if several and any(put.args and isinstance(put.args[0], ast.Constant) for put in use.puts):
        raise BuilderError("others may wait for the queue to end: shut it down after the last put")
    if any(_is_end_of_one(file, put) for put in use.puts):
        raise BuilderError("other producers may not be done: shut it down when all have ended")
    reason = "the producer stops when the queue is shut down"
    return Fix("Expect the shutdown where items are put", _heard(file, use), Safety.UNSAFE, reason)


def _is_end_of_one(file: PythonFile, put: ast.Call) -> bool:
    """Return whether one of several producers says that it has no more: that ends no other's."""
    function, item = file.function(put), put.args[0] if put.args else None
    spawns = [] if function is None else spawns_reaching(file).get(function, [])
    is_end = isinstance(item, ast.Constant) or (isinstance(item, ast.Name) and item.id.isupper())
    return is_end and (len(spawns) > 1 or any(spawn.many for spawn in spawns))


def _empty_test(file: PythonFile, use: QueueUse, call: ast.Call) -> ast.If | None:
    """Return `if q.empty(): q.shutdown(); return`, which does nothing else."""
    guard = file.parent(file.statement(call))
    if not isinstance(guard, ast.If) or guard.orelse or guard.test not in use.tests:
        return None
    rest = [s for s in guard.body if s is not file.statement(call)]
    plain = all(isinstance(s, ast.Return | ast.Break | ast.Continue) for s in rest)
    return guard if plain and is_alone(file, guard) and len(block_of(guard)) > 1 else None


def _after_last(file: PythonFile, use: QueueUse, call: ast.Call) -> tuple[Edit, ...]:
    """Return the edits that shut the queue down when everything was put."""
    producer = file.function(use.puts[0])
    if producer is None or any(file.function(put) is not producer for put in use.puts):
        raise BuilderError("several functions put: shut it down after the last put")
    tops = [s for s in producer.body if any(put in ast.walk(s) for put in use.puts)]
    started = {f for s in file.spawns if s.target is not None for f in (s.target,)}
    loops = isinstance(tops[-1], ast.For | ast.While) if tops else False
    if not loops and producer not in started:
        raise BuilderError("the producer may be called again")
    assert isinstance(use.puts[0].func, ast.Attribute)
    return insert_after(file, tops[-1], f"{file.text(use.puts[0].func.value)}.shutdown()")


def _heard(file: PythonFile, use: QueueUse) -> tuple[Edit, ...]:
    """Return the edits that let each producer expect the shutdown."""
    edits: list[Edit] = []
    done: list[ast.stmt] = []
    for put in use.puts:
        if _expects_it(file, put):
            continue
        top = file.statement(put)
        while (loop := innermost_loop(top)) is not None:
            top = loop
        if top in done:
            continue
        done.append(top)
        kind, added = reference(file, "queue.ShutDown", put)
        comment = "# nobody wants more"
        edits += [*wrap(file, [top], "try:", f"except {kind}:\n    pass  {comment}"), *added]
    return tuple(dict.fromkeys(edits))


def _gone(file: PythonFile, call: ast.Call) -> tuple[Edit, ...]:
    """Return the edit that takes the shutdown away: the only consumer leaves right after it."""
    statement = file.statement(call)
    following = after(statement)
    function = file.function(call)
    at_end = function is not None and function.body[-1] is statement
    if not at_end and not (following and isinstance(following[0], ast.Return | ast.Break)):
        raise BuilderError("others may wait for the queue to end: shut it down after the last put")
    if not is_alone(file, statement) or len(block_of(statement)) == 1:
        raise BuilderError("the statement stands with others")
    return delete(file, statement)
