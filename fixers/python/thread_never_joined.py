"""Join the threads whose results are read

A function starts threads that fill a list, and returns it: whether anything is in it depends
on how fast they are. So it is with what a thread object keeps in itself.

Not reported: threads that are joined, or awaited through an event, a queue or a barrier, or that
end the loop which their starter runs; what they write is not read by the function that starts
them; objects that outlive the function.

Unsafe: the function takes as long as its threads.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Related, Safety
from threadmend.python import api
from threadmend.python.builders import (
    BuilderError,
    free_name,
    insert_after,
    insert_before,
    is_alone,
)
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, innermost_loop, target_of, without_text
from threadmend.python.functions import Function
from threadmend.python.methodcalls import method_calls
from threadmend.python.scope import ancestors
from threadmend.python.threads import Spawn, reached

from ._filled import filled, read_behind
from ._helper_starts import begun_by_makers, joined_here, started_by_helper
from ._results import objects, read_early, read_of_filled, returned, waits
from ._started import keeper, kept_by_object, list_of, started
from ._unreturned import returned_by_helper, unreturned

CATEGORY = "thread"
GATE = rb"[tT]hread|(?:spawn|start|launch|background|run)\w*\("

_Early = tuple[Spawn, ast.stmt, tuple[str, ast.stmt]]

_SERVES = frozenset({"serve_forever", "run_forever", "serve", "mainloop", "accept", "listen"})


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the threads whose results are read before they can be there."""
    early = list(_early(file))
    for one in early:
        yield _finding(file, one, _group(file, early, one))


def _early(file: PythonFile) -> Iterator[_Early]:
    """Yield the threads, where they are started, and what is read of them before they end."""
    for call in unreturned(file):
        function, inner = file.function(call.spawn.node), call.spawn.through
        if function is None or inner is None or _goes_on(inner) or waits(function):
            continue
        read = read_of_filled(file, call.statement, call.filled)
        if read is not None and not _is_joined_by_helper(function, call.spawn):
            yield call.spawn, call.statement, read
    for spawn in [*file.spawns, *objects(file), *begun_by_makers(file)]:
        if spawn.kind == "handed" or spawn.begun:
            yield from _by_helper(file, spawn)
        if spawn.kind != "thread" or spawn.begun or spawn.target is None or _goes_on(spawn):
            continue
        function = file.function(spawn.node)
        if function is None or waits(function) or _is_joined_later(file, function):
            continue
        start = started(file, spawn)
        if start is None or file.function(start) is not function:
            continue
        if kept_by_object(file, spawn) is not None and _is_joined_by_helper(function, spawn):
            continue
        read = read_early(file, spawn, start) or _own(file, spawn, start)
        read = read or _read_by_caller(file, spawn, function)
        if read is None or _ends_what_is_run(file, spawn, start, read[1]):
            continue
        if not _hands_on_a_signal(file, function, spawn, read[1]):
            yield spawn, start, read


def _hands_on_a_signal(file: PythonFile, function: Function, spawn: Spawn, read: ast.stmt) -> bool:
    """Return whether a function returns the results together with what tells that they are
    there, an event that the thread sets: `return results, ready`. Its caller waits.
    """
    assert spawn.target is not None
    told = [
        file.binding(call.func.value)
        for call in spawn.target.calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr == "set"
        and file.is_a(call.func.value, api.EVENTS)
    ]
    if not isinstance(read, ast.Return) or not told:
        return False
    names = [node for node in ast.walk(read) if isinstance(node, ast.Name)]
    mine = [b for b in map(file.binding, names) if b is not None and b.scope is function.scope]
    return any(binding in told for binding in mine)


def _ends_what_is_run(file: PythonFile, spawn: Spawn, start: ast.stmt, read: ast.stmt) -> bool:
    """Return whether the last thing that a thread does is to end what its starter runs before it
    reads: `app.quit()`, where that calls `app.run()` meanwhile.
    """
    assert spawn.target is not None
    last: ast.stmt | None = spawn.target.body[-1] if spawn.target.body else None
    while isinstance(last, ast.Try | ast.With):
        last = (getattr(last, "finalbody", None) or last.body)[-1]
    call = last.value if isinstance(last, ast.Expr) else None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return False
    ended = file.binding(call.func.value)
    if ended is None or ended.scope is spawn.target.scope:
        return False
    between = [s for s in after(start) if s.lineno < read.lineno]
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and file.binding(node.func.value) is ended
        for statement in between
        for node in ast.walk(statement)
    )


def _by_helper(file: PythonFile, spawn: Spawn) -> Iterator[_Early]:
    """Yield the call of a helper that starts a thread, when what that fills is read behind it."""
    function, start = file.function(spawn.node), started_by_helper(file, spawn)
    if start is None or function is None or spawn.target is None:
        return
    if not waits(function) and not _is_joined_by_helper(function, spawn):
        read = read_early(file, spawn, start)
        if read is not None:
            yield spawn, start, read


