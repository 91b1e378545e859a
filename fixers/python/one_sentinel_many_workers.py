"""Send every worker its own end

Each worker ends when it gets the sentinel, and takes it out of the queue. One sentinel for
several workers ends one of them; the others wait for ever, and with them whoever joins them.

Not reported: workers that put the sentinel back; a sentinel for each; workers that also end
otherwise (a time limit, an event, daemons that nobody joins).

Unsafe: more items are put into the queue.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Related, Safety
from threadmend.python.arguments import argument
from threadmend.python.builders import BuilderError, is_alone, replace_statement
from threadmend.python.file import PythonFile
from threadmend.python.flow import innermost_loop
from threadmend.python.forwarded import put_through
from threadmend.python.functions import Function
from threadmend.python.queues import QueueUse, feeding, queues_of
from threadmend.python.threads import Spawn

from ._belts import ends
from ._called_together import are_called_together
from ._crew import crew_of
from ._sentinels import ending, is_of_class
from ._taken import Taken, taken
from ._workers import each, started_at, workers_elsewhere

CATEGORY = "queue"
GATE = rb"\.put(?:_nowait)?\(|\.join\(\)"

_KINDS = frozenset({"thread", "process", "submit"})


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the sentinels that only one of several workers gets."""
    yield from _behind(file)
    for use in queues_of(file):
        if use.shutdowns:
            continue
        if use.puts and not use.gets:
            yield from _of_object(file, use)
        if use.escapes:
            yield from _elsewhere(file, use)
            continue
        for one in taken(file, use):
            ends = _sentinel(file, use, one)
            worker = file.function(one.statement)
            if ends is None or worker is None or not one.waits:
                continue
            puts = [put for put in _puts(file, use) if _is_end(file, put, ends)]
            if len(puts) != 1 or innermost_loop(puts[0]) is not None:
                continue
            if file.function(puts[0]) is worker or _is_put_elsewhere(file, use, puts[0]):
                continue
            spawn = _many(file, use, worker)
            if spawn is None:
                continue
            given = _handed_over(file, spawn, puts[0])
            if given is not None or _is_known(file, spawn, puts[0]):
                workers = given or each(file, spawn)
                yield _finding(file, one, puts[0], spawn, workers)


def _behind(file: PythonFile) -> Iterator[Finding]:
    """Yield the call that puts one end for several workers, where an object has the queue."""
    for end in ends(file):
        yield _told(file, end.call, end.item, end.spawn, end.taken, end.workers)


def _elsewhere(file: PythonFile, use: QueueUse) -> Iterator[Finding]:
    """Yield the sentinel for workers whose class stands in another file."""
    known = workers_elsewhere(file, use)
    if known is None or started_at(file, known[0]) is None:
        return
    spawn, there = known
    assert spawn.target is not None
    other = spawn.target.file
    for one in taken(other, there) if len(there.gets) == 1 else ():
        ends = None if not one.waits else _sentinel(other, there, one)
        if ends is None or any(_is_same(other, put, other, ends) for put in there.puts):
            continue
        puts = [put for put in use.puts if _is_same(file, put, other, ends)]
        if len(puts) == 1 and innermost_loop(puts[0]) is None and _is_known(file, spawn, puts[0]):
            yield _finding(file, one, puts[0], spawn, each(file, spawn))


def _of_object(file: PythonFile, use: QueueUse) -> Iterator[Finding]:
    """Yield the sentinel for the workers that another object has, with the queue: where it is put
    by who has that object, `self.crew.jobs.put(None)`.
    """
    crew = crew_of(file, use)
    if crew is None:
        return
    other = crew.file
    for there, one in ((t, o) for t in crew.queues for o in taken(other, t)):
        ends, worker = _sentinel(other, there, one), other.function(one.statement)
        if ends is None or worker is None or not one.waits:
            continue
        spawn = _many(other, there, worker)
        workers = None if spawn is None else each(other, spawn)
        if any(_is_same(other, put, other, ends) for put in there.puts):
            continue
        puts = [put for put in use.puts if _is_same(file, put, other, ends)]
        if len(puts) != 1 or innermost_loop(puts[0]) is not None or spawn is None:
            continue
        if workers is not None and crew.is_joined(file, puts[0], workers):
            workers = crew.seen_from(file, puts[0], workers)
            yield _finding(file, one, puts[0], spawn, workers)


def _puts(file: PythonFile, use: QueueUse) -> list[ast.Call]:
    """Return what puts items into a queue, methods of the same object that do so included."""
    return [*use.puts, *(call for put in use.puts for call in put_through(file, put))]


def _is_put_elsewhere(file: PythonFile, use: QueueUse, put: ast.Call) -> bool:
    """Return whether other files may put the end as well, by the method that does so here."""
    if put in use.puts or not isinstance(put.func, ast.Attribute):
        return False
    said = re.escape(f".{put.func.attr}({file.text(put.args[0])})")
    pattern = re.compile(file.encode(said))
    project = file.project
    return any(
        path != file.path and pattern.search(project.source(path).data) for path in project.paths
    )


