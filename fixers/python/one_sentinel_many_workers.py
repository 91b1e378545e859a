"""Send every worker its own end

Each worker ends when it gets the sentinel, and takes it out of the queue. One sentinel for
several workers ends one of them; the others wait for ever, and with them whoever joins them.

Not reported: workers that put the sentinel back; a sentinel for each; workers that also end
otherwise (a time limit, an event, daemons that nobody joins).

Unsafe: more items are put into the queue.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Related, Safety
from threadmend.python.builders import BuilderError, is_alone, replace_statement
from threadmend.python.file import PythonFile
from threadmend.python.flow import innermost_loop
from threadmend.python.functions import Function
from threadmend.python.queues import QueueUse, queues_of
from threadmend.python.scope import ancestors
from threadmend.python.threads import Spawn

from ._taken import Taken, taken

CATEGORY = "queue"
GATE = rb"\.put(?:_nowait)?\("

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp)


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the sentinels that only one of several workers gets."""
    for use in queues_of(file):
        if use.escapes or use.shutdowns:
            continue
        for one in taken(file, use):
            ends = _sentinel(file, one)
            worker = file.function(one.statement)
            if ends is None or worker is None or one.call.args or one.call.keywords:
                continue
            puts = [put for put in use.puts if put.args and file.text(put.args[0]) == ends]
            if len(puts) != 1 or innermost_loop(puts[0]) is not None:
                continue
            if file.function(puts[0]) is worker:
                continue
            spawn = _many(file, worker)
            if spawn is not None and file.function(spawn.node) is file.function(puts[0]):
                yield _finding(file, use, one, puts[0], spawn)


def _sentinel(file: PythonFile, one: Taken) -> str | None:
    """Return what ends a worker: `None` of `if item is None: break`."""
    for statement in one.rest:
        if not isinstance(statement, ast.If) or not isinstance(statement.test, ast.Compare):
            continue
        test = statement.test
        if not isinstance(test.left, ast.Name) or test.left.id != one.name:
            continue
        if isinstance(test.ops[0], ast.Is | ast.Eq):
            if isinstance(statement.body[-1], ast.Break | ast.Return):
                return file.text(test.comparators[0])
    return None


def _many(file: PythonFile, worker: Function) -> Spawn | None:
    """Return the only place that starts workers, when it starts several."""
    spawns = [s for s in file.spawns if s.target is worker and s.kind in {"thread", "process"}]
    return spawns[0] if len(spawns) == 1 and spawns[0].many else None


def _finding(file: PythonFile, use: QueueUse, one: Taken, put: ast.Call, spawn: Spawn) -> Finding:
    start, end = file.span(put)
    said = f"only one of the workers gets {file.text(put.args[0])}, the others wait for ever"
    related = (
        Related(file.path, *file.span(spawn.node), "several workers are started here"),
        Related(file.path, *file.span(one.call), "each takes what ends it"),
    )
    try:
        edits = _edits(file, put, spawn)
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=related, reason=str(error))
    title = f"Put {file.text(put.args[0])} once for each worker"
    reason = "more items are put into the queue"
    fix = Fix(title, edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, related=related, fixes=(fix,))


def _edits(file: PythonFile, put: ast.Call, spawn: Spawn) -> tuple[Edit, ...]:
    statement = file.statement(put)
    if file.parent(put) is not statement or not is_alone(file, statement):
        raise BuilderError("the sentinel is not put by a statement of its own")
    each = _each(file, spawn)
    if each is None:
        raise BuilderError("how many workers there are is not kept")
    return replace_statement(file, statement, f"for _ in {each}:\n    {file.text(put)}")


def _each(file: PythonFile, spawn: Spawn) -> str | None:
    """Return what to loop over for as many rounds as there are workers: the list of threads,
    or the `range` that they are started over.
    """
    assert isinstance(spawn.node, ast.Call)
    for above in ancestors(spawn.node):
        if isinstance(above, _COMPREHENSIONS):
            top = file.parent(above)
            if isinstance(top, ast.Assign) and isinstance(top.targets[0], ast.Name | ast.Attribute):
                return file.text(top.targets[0])
            return None
        if isinstance(above, ast.For):
            return _list(file, spawn, above) or _range(file, above)
    return None


def _list(file: PythonFile, spawn: Spawn, loop: ast.For) -> str | None:
    """Return the list that a loop appends its threads to."""
    name = file.parent(spawn.node)
    names = (
        {t.id for t in name.targets if isinstance(t, ast.Name)}
        if isinstance(name, ast.Assign)
        else set()
    )
    for call in file.calls("append"):
        if loop in ancestors(call) and call.args and isinstance(call.func, ast.Attribute):
            given = call.args[0]
            if given is spawn.node or (isinstance(given, ast.Name) and given.id in names):
                return file.text(call.func.value)
    return None


def _range(file: PythonFile, loop: ast.For) -> str | None:
    iterated = loop.iter
    if isinstance(iterated, ast.Call) and file.qualified(iterated.func) == "range":
        if all(isinstance(a, ast.Name | ast.Constant | ast.Attribute) for a in iterated.args):
            return file.text(iterated)
    return None