def _is_joined_by_helper(function: Function, spawn: Spawn) -> bool:
    """Return whether a thread goes on for long, or what its starter calls waits for it."""
    assert spawn.target is not None
    if any(isinstance(n, ast.While) for n in spawn.target.own):
        return True
    return any(waits(f) for f in reached(function) if f is not spawn.target)


def _is_joined_later(file: PythonFile, starter: Function) -> bool:
    """Return whether a function that is nested in the starter joins a thread of that: it is handed
    to whoever cleans up, `self.addCleanup(stop)`.
    """
    for call, thread in method_calls(file, "join"):
        inner, binding = file.function(call), file.binding(thread)
        if inner is not None and inner.outer is starter and binding is not None:
            if binding.scope is starter.scope and not call.args:
                return True
    return False


def _read_by_caller(
    file: PythonFile, spawn: Spawn, starter: Function
) -> tuple[str, ast.stmt] | None:
    """Return what the only caller of a helper that starts threads returns of what they fill:
    neither waits for them.
    """
    if not starter.is_private or len(starter.callers) != 1 or not starter.is_only_called:
        return None
    call, caller, _ = starter.callers[0]
    statement = file.parent(call)
    if caller is None or caller.self_name != starter.self_name or file.held(call):
        return None
    if not isinstance(statement, ast.Expr) or _is_joined_by_helper(caller, spawn):
        return None
    read = returned(file, spawn, statement)
    if read is not None and kept_by_object(file, spawn) is None:
        # they are joined where they are started: there must be nothing else to do meanwhile
        return read if after(statement)[:1] == [read[1]] else None
    return read


def _goes_on(spawn: Spawn) -> bool:
    """Return whether a thread is a daemon that works in a loop of its own: what it fills is
    read while it goes on.
    """
    assert spawn.target is not None
    if spawn.daemon and _is_watchdog(spawn.target):
        return True
    of_class = spawn.through is not None and isinstance(spawn.through.node, ast.ClassDef)
    return (of_class or bool(spawn.daemon)) and any(
        isinstance(n, ast.While) for n in spawn.target.own
    )


def _is_watchdog(target: Function) -> bool:
    """Return whether a function lets time go by first, and then does something only when it has
    to: its maker asks whether it had to.
    """
    body = without_text(target.body)
    first = body[0] if len(body) > 1 else None
    if not isinstance(first, ast.Expr) or not isinstance(first.value, ast.Call):
        return False
    sleeps = target.file.qualified(first.value.func) == "time.sleep"
    return sleeps and isinstance(body[1], ast.If) and not body[1].orelse


def _own(file: PythonFile, spawn: Spawn, start: ast.Expr) -> tuple[str, ast.stmt] | None:
    """Return what a thread object keeps in itself and its maker reads: the function has the
    object alone, and `run` ends by itself.
    """
    target, call = spawn.target, start.value
    if target is None or target.cls is None or spawn.target_node is not None:
        return None
    func = call.func if isinstance(call, ast.Call) else None
    thread = func.value if isinstance(func, ast.Attribute) else None
    value = file.value(spawn.node)
    if not isinstance(thread, ast.Name) or value is None or value.cls is None:
        return None
    held = list_of(file, spawn)
    if not _is_private(file, held or thread) or _serves(value.cls):
        return None
    return read_behind(file, thread, start, filled(value.cls), held)


def _is_private(file: PythonFile, name: ast.Name) -> bool:
    """Return whether a variable is local, and its object goes nowhere else: its attributes are
    used, or it is looped over.
    """
    binding = file.binding(name)
    if binding is None or binding.scope.kind != "function":
        return False
    for use in file.uses(binding):
        above = file.parent(use)
        if isinstance(use.ctx, ast.Load) and not isinstance(above, ast.Attribute):
            if not isinstance(above, ast.For | ast.comprehension) or above.iter is not use:
                return False
    return True


def _serves(cls: Class) -> bool:
    """Return whether a thread may go on for ever: it loops on a condition, or serves."""
    run = cls.method("run")
    return run is None or any(
        isinstance(n, ast.While) or (isinstance(n, ast.Attribute) and n.attr in _SERVES)
        for n in run.own
    )


def _finding(file: PythonFile, early: _Early, group: list[str]) -> Finding:
    spawn, started, (name, read) = early
    start, end = file.span(started)
    said = f"{name} is read without waiting for the thread that fills it"
    related = (Related(file.path, *file.span(read), f"{name} is read here"),)
    try:
        edits = _edits(file, spawn, started, read, group)
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=related, reason=str(error))
    reason = "the function takes as long as its threads"
    fix = Fix("Join before the results are read", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, related=related, fixes=(fix,))