def _is_end(file: PythonFile, put: ast.Call, ends: ast.expr) -> bool:
    """Return whether what is put ends a worker of the same file."""
    if not put.args:
        return False
    is_written = ast.dump(put.args[0]) == ast.dump(ends)
    return is_written or is_of_class(file, put.args[0], file, ends)


def _is_same(file: PythonFile, put: ast.Call, other: PythonFile, ends: ast.expr) -> bool:
    """Return whether what is put ends a worker of another file: the same constant or name, or an
    object of the class that it asks for.
    """
    item = put.args[0] if put.args else None
    if item is not None and is_of_class(file, item, other, ends):
        return True
    if isinstance(item, ast.Constant) or isinstance(ends, ast.Constant):
        return item is not None and ast.dump(item) == ast.dump(ends)
    name = None if item is None else file.qualified(item)
    if name is not None:
        return name == other.qualified(ends)
    mine, its = file.place(item), other.place(ends)  # of a class: `self.STOP`
    return mine is not None and mine.base == "class" and mine == its


def _sentinel(file: PythonFile, use: QueueUse, one: Taken) -> ast.expr | None:
    """Return what ends a worker: `None` of `if item is None: break`."""
    worker = file.function(one.statement)
    for put in _puts(file, use):
        if file.function(put) is worker and put.args and file.text(put.args[0]) == one.name:
            return None  # it puts the end back
    if one.end is not None:
        return one.end
    return next((end for s in one.rest if (end := ending(file, s, one.name)) is not None), None)


def _many(file: PythonFile, use: QueueUse, worker: Function) -> Spawn | None:
    """Return the only place that starts workers of a queue, when it starts several."""
    spawns = [s for s in file.spawns if s.target is worker and s.kind in _KINDS]
    spawns = feeding(file, use, spawns)
    only = spawns[0] if len(spawns) == 1 else None
    return only if only is not None and started_at(file, only) is not None else None


def _is_known(file: PythonFile, spawn: Spawn, put: ast.Call) -> bool:
    """Return whether the workers can be counted where the sentinel is put: in the function that
    starts them, or by a list of the same object that a loop joins there, or in what calls that.
    """
    starter, ender = file.function(started_at(file, spawn) or spawn.node), file.function(put)
    if starter is ender:
        return True
    workers = each(file, spawn)
    if workers is None or starter is None or ender is None or ender.home is not starter.home:
        return False
    if starter.home is None or starter.self_name != ender.self_name:
        return False
    if not workers.startswith(f"{ender.self_name}."):
        return False
    enders = {ender, *(site.caller for site in ender.callers if ender.is_private)}
    joiners = {
        file.function(call)
        for call in file.calls("join")
        for loop in [innermost_loop(call)]
        if isinstance(loop, ast.For) and file.text(loop.iter) == workers
    }
    return not joiners.isdisjoint(enders) or any(
        joiner.home is ender.home and are_called_together(ender, joiner)
        for joiner in joiners
        if joiner is not None
    )


def _handed_over(file: PythonFile, spawn: Spawn, put: ast.Call) -> str | None:
    """Return the parameter that holds the list of workers where the sentinel is put: in a helper
    that only the function calls which starts them.
    """
    starter, ender = file.function(started_at(file, spawn) or spawn.node), file.function(put)
    workers = each(file, spawn)
    if starter is ender or ender is None or not ender.callers or not ender.is_only_called:
        return None
    if any(site.caller is not starter for site in ender.callers):
        return None
    names = ender.parameters[1:] if ender.self_name else ender.parameters
    for at, name in enumerate(names):
        given = [argument(site.call, at, name) for site in ender.callers]
        if all(one is not None and file.text(one) == workers for one in given):
            return name
    return None


def _finding(
    file: PythonFile, one: Taken, put: ast.Call, spawn: Spawn, workers: str | None
) -> Finding:
    return _told(file, put, file.text(put.args[0]), spawn, one, workers)


def _told(
    file: PythonFile, put: ast.Call, item: str, spawn: Spawn, one: Taken, workers: str | None
) -> Finding:
    start, end = file.span(put)
    said = f"only one of the workers gets {item}, the others wait for ever"
    many = started_at(spawn.file, spawn) or spawn.node
    taker = file if spawn.target is None else spawn.target.file
    related = (
        Related(spawn.file.path, *spawn.file.span(many), "several workers are started here"),
        Related(taker.path, *taker.span(one.call), "each takes what ends it"),
    )
    try:
        edits = _edits(file, put, workers)
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=related, reason=str(error))
    title = f"Put {item} once for each worker"
    reason = "more items are put into the queue"
    fix = Fix(title, edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, related=related, fixes=(fix,))


def _edits(file: PythonFile, put: ast.Call, workers: str | None) -> tuple[Edit, ...]:
    statement = file.statement(put)
    if file.parent(put) is not statement or not is_alone(file, statement):
        raise BuilderError("the sentinel is not put by a statement of its own")
    if workers is None:
        raise BuilderError("how many workers there are is not kept")
    return replace_statement(file, statement, f"for _ in {workers}:\n    {file.text(put)}")
