"""Tell the event loop from other threads the safe way

`loop.call_soon` and `create_task` do not wake a loop that waits, and are not made to be called
from another thread: the callback runs when something else happens, or a queue of the loop is
damaged. A loop in a thread of its own sleeps on when somebody else calls `stop`. The same goes for
what wakes a coroutine: `set` of an Event of asyncio, `put_nowait` of a Queue, `set_result` of a
Future.

Not reported: calls that run in the loop's own thread, as far as one can tell: only what a
thread, an executor or a timer runs is looked at, and what uses a loop that one of them runs;
threads that make or run a loop of their own; `call_soon` of loops that are not asyncio's.

Unsafe: where an exception of the call is handled around it, which the loop gets instead; where the
result of `create_task` is used.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python import api
from threadmend.python.arguments import keyword
from threadmend.python.builders import BuilderError, free_attribute, insert_before, reference
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile, last_name
from threadmend.python.flow import block_of
from threadmend.python.functions import Function
from threadmend.python.scope import Binding
from threadmend.python.threads import Spawn, reached

from ._given import in_threads
from ._handed import is_given_a
from ._homes import homes, is_outside, runs_loop

CATEGORY = "asyncio"
GATE = (
    rb"\.call_(?:soon|later|at)\(|\.stop\(|\.create_task\(|ensure_future\("
    rb"|\.set_(?:result|exception)\(|\.put_nowait\(|\.set\(\)"
)

_THREADS = frozenset({"thread", "timer", "run", "executor", "to_thread", "submit", "map", "handed"})

_FUTURES = frozenset({"asyncio.Future"})
_WAKERS = {
    "set": frozenset({"asyncio.Event"}),
    "put_nowait": api.ASYNC_QUEUES,
    "set_result": _FUTURES,
    "set_exception": _FUTURES,
}
_LOOP = "asyncio.AbstractEventLoop"
_METHODS = ("call_soon", "create_task", "stop", "call_later", "call_at")
_LOOPS = frozenset({"new_event_loop", "set_event_loop", "run_forever", "run_until_complete"})


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the calls of a loop's methods from another thread."""
    yield from _from_outside(file)
    running: dict[Function, list[Spawn]] | None = None
    for call in file.calls("call_soon", "create_task", *_WAKERS):
        function = file.function(call)
        if function is None or function.is_async or not isinstance(call.func, ast.Attribute):
            continue
        if runs_loop(function) or _is_for_the_loop(file, function):
            continue  # it is the loop's thread
        if not is_given_a(file, call.func.value, _WAKERS.get(call.func.attr, frozenset({_LOOP}))):
            continue
        running = running if running is not None else in_threads(file)
        spawns = _outside(function, running)
        if not spawns:
            continue
        if call.func.attr not in _WAKERS:
            yield _finding(file, call, call.func)
        elif isinstance(file.parent(call), ast.Expr):
            yield _waking(file, call, call.func, function, spawns)
    for call in file.calls("ensure_future"):
        function, loop = file.function(call), keyword(call, "loop")
        if function is None or loop is None or function.is_async or runs_loop(function):
            continue
        is_own = file.qualified(call.func) == "asyncio.ensure_future" and len(call.args) == 1
        if is_own and is_given_a(file, loop, frozenset({_LOOP})):
            if _outside(function, in_threads(file)):
                said = f"{file.text(call.func)} is called from another thread than the loop's"
                yield _begun(file, call, loop, said)


def _is_for_the_loop(file: PythonFile, function: Function) -> bool:
    """Return whether a function is handed to a loop where another thread would run it, and only
    called by the one that has handed it over: who wrote that tells the two apart.
    """
    handed = [
        file.function(s.node) for s in file.spawns if s.kind == "call" and s.target is function
    ]
    return bool(handed) and all(site.caller in handed for site in function.callers)


def _from_outside(file: PythonFile) -> Iterator[Finding]:
    """Yield the calls of a loop that a thread of its own runs, from code that is outside of it."""
    for call in file.calls(*_METHODS) if homes(file) else ():
        func, function = call.func, file.function(call)
        if function is None or not isinstance(func, ast.Attribute):
            continue
        if not file.is_a(func.value, _LOOP):
            continue
        place = file.place(func.value)
        spawns = None if place is None else homes(file).get(place.anywhere)
        if spawns and is_outside(file, call, function, spawns):
            yield _finding(file, call, func)


