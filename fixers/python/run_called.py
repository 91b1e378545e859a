"""Call start, not run

`thread.run()` runs the work in the thread that calls it. The program waits where it should go
on, and a lock or a thread-local value is the caller's.

Not reported: `super().run()` and `Thread.run(self)`, inside a subclass; `run` on the object
itself (`self.run()`), which asks for the work here; objects that are no thread by their
constructor; a thread that a test runs in place.

Unsafe: the work now runs beside the code that follows, which may rely on its end. Where that
reads what the thread fills, it is joined as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python import api
from threadmend.python.builders import insert_after, is_alone, replace
from threadmend.python.file import PythonFile
from threadmend.python.flow import innermost_loop

from ._results import objects, read_early, waits

CATEGORY = "thread"
GATE = rb"\.run\(\s*\)"


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the calls of a thread's or process's run."""
    if file.is_test:
        return
    for call in file.calls("run"):
        func = call.func
        if call.args or call.keywords or not isinstance(func, ast.Attribute):
            continue
        if not isinstance(file.parent(call), ast.Expr) or _is_self(file, func.value):
            continue
        if not file.is_a(func.value, api.THREADS | api.PROCESSES) or _is_started(file, func.value):
            continue
        start, end = file.span(call)
        name = file.text(func.value)
        what = "process" if file.is_a(func.value, api.PROCESSES) else "thread"
        edits = (*replace(file, func, f"{name}.start"), *_joined(file, call, func.value))
        reason = "the code that follows no longer waits for the work"
        fix = Fix(f"Call {name}.start", edits, Safety.UNSAFE, reason)
        said = f"{name}.run() does the work here, not in a {what} of its own"
        yield Finding(file.path, start, end, said, fixes=(fix,))


def _joined(file: PythonFile, call: ast.Call, thread: ast.expr) -> tuple[Edit, ...]:
    """Return the edits that join the thread, where what it fills is read behind."""
    value, statement = file.value(thread), file.statement(call)
    function = file.function(call)
    spawns = [s for s in [*file.spawns, *objects(file)] if value and s.node is value.made]
    if not spawns or function is None or waits(function) or not is_alone(file, statement):
        return ()
    if spawns[0].target is None or read_early(file, spawns[0], statement) is None:
        return ()
    name, loop = file.text(thread), innermost_loop(statement)
    if loop is None:
        return insert_after(file, statement, f"{name}.join()")
    if not isinstance(loop, ast.For) or file.text(loop.target) != name:
        return ()
    if not isinstance(loop.iter, ast.Name | ast.Attribute) or innermost_loop(loop) is not None:
        return ()  # made while the loop goes on
    return insert_after(file, loop, f"for {name} in {file.text(loop.iter)}:\n    {name}.join()")


def _is_self(file: PythonFile, node: ast.expr) -> bool:
    function = file.function(node)
    home = None if function is None else function.home
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "super"
    return home is not None and isinstance(node, ast.Name) and node.id in {"self", "cls"}


def _is_started(file: PythonFile, node: ast.expr) -> bool:
    """Return whether the same object is started elsewhere: then `run` may be meant."""
    place = file.place(node)
    return place is not None and any(
        isinstance(call.func, ast.Attribute) and file.place(call.func.value) == place
        for call in file.calls("start")
    )