def _edits(
    file: PythonFile, spawn: Spawn, started: ast.stmt, read: ast.stmt, group: list[str]
) -> tuple[Edit, ...]:
    """Return the edits that name the thread, collect those of a loop, and join them."""
    if spawn.kind == "handed" or spawn.begun:
        joined = joined_here(file, started, spawn)
        is_dropped = spawn.through is not None and not _is_kept(file, spawn.through)
        return (*returned_by_helper(file, spawn), *joined) if is_dropped else joined
    if not is_alone(file, started) or not isinstance(started, ast.Expr):
        raise BuilderError("the statement shares its line with another one")
    outer: ast.stmt | None = None
    at: ast.stmt = started
    while (loop := innermost_loop(at)) is not None:
        outer = at = loop
    edits: list[Edit] = []
    kept = kept_by_object(file, spawn)
    if kept is not None and (outer is not None or not _is_beside(file, started, read)):
        one = _name(file, spawn) if _is_beside(file, started, read) else None
        one = one or free_name(file, "thread", read)
        text = f"for {one} in {kept}:\n    {one}.join()"
        return insert_before(file, read, text)
    if isinstance(started.value, ast.ListComp):
        return _listed(file, spawn, started)
    if outer is not None and (held := list_of(file, spawn)) and isinstance(outer, ast.For):
        if file.text(outer.iter) == held.id and isinstance(outer.target, ast.Name):
            one = outer.target.id
            return insert_after(file, outer, f"for {one} in {held.id}:\n    {one}.join()")
    name = _name(file, spawn)
    if name is None:
        name = free_name(file, "thread", started)
        first, last = file.span(started)
        close = file.span(spawn.node)[1]
        edits.append(Edit(file.path, first, first, file.encode(f"{name} = ")))
        edits.append(Edit(file.path, close, last, b""))
        text = f"{name}.start()"
        if outer is not None:
            text += f"\n{_list(file, started)}.append({name})"
        edits += insert_after(file, started, text)
    elif outer is not None and (names_of := keeper(file, spawn, outer)) is not None:
        return insert_after(file, outer, f"for {name} in {names_of}:\n    {name}.join()")
    elif outer is not None:
        edits += insert_after(file, started, f"{_list(file, started)}.append({name})")
    if outer is None and not edits and name in group and is_alone(file, read):
        return insert_before(file, read, "\n".join(f"{one}.join()" for one in group))
    if outer is None:
        return tuple(_joined(file, edits, started, f"{name}.join()"))
    names = _list(file, started)
    edits += insert_before(file, outer, f"{names} = []")
    edits += insert_after(file, outer, f"for {name} in {names}:\n    {name}.join()")
    return tuple(edits)


def _is_kept(file: PythonFile, inner: Spawn) -> bool:
    """Return whether the helper that starts a thread returns it, or something else."""
    helper = inner.file.function(inner.node) if inner.file is file else None
    return helper is None or bool(helper.returns())


def _is_beside(file: PythonFile, started: ast.stmt, read: ast.stmt) -> bool:
    """Return whether a function starts the threads itself whose results it reads."""
    return file.function(started) is file.function(read)


def _group(file: PythonFile, early: list[_Early], own: _Early) -> list[str]:
    """Return the names of the threads that the same statement reads too early, in the order in
    which the block starts them: their joins stand together, so that they run side by side.
    """
    names = []
    for spawn, start, (_, read) in early:
        name = _name(file, spawn)
        if name and read is own[2][1] and read in after(start) and is_alone(file, start):
            names.append((start.lineno, name))
    return [name for _, name in sorted(names)]


def _listed(file: PythonFile, spawn: Spawn, started: ast.Expr) -> tuple[Edit, ...]:
    """Return the edits of `[Thread(…).start() for …]`: the list is kept, started and joined."""
    names, one = _list(file, started), free_name(file, "thread", started)
    start = file.span(started)[0]
    made = file.span(spawn.node)[1]
    call = file.parent(file.parent(spawn.node))  # type: ignore[arg-type]
    assert call is not None
    text = f"for {one} in {names}:\n    {one}.start()\nfor {one} in {names}:\n    {one}.join()"
    return (
        Edit(file.path, start, start, file.encode(f"{names} = ")),
        Edit(file.path, made, file.span(call)[1], b""),
        *insert_after(file, started, text),
    )


def _joined(file: PythonFile, edits: list[Edit], started: ast.Expr, text: str) -> list[Edit]:
    more = insert_after(file, started, text)
    if edits and edits[-1].start == more[0].start:
        joined = Edit(file.path, more[0].start, more[0].end, edits[-1].new + more[0].new)
        return [*edits[:-1], joined]
    return [*edits, *more]


def _list(file: PythonFile, at: ast.AST) -> str:
    return free_name(file, "threads", at)


def _name(file: PythonFile, spawn: Spawn) -> str | None:
    above = next(ancestors(spawn.node), None)
    target = target_of(above)
    return target.id if isinstance(target, ast.Name) else None