def _outside(function: Function, running: Mapping[Function, list[Spawn]]) -> list[Spawn]:
    """Return the threads that run a function; none where anybody else may call it."""
    spawns = [spawn for spawn in running.get(function, ()) if _is_thread(spawn)]
    if any(map(_has_loop, spawns)):
        return []
    others = any(site.caller not in running for site in function.callers)
    return [] if others else spawns


def _begun(file: PythonFile, call: ast.Call, loop: ast.expr, said: str) -> Finding:
    """Return the finding about a call that begins a task, which `run_coroutine_threadsafe`
    begins from another thread.
    """
    start, end = file.span(call)
    try:
        name, added = reference(file, "asyncio.run_coroutine_threadsafe", call)
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    text = f"{name}({file.text(call.args[0])}, {file.text(loop)})"
    edits = (Edit(file.path, start, end, file.encode(text)), *added)
    title = "Call run_coroutine_threadsafe"
    # `ensure_future` takes any awaitable, which only a call of a coroutine function is sure to be
    is_coroutine = last_name(call.func) == "create_task" or isinstance(call.args[0], ast.Call)
    if isinstance(file.parent(call), ast.Expr) and is_coroutine:
        return Finding(file.path, start, end, said, fixes=(Fix(title, edits),))
    edits = (*edits, *_at_once(file, call))
    reason = "the result is a future of concurrent.futures, no task"
    return Finding(file.path, start, end, said, fixes=(Fix(title, edits, Safety.UNSAFE, reason),))


def _at_once(file: PythonFile, call: ast.Call) -> Iterator[Edit]:
    """Yield the edits that have `task.result()` fail where the task is not done, as that of a task
    does: that of a future of another thread waits, for ever where nothing runs the loop.
    """
    kept = file.parent(call)
    name = kept.targets[0] if isinstance(kept, ast.Assign) and len(kept.targets) == 1 else None
    binding = file.binding(name)
    for use in file.uses(binding) if binding is not None and isinstance(kept, ast.stmt) else ():
        method = file.parent(use)
        asked = file.parent(method) if isinstance(method, ast.Attribute) else None
        if not isinstance(asked, ast.Call) or asked.func is not method or asked.args:
            continue
        if isinstance(method, ast.Attribute) and method.attr in {"result", "exception"}:
            if asked.keywords or _is_awaited_before(file, asked, binding):
                continue
            at = file.span(asked)[1] - 1
            yield Edit(file.path, at, at, b"0")


def _is_awaited_before(file: PythonFile, asked: ast.Call, binding: Binding | None) -> bool:
    """Return whether the statement before only ends when the task is done: `while not task.done():
    sleep(0.1)`.
    """
    statement = file.statement(asked)
    block = block_of(statement)
    for earlier in block[: block.index(statement)]:
        test = earlier.test if isinstance(earlier, ast.While) else None
        call = test.operand if isinstance(test, ast.UnaryOp) else None
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            if call.func.attr == "done" and file.binding(call.func.value) is binding:
                return True
    return False


def _is_thread(spawn: Spawn) -> bool:
    """Return whether a thread runs what is spawned: of callbacks, those of a job of an executor,
    which the thread that has done it calls.
    """
    if spawn.kind != "callback":
        return spawn.kind in _THREADS
    func = spawn.node.func if isinstance(spawn.node, ast.Call) else None
    job = spawn.file.value(func.value) if isinstance(func, ast.Attribute) else None
    # the loop itself calls those of `run_coroutine_threadsafe`
    made = None if job is None or not job.type.startswith("concurrent.") else job.made
    return isinstance(made, ast.Call) and last_name(made.func) == "submit"


def _has_loop(spawn: Spawn) -> bool:
    """Return whether the thread makes or runs a loop of its own."""
    return spawn.target is not None and any(
        last_name(call.func) in _LOOPS for f in reached(spawn.target) for call in f.calls
    )


