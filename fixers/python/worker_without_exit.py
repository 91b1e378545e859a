"""Let the worker end

A thread that takes items in `while True` ends with the process, and the process with it: a
`join()` on it never returns, and a program with such a thread that is no daemon never exits. So it
is with a thread that is told by a flag, but waits for an item where it does not look at it.

Not reported: daemon threads that nobody joins, and whatever may be made one later; loops with a
way out (a break, a return, an exception that is let through by `shutdown` of the queue); queues
that are handed to other code; programs that end by `os._exit`.

Unsafe: an item that is None ends the worker from now on; a daemon ends with the program.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Related, Safety
from threadmend.python.builders import BuilderError, free_name, insert_after, insert_before
from threadmend.python.file import PythonFile
from threadmend.python.flow import innermost_loop, target_of
from threadmend.python.functions import Function
from threadmend.python.queues import QueueUse, feeding, queues_of
from threadmend.python.threads import Spawn, is_made_by

from ._closing import at_close, at_last_wait
from ._deaf import flag_of_loop, is_told_by_item, sets_before
from ._endless import as_daemon, behind_last_item, is_left_alone
from ._inherited import at_inherited_close, joined_by_base
from ._taken import Taken, leaves_loop, taken
from ._tests import softened

CATEGORY = "thread"
GATE = rb"\bwhile\b"


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the joins of threads that nothing ends."""
    for use in queues_of(file):
        if use.escapes or use.shutdowns or not use.type.startswith("queue."):
            continue
        for one in [*taken(file, use), *_nested(file, use)]:
            worker = file.function(one.statement)
            if worker is not None and (deaf := _deaf(file, use, one, worker)) is not None:
                yield deaf
            if worker is None or not _is_endless(one) or leaves_loop(one.loop.body):
                continue
            spawns = [s for s in file.spawns if s.target is worker and s.kind in {"thread", "run"}]
            spawns = feeding(file, use, spawns)
            if len(spawns) != 1:
                continue
            joins = _joins(file, spawns[0], worker)
            if len(joins) == 1:
                yield _finding(file, use, one, spawns[0], joins[0])
            elif not joins and is_left_alone(file, spawns[0]):
                yield softened(file, _left_alone(file, use, one, spawns[0], worker))
            elif not joins and (joined := joined_by_base(file, spawns[0])) is not None:
                yield softened(file, _joined_there(file, use, one, spawns[0], joined.waiting))


def _deaf(file: PythonFile, use: QueueUse, one: Taken, worker: Function) -> Finding | None:
    """Return the finding about a join of a worker that a flag is to end, but that does not see it
    where it waits for an item.
    """
    flag = flag_of_loop(file, one)
    if flag is None or is_told_by_item(file, use, one):
        return None
    spawns = [s for s in file.spawns if s.target is worker and s.kind in {"thread", "run"}]
    if len(spawns) != 1 or spawns[0].many:
        return None
    joins = [j for j in _joins(file, spawns[0], worker) if sets_before(file, flag, j, use)]
    if len(joins) != 1:
        return None
    start, end = file.span(joins[0])
    name = file.text(joins[0].func)
    told = flag[0].name
    said = f"{name} waits for ever where the worker waits for an item, and does not look at {told}"
    related = (Related(file.path, *file.span(one.call), "the worker waits here for more"),)
    try:
        if use.is_bounded or use.joins or not use.type.endswith((".Queue", "SimpleQueue")):
            raise BuilderError("the queue may not take one more item")
        edits = _edits(file, use, one, spawns[0], joins[0])
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=related, reason=str(error))
    fix = Fix("Wake the worker with None", edits, Safety.UNSAFE, "an item that is None ends it")
    return Finding(file.path, start, end, said, related=related, fixes=(fix,))


def _nested(file: PythonFile, use: QueueUse) -> Iterator[Taken]:
    """Yield the items that are taken inside of a plain call: `handle(q.get())`."""
    for call in use.gets:
        above = file.parent(call)
        statement = file.parent(above) if isinstance(above, ast.Call) else None
        loop = None if statement is None else innermost_loop(statement)
        if not isinstance(statement, ast.Expr) or not isinstance(call.func, ast.Attribute):
            continue
        if call in use.written:
            continue
        if loop is None or statement not in loop.body or call not in above.args:  # type: ignore[union-attr]
            continue
        if all(isinstance(a, ast.Name | ast.Constant) for a in above.args if a is not call):  # type: ignore[union-attr]
            name = free_name(file, "item", call)
            queue, waits = file.text(call.func.value), not (call.args or call.keywords)
            yield Taken(statement, call, name, queue, loop, [statement], waits=waits)


