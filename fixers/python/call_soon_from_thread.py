"""Tell the event loop from other threads the safe way

`loop.call_soon` and `create_task` do not wake a loop that waits, and are not made to be called
from another thread: the callback runs when something else happens, or a queue of the loop is
damaged.

Not reported: calls that run in the loop's own thread, as far as one can tell: only what a
thread, an executor or a callback of a future of `concurrent.futures` runs is looked at;
`call_soon` of loops that are not asyncio's.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python.builders import BuilderError, reference
from threadmend.python.file import PythonFile
from threadmend.python.threads import spawns_reaching

CATEGORY = "asyncio"
GATE = rb"\.call_soon\(|\.create_task\("

_THREADS = frozenset({"thread", "timer", "run", "executor", "to_thread", "submit", "map"})


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the calls of a loop's methods from another thread."""
    reaching = spawns_reaching(file)
    for call in file.calls("call_soon", "create_task"):
        function = file.function(call)
        if function is None or function.is_async or not isinstance(call.func, ast.Attribute):
            continue
        if not any(spawn.kind in _THREADS for spawn in reaching.get(function, ())):
            continue
        if function.callers and not all(site.caller in reaching for site in function.callers):
            continue
        if file.is_a(call.func.value, "asyncio.AbstractEventLoop"):
            yield _finding(file, call, call.func)


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