def _finding(file: PythonFile, call: ast.Call, func: ast.Attribute) -> Finding:
    start, end = file.span(call)
    said = f"{file.text(func)} is called from another thread than the loop's"
    if func.attr == "call_soon":
        # The same call, which also wakes the loop.
        first = file.span(func.value)[1]
        edit = Edit(file.path, first, file.span(func)[1], b".call_soon_threadsafe")
        return Finding(
            file.path, start, end, said, fixes=(Fix("Call call_soon_threadsafe", (edit,)),)
        )
    if func.attr != "create_task":
        return _handed_over(file, call, func, said)
    if len(call.args) != 1 or call.keywords:
        return Finding(file.path, start, end, said, reason="the task has a name or a context")
    return _begun(file, call, func.value, said)


def _handed_over(file: PythonFile, call: ast.Call, func: ast.Attribute, said: str) -> Finding:
    """Return the finding about a method that the loop has to call itself: `stop`."""
    start, end = file.span(call)
    if not isinstance(file.parent(call), ast.Expr):
        return Finding(file.path, start, end, said, reason="what it returns is used")
    if call.keywords:
        return Finding(file.path, start, end, said, reason="an argument has a name")
    fix = Fix("Call call_soon_threadsafe", (_by_loop(file, call, func, file.text(func.value)),))
    return Finding(file.path, start, end, said, fixes=(fix,))


def _by_loop(file: PythonFile, call: ast.Call, func: ast.Attribute, loop: str) -> Edit:
    """Return the edit that has a loop make the call: `loop.call_soon_threadsafe(f, x)`."""
    first = file.data.index(b"(", file.span(func)[1]) + 1
    gap = b", " if call.args else b""
    head = file.encode(f"{loop}.call_soon_threadsafe({file.text(func)}") + gap
    return Edit(file.path, file.span(call)[0], first, head)


def _waking(
    file: PythonFile, call: ast.Call, func: ast.Attribute, function: Function, spawns: list[Spawn]
) -> Finding:
    """Return the finding about a call that wakes a coroutine, but not its loop."""
    start, end = file.span(call)
    said = f"{file.text(func)} does not wake the loop, and is called from another thread"
    try:
        loop, edits = _loop_at(file, func, function, spawns)
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    if call.keywords:
        return Finding(file.path, start, end, said, reason="an argument has a name")
    # It runs as soon as the loop does, which this wakes.
    safety, reason = Safety.SAFE, ""
    if call.args and any(isinstance(a, ast.Try) for a in file.ancestors(call)):
        safety, reason = Safety.UNSAFE, "what it raises is raised in the loop"
    edits = (_by_loop(file, call, func, loop), *edits)
    fix = Fix("Call call_soon_threadsafe", edits, safety, reason)
    return Finding(file.path, start, end, said, fixes=(fix,))


def _loop_at(
    file: PythonFile, func: ast.Attribute, function: Function, spawns: list[Spawn]
) -> tuple[str, tuple[Edit, ...]]:
    """Return how the loop is written in a function that a thread runs: a future's own, one of
    a variable around or an attribute, or one that the coroutine keeps which starts the thread.
    """
    if file.is_a(func.value, _FUTURES):
        return f"{file.text(func.value)}.get_loop()", ()
    outer = function.outer
    while outer is not None:
        for name, binding in outer.scope.bindings.items():
            sites = binding.sites
            if len(sites) == 1 and sites[0].value and file.is_a(sites[0].value, _LOOP):
                return name, ()
        outer = outer.outer
    cls, me = function.cls, function.self_name
    if cls is None or me is None:
        raise BuilderError("the loop is not known here")
    for name in sorted({use.name for use in cls.uses}):
        values = cls.values_of(name)
        if values and all(other.is_a(value, _LOOP) for other, value in values):
            return f"{me}.{name}", ()
    return _kept_by_starter(file, cls, me, spawns)


def _kept_by_starter(
    file: PythonFile, cls: Class, me: str, spawns: list[Spawn]
) -> tuple[str, tuple[Edit, ...]]:
    name = free_attribute(cls, "_loop")
    edits: list[Edit] = []
    for spawn in spawns:
        starter = spawn.file.function(spawn.node)
        if starter is None or not starter.is_async or starter.cls is not cls:
            raise BuilderError("the loop is not known where the thread is started")
        made, added = reference(file, "asyncio.get_running_loop", spawn.node)
        text = f"{starter.self_name}.{name} = {made}()"
        edits += [*added, *insert_before(file, file.statement(spawn.node), text)]
    return f"{me}.{name}", tuple(edits)