def _is_endless(one: Taken) -> bool:
    if not one.waits or not isinstance(one.loop, ast.While):
        return False
    test = one.loop.test
    return isinstance(test, ast.Constant) and bool(test.value)


def _joins(file: PythonFile, spawn: Spawn, worker: Function) -> list[ast.Call]:
    """Return the calls that wait for the thread without a limit: `self._thread.join()`."""
    found = []
    for call in file.calls("join"):
        if call.args or call.keywords or not isinstance(call.func, ast.Attribute):
            continue
        if not isinstance(file.parent(call), ast.Expr):
            continue
        if _is_thread(file, call.func.value, spawn, worker) or _is_element(file, call, spawn):
            found.append(call)
    return found


def _is_thread(file: PythonFile, node: ast.expr, spawn: Spawn, worker: Function) -> bool:
    if spawn.kind == "thread":
        return is_made_by(file, node, spawn)
    value = file.value(node)
    return value is not None and value.cls is worker.cls


def _is_element(file: PythonFile, call: ast.Call, spawn: Spawn) -> bool:
    """Return whether a loop joins the threads of a list: `for t in threads: t.join()`."""
    loop = innermost_loop(call)
    assert isinstance(call.func, ast.Attribute)
    name = call.func.value
    if not isinstance(loop, ast.For) or not isinstance(name, ast.Name):
        return False
    if not isinstance(loop.target, ast.Name) or loop.target.id != name.id:
        return False
    return _list(file, spawn) == file.text(loop.iter)


def _list(file: PythonFile, spawn: Spawn) -> str | None:
    """Return the list that holds the threads of a comprehension or a loop."""
    above = file.parent(spawn.node)
    if isinstance(above, ast.ListComp):
        top = file.parent(above)
        kept = target_of(top)
        if kept is not None:
            return file.text(kept)
    target = target_of(above)
    names = {target.id} if isinstance(target, ast.Name) else set()
    for call in file.calls("append"):
        given = call.args[0] if call.args else None
        if given is spawn.node or (isinstance(given, ast.Name) and given.id in names):
            assert isinstance(call.func, ast.Attribute)
            return file.text(call.func.value)
    return None


def _finding(file: PythonFile, use: QueueUse, one: Taken, spawn: Spawn, join: ast.Call) -> Finding:
    start, end = file.span(join)
    said = f"{file.text(join.func)} never returns: nothing ends the loop over {one.queue}"
    related = (Related(file.path, *file.span(one.call), "the worker waits here for more"),)
    try:
        edits = _edits(file, use, one, spawn, join)
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=related, reason=str(error))
    reason = "an item that is None ends the worker"
    title = "End the worker with None"
    fix = Fix(title, edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, related=related, fixes=(fix,))


def _left_alone(
    file: PythonFile, use: QueueUse, one: Taken, spawn: Spawn, worker: Function
) -> Finding:
    """Return the finding about a worker that the process waits for when it ends."""
    start, end = file.span(spawn.node if isinstance(spawn.node, ast.Call) else worker.node)
    said = (
        f"the program never ends: nothing ends {worker.name}, which waits for more of {one.queue}"
    )
    related = (Related(file.path, *file.span(one.call), "the worker waits here for more"),)
    try:
        last = behind_last_item(file, use, spawn) if isinstance(spawn.node, ast.Call) else None
        if last is not None:
            ends = _ended(file, use, one)
            fix = Fix(
                "End the worker with None",
                (*ends, *insert_after(file, *last)),
                Safety.UNSAFE,
                "an item that is None ends the worker",
            )
        elif closed := at_close(file, use, spawn) or at_inherited_close(file, use, spawn):
            edits = (*_ended(file, use, one), *closed)
            reason = "an item that is None ends the worker, which is waited for"
            fix = Fix("End the worker when its object is closed", edits, Safety.UNSAFE, reason)
        elif waited := at_last_wait(file, use, spawn):
            edits = (*_ended(file, use, one), *waited)
            reason = "an item that is None ends the worker, which is waited for"
            fix = Fix("End the workers when all is done", edits, Safety.UNSAFE, reason)
        else:
            edits, is_told = as_daemon(file, use, spawn)
            if is_told:
                edits = (*edits, *_ended(file, use, one))
            ending = "put while" if is_told else "still open when"
            reason = f"an item that is {ending} the program ends is not done"
            fix = Fix("End the worker with the program", edits, Safety.UNSAFE, reason)
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=related, reason=str(error))
    return Finding(file.path, start, end, said, related=related, fixes=(fix,))


