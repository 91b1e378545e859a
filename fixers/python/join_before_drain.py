"""Empty the queue before you join who fills it

A producer that puts into a full queue waits for somebody who takes; whoever joins it first
waits for the producer. A process does not even end before what it put into a
`multiprocessing.Queue` has gone through the pipe.

Not reported: queues of threads without a limit, or with room for all that a thread puts; queues
that another thread empties; joins with a time limit.

Unsafe: the join comes later; or, where an empty queue tells that there is no more, the queue of
threads gets no limit, since it has to hold every item anyway.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Related, Safety
from threadmend.python.arguments import argument
from threadmend.python.builders import (
    BuilderError,
    delete,
    free_name,
    insert_after,
    is_alone,
    replace_statement,
    with_comment,
)
from threadmend.python.constants import constant_of
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, block_of, innermost_loop, target_of, walk
from threadmend.python.queues import QueueUse, queues_of
from threadmend.python.scope import ancestors
from threadmend.python.threads import Spawn, is_made_by, reached

from ._clogged import Clogged, clogged
from ._drained import Tail, moved, producer, puts_elsewhere, puts_of_its_own, tail_of, takes_in
from ._feeding import Early, early
from ._results import objects

CATEGORY = "queue"
GATE = rb"\.join\(\)|\bfor\b|\bwait\("

_WAITS = (b"join(", b"wait(", b".result(")


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the joins of producers whose queue is emptied only afterwards."""
    for use in queues_of(file) if any(word in file.data for word in _WAITS) else ():
        is_pipe = use.type in {"multiprocessing.Queue", "multiprocessing.JoinableQueue"}
        if not is_pipe and not (use.is_bounded and use.type.startswith("queue.")):
            continue
        for join in file.calls("join", "wait", "result"):
            found = _drain(file, use, join)
            if isinstance(found, Tail):
                yield _moved(file, use, join, found)
            elif found is not None:
                yield _finding(file, use, join, *found)
    for join in file.calls("join"):
        around = _around_queue(file, join)
        if around is not None:
            yield _clogged(file, join, around)
    for one in early(file):
        yield _of_object(file, one)


def _around_queue(file: PythonFile, join: ast.Call) -> Clogged | None:
    """Return the object around a queue that the thread which is joined fills."""
    if join.args or join.keywords or not isinstance(file.parent(join), ast.Expr):
        return None
    spawn = _joined(file, join.func.value) if isinstance(join.func, ast.Attribute) else None
    return None if spawn is None or spawn.kind != "thread" else clogged(file, join, spawn)


def _clogged(file: PythonFile, join: ast.Call, one: Clogged) -> Finding:
    """Return the finding about a join whose thread fills an object around a queue."""
    start, end = file.span(join)
    queue = f"{one.cls.name}.{one.name}"
    said = f"{file.text(join.func)} waits for room in {queue}, which is emptied only afterwards"
    related = (Related(file.path, *file.span(one.takes[0]), f"{queue} is emptied here"),)
    try:
        if one.at_once:
            edits, title = one.without_limit(), f"Let {queue} hold every item"
            reason = "the queue holds every item until then"
        else:
            edits, title = _edits(file, one.top, one.takes[-1]), f"Join after {queue} is emptied"
            reason = "the join comes later"
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=related, reason=str(error))
    fix = Fix(title, edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, related=related, fixes=(fix,))


def _of_object(file: PythonFile, one: Early) -> Finding:
    """Return the finding about a method that joins the thread of its object."""
    start, end = file.span(one.call)
    name = file.text(one.call.func)
    said = f"{name} waits for room in {one.queue}, which is emptied only afterwards"
    related = (Related(file.path, *file.span(one.takes), f"{one.queue} is emptied here"),)
    try:
        edits = one.edits(file)
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=related, reason=str(error))
    reason = "the join comes later"
    fix = Fix(f"Call {name} after {one.queue} is emptied", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, related=related, fixes=(fix,))


