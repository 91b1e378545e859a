"""Tell the event loop from other threads the safe way

`loop.call_soon` and `create_task` do not wake a loop that waits, and are not made to be called
from another thread: the callback runs when something else happens, or a queue of the loop is
damaged.

Not reported: calls that run in the loop's own thread, as far as one can tell: only what a
thread, an executor or a timer runs is looked at; threads that make or run a loop of their own;
`call_soon` of loops that are not asyncio's.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python.builders import BuilderError, reference
from threadmend.python.file import PythonFile, last_name
from threadmend.python.threads import Spawn, reached, spawns_reaching

CATEGORY = "asyncio"
GATE = rb"\.call_soon\(|\.create_task\("

_THREADS = frozenset({"thread", "timer", "run", "executor", "to_thread", "submit", "map"})

_LOOPS = frozenset({"new_event_loop", "set_event_loop", "run_forever", "run_until_complete"})


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the calls of a loop's methods from another thread."""
    reaching = spawns_reaching(file)
    for call in file.calls("call_soon", "create_task"):
        function = file.function(call)
        if function is None or function.is_async or not isinstance(call.func, ast.Attribute):
            continue
        spawns = [spawn for spawn in reaching.get(function, ()) if spawn.kind in _THREADS]
        if not spawns or any(map(_has_loop, spawns)):
            continue
        if function.callers and not all(site.caller in reaching for site in function.callers):
            continue
        if file.is_a(call.func.value, "asyncio.AbstractEventLoop"):
            yield _finding(file, call, call.func)


def _has_loop(spawn: Spawn) -> bool:
    """Return whether the thread makes or runs a loop of its own."""
    return spawn.target is not None and any(
        last_name(call.func) in _LOOPS for f in reached(spawn.target) for call in f.calls()
    )


def _finding(file: PythonFile, call: ast.Call, func: ast.Attribute) -> Finding:
    start, end = file.span(call)
    said = f"{file.text(func)} is called from another thread than the loop's"
    loop = file.text(func.value)
    if func.attr == "call_soon":
        # The same call, which also wakes the loop.
        first = file.span(func.value)[1]
        edit = Edit(file.path, first, file.span(func)[1], b".call_soon_threadsafe")
        return Finding(
            file.path, start, end, said, fixes=(Fix("Call call_soon_threadsafe", (edit,)),)
        )
    if len(call.args) != 1 or call.keywords:
        return Finding(file.path, start, end, said, reason="the task has a name or a context")
    try:
        name, added = reference(file, "asyncio.run_coroutine_threadsafe", call)
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    text = f"{name}({file.text(call.args[0])}, {loop})"
    edits = (Edit(file.path, start, end, file.encode(text)), *added)
    title = "Call run_coroutine_threadsafe"
    if isinstance(file.parent(call), ast.Expr):
        return Finding(file.path, start, end, said, fixes=(Fix(title, edits),))
    reason = "the result is a future of concurrent.futures, no task"
    return Finding(file.path, start, end, said, fixes=(Fix(title, edits, Safety.UNSAFE, reason),))