def _joined_there(
    file: PythonFile, use: QueueUse, one: Taken, spawn: Spawn, waiting: Function
) -> Finding:
    """Return the finding about a worker that a base of its class waits for."""
    start, end = file.span(spawn.node)
    said = f"{waiting.qualname} never returns: nothing ends the loop over {one.queue}"
    related = (Related(file.path, *file.span(one.call), "the worker waits here for more"),)
    reason = "an item that is None ends the worker"
    try:
        closed = at_inherited_close(file, use, spawn)
        if not closed:
            raise BuilderError(f"what else {waiting.qualname} waits for cannot be told")
        edits = (*_ended(file, use, one), *closed)
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=related, reason=str(error))
    fix = Fix("End the worker with None", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, related=related, fixes=(fix,))


def _edits(
    file: PythonFile, use: QueueUse, one: Taken, spawn: Spawn, join: ast.Call
) -> tuple[Edit, ...]:
    """Return the edits: the loop ends at None, which is put for each worker before the join."""
    loop = innermost_loop(join)
    queue = _named(file, use, join)
    ends = _ended(file, use, one)
    statement = file.statement(join)
    if isinstance(loop, ast.For) and _list(file, spawn) == file.text(loop.iter):
        text = f"for _ in {file.text(loop.iter)}:\n    {queue}.put(None)"
        return (*ends, *insert_before(file, loop, text))
    if loop is not None or spawn.many:
        raise BuilderError("how many workers are joined cannot be told")
    return (*ends, *insert_before(file, statement, f"{queue}.put(None)"))


def _ended(file: PythonFile, use: QueueUse, one: Taken) -> tuple[Edit, ...]:
    """Return the edits that put the test of an item behind where it is taken; one that is taken
    inside of a call, or unpacked, is taken before it.
    """
    done = f"    {one.queue}.task_done()\n" if use.dones else ""
    name = one.name or free_name(file, "got", one.call)
    text = f"if {name} is None:\n{done}    break"
    said = _or_none(file, use)
    if one.name and one.statement not in one.rest:
        return (*insert_after(file, one.statement, text), *said)
    named = Edit(file.path, *file.span(one.call), file.encode(name))
    taking = f"{name} = {file.text(one.call)}\n{text}"
    return (*insert_before(file, one.statement, taking), named, *said)


def _or_none(file: PythonFile, use: QueueUse) -> tuple[Edit, ...]:
    """Return the edit that lets an annotated queue hold None: `queue.Queue[Mail | None]`."""
    made = use.value.made
    above = file.parent(made) if made is not None and use.value.file is file else None
    if not isinstance(above, ast.AnnAssign) or not isinstance(above.annotation, ast.Subscript):
        return ()
    item = above.annotation.slice
    is_read = not isinstance(above.target, ast.Attribute) and file.function(above) is None
    later = b"from __future__ import annotations" in file.data
    if is_read and not later and file.python_version < (3, 10):
        return ()
    if isinstance(item, ast.Tuple | ast.Constant) or "None" in file.text(item):
        return ()
    end = file.span(item)[1]
    return (Edit(file.path, end, end, b" | None"),)


def _named(file: PythonFile, use: QueueUse, at: ast.Call) -> str:
    """Return how the queue is written where the thread is joined."""
    function = file.function(at)
    for call in (*use.puts, *use.joins, *use.gets):
        if file.function(call) is function or use.place.kind == "global":
            return use.text(file, call)
    if use.place.kind == "attribute" and function is not None and function.self_name:
        return f"{function.self_name}.{use.place.name}"
    if use.place.kind == "local" and function is not None:
        name = use.place.name
        if function.scope.lookup(name) is not None:
            return name
    raise BuilderError("the queue has no name where the thread is joined")