def _drain(
    file: PythonFile, use: QueueUse, join: ast.Call
) -> tuple[ast.stmt, list[ast.stmt]] | Tail | None:
    """Return the joining statement (a loop, where it is one) and the statements behind it that
    take from the queue, or the helper that joins for them; None when this join waits for nobody
    who fills it.
    """
    statement = file.parent(join)
    if not isinstance(statement, ast.Expr):
        return None
    function = file.function(join)
    spawn = _waited_for(file, join)
    if spawn is None or spawn.target is None or function is None:
        return None
    producers = reached(spawn.target)
    puts = [put for put in use.puts if file.function(put) in producers]
    puts = puts or puts_elsewhere(file, use, spawn)
    if isinstance(join.func, ast.Attribute):
        puts = puts or puts_of_its_own(file, use, spawn, join.func.value)
    if not puts or (not use.is_bounded and all(_is_small(file, put, spawn) for put in puts)):
        return None
    if use.is_bounded and _has_room(file, use, spawn, puts):
        return None
    top: ast.stmt = statement
    loop = file.parent(statement)
    if isinstance(loop, ast.For) and len(loop.body) == 1:
        top = loop
    gets = takes_in(use, file, function, spawn)
    if gets is None:
        return tail_of(file, use, top, function)  # or somebody else empties it
    takes = [s for s in after(top) if any(get in walk(s) for get in gets)]
    earlier = block_of(top)[: block_of(top).index(top)]
    if not takes or any(get in walk(s) for s in earlier for get in gets):
        return None
    return top, takes


def _has_room(file: PythonFile, use: QueueUse, spawn: Spawn, puts: list[ast.Call]) -> bool:
    """Return whether a queue that is made for one thread holds all that this puts into it."""
    made, target = use.value.made, spawn.target
    if not isinstance(made, ast.Call) or use.value.file is not file or target is None:
        return False
    size = constant_of(file, argument(made, 0, "maxsize"))
    room = size.value if size is not None and isinstance(size.value, int) else 0
    is_for_it = file.function(made) is file.function(spawn.node) is not None
    return (
        is_for_it
        and innermost_loop(made) is innermost_loop(spawn.node)
        and len(puts) <= room
        and all(put in target.calls and innermost_loop(put) is None for put in puts)
        and sum(file.function(spawn.node) is file.function(s.node) for s in file.spawns) == 1
    )


def _is_small(file: PythonFile, put: ast.Call, spawn: Spawn) -> bool:
    """Return whether a thread or process puts a single small item: a pipe holds that."""
    if any(innermost_loop(node) is not None for node in (put, spawn.node)):
        return False
    item = put.args[0] if put.args else None
    return isinstance(item, ast.Constant | ast.Compare) or (
        isinstance(item, ast.UnaryOp) and isinstance(item.op, ast.Not)
    )


def _joined(file: PythonFile, node: ast.expr) -> Spawn | None:
    """Return what started the thread or process that is joined."""
    value = file.value(node)
    made = None if value is None else value.made
    for spawn in [*file.spawns, *objects(file)]:
        if spawn.kind not in {"thread", "process"} or spawn.target is None:
            continue
        if made is not None and is_made_by(file, node, spawn):
            return spawn
        if made is None and isinstance(node, ast.Name) and _is_element(file, node, spawn):
            return spawn
    return producer(file, node)


def _job(file: PythonFile, call: ast.Call) -> Spawn | None:
    """Return the job of an executor that `job.result()` waits for, or of whose kind are those of
    the list that `wait(jobs)` does.
    """
    jobs = [spawn for spawn in file.spawns if spawn.kind == "submit"]
    func = call.func
    if isinstance(func, ast.Attribute) and func.attr == "result" and not call.args:
        node = func.value
        made = [s for s in jobs if is_made_by(file, node, s)]
        listed = [s for s in jobs if isinstance(node, ast.Name) and _is_element(file, node, s)]
        return next(iter(made or listed), None)
    if file.qualified(func) != "concurrent.futures.wait" or len(call.args) != 1:
        return None
    text = file.text(call.args[0])
    return next((spawn for spawn in jobs if _is_in(file, spawn, text)), None)


def _waited_for(file: PythonFile, call: ast.Call) -> Spawn | None:
    """Return what a call waits for without a limit: a thread, a process or an executor's job."""
    if call.keywords:
        return None
    if not isinstance(call.func, ast.Attribute) or call.func.attr != "join":
        return _job(file, call)
    return None if call.args else _joined(file, call.func.value)


def _is_element(file: PythonFile, node: ast.Name, spawn: Spawn) -> bool:
    loop = next((a for a in ancestors(node) if isinstance(a, ast.For)), None)
    if loop is None or not isinstance(loop.target, ast.Name) or loop.target.id != node.id:
        return False
    return _is_in(file, spawn, file.text(loop.iter))


def _is_in(file: PythonFile, spawn: Spawn, names: str) -> bool:
    """Return whether what a spawn makes is an element of a list, by how that is written."""
    above = file.parent(spawn.node)
    top = file.parent(above) if isinstance(above, ast.ListComp) else None
    kept = target_of(top)
    if kept is not None:
        return file.text(kept) == names
    own = {getattr(target_of(above), "id", "")} - {""}
    return any(
        isinstance(call.func, ast.Attribute)
        and file.text(call.func.value) == names
        and bool(call.args)
        and (call.args[0] is spawn.node or getattr(call.args[0], "id", None) in own)
        for call in file.calls("append")
    )


def _moved(file: PythonFile, use: QueueUse, join: ast.Call, tail: Tail) -> Finding:
    """Return the finding about a helper that joins for a caller who empties the queue."""
    start, end = file.span(join)
    queue = use.place.name
    said = f"{file.text(join.func)} waits for room in {queue}, which is emptied only afterwards"
    related = (Related(file.path, *file.span(tail.takes[0]), f"{queue} is emptied here"),)
    try:
        edits = moved(file, tail)
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=related, reason=str(error))
    fix = Fix(f"Join after {queue} is emptied", edits, Safety.UNSAFE, "the join comes later")
    return Finding(file.path, start, end, said, related=related, fixes=(fix,))


def _finding(
    file: PythonFile, use: QueueUse, join: ast.Call, top: ast.stmt, takes: list[ast.stmt]
) -> Finding:
    start, end = file.span(join)
    queue = use.place.name
    said = f"{file.text(join.func)} waits for room in {queue}, which is emptied only afterwards"
    related = (Related(file.path, *file.span(takes[0]), f"{queue} is emptied here"),)
    try:
        if _is_told_by_empty(use, takes[-1]):
            fix = _without_limit(file, use)
            return Finding(file.path, start, end, said, related=related, fixes=(fix,))
        edits = _edits(file, top, takes[-1])
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=related, reason=str(error))
    verb = "Join" if file.text(join.func).endswith("join") else "Wait"
    reason = f"the {verb.lower()} comes later"
    fix = Fix(f"{verb} after {queue} is emptied", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, related=related, fixes=(fix,))


def _is_told_by_empty(use: QueueUse, last: ast.stmt) -> bool:
    """Return whether the code that empties the queue ends when there is nothing in it."""
    at_once = any(
        isinstance(get.func, ast.Attribute) and get.func.attr == "get_nowait" and get in walk(last)
        for get in use.gets
    )
    return at_once or any(test in walk(last) for test in use.tests)


def _without_limit(file: PythonFile, use: QueueUse) -> Fix:
    """Return the fix that lets the queue hold what nobody takes before the producers end."""
    made = use.value.made
    if not use.type.startswith("queue.") or not isinstance(made, ast.Call):
        raise BuilderError("the end of the items is told by an empty queue, which comes too early")
    if use.value.file is not file or len(made.args) + len(made.keywords) != 1:
        raise BuilderError("the queue is not made here")
    start, end = file.span(made.func)[1], file.span(made)[1]
    if b"#" in file.data[start:end]:
        raise BuilderError("a comment would be lost")
    edits = (Edit(file.path, start, end, b"()"),)
    reason = "the queue holds every item until then"
    return Fix(f"Let {use.place.name} hold every item", edits, Safety.UNSAFE, reason)


def _edits(file: PythonFile, top: ast.stmt, last: ast.stmt) -> tuple[Edit, ...]:
    if not is_alone(file, top) or not is_alone(file, last):
        raise BuilderError("the statement shares its line with another one")
    gone = delete(file, top, comments=False)
    text = with_comment(file, top)
    if isinstance(top, ast.For):
        if b"#" in file.data[file.span(top)[0] : file.span(top.body[0])[0]]:
            raise BuilderError("a comment of the loop would be lost")
        head = f"for {file.text(top.target)} in {file.text(top.iter)}:"
        text = f"{head}\n    {with_comment(file, top.body[0])}"
    if isinstance(last, ast.Return):
        assert last.value is not None
        name = free_name(file, "result", last)
        value = file.text(last.value)
        return (*gone, *replace_statement(file, last, f"{name} = {value}\n{text}\nreturn {name}"))
    if any(isinstance(node, ast.Return) for node in walk(last)):
        raise BuilderError("the code that empties the queue returns")
    return (*gone, *insert_after(file, last, text))
