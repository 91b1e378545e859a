"""Call start, not run

`thread.run()` runs the work in the thread that calls it. The program waits where it should go
on, and a lock or a thread-local value is the caller's.

Not reported: `super().run()` and `Thread.run(self)`, inside a subclass; `run` on the object
itself (`self.run()`), which asks for the work here; objects that are no thread by their
constructor; a thread that a test runs in place, or the `run` of another one; the last thing
that `main()` of a program does; one of a list whose others are started; objects of a class that
several files run and nobody starts.

Unsafe: the work now runs beside the code that follows, which may rely on its end. Where that
reads what the thread fills, it is joined as well.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python import api
from threadmend.python.builders import (
    BuilderError,
    insert_after,
    insert_before,
    is_alone,
    replace,
)
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, block_of, innermost_loop, walk
from threadmend.python.methodcalls import method_calls

from ._failing import is_told
from ._filled import filled, read_behind
from ._given import reaching
from ._results import objects, read_early, waits
from ._started import list_of

CATEGORY = "thread"
GATE = rb"\.run\(\s*\)"

_SAID = re.compile(rb"(?i)\b(?:not|n't|instead of|without|rather than)\b.*\bstart")


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
        if _is_in_run(file, call) or _is_all_there_is(file, call) or _is_meant(file, call):
            continue
        if _is_kept_back(file, call, func.value) or _is_only_ever_run(file, func.value):
            continue
        start, end = file.span(call)
        name = file.text(func.value)
        what = "process" if file.is_a(func.value, api.PROCESSES) else "thread"
        said = f"{name}.run() does the work here, not in a {what} of its own"
        try:
            edits = (*replace(file, func, f"{name}.start"), *_joined(file, call, func.value))
        except BuilderError as error:
            yield Finding(file.path, start, end, said, reason=str(error))
            continue
        reason = "the code that follows no longer waits for the work"
        fix = Fix(f"Call {name}.start", edits, Safety.UNSAFE, reason)
        yield Finding(file.path, start, end, said, fixes=(fix,))


def _is_in_run(file: PythonFile, call: ast.Call) -> bool:
    """Return whether a thread makes the call, by its `run` or its target: it has a thread already,
    and does what another one would do as a part of its work.
    """
    function = file.function(call)
    if function is None:
        return False
    if function.name == "run" and function.home is not None:
        return function.home.inherits(*api.THREADS, *api.PROCESSES)
    return any(s.kind in {"thread", "run"} for s in reaching(file).get(function, ()))


def _is_all_there_is(file: PythonFile, call: ast.Call) -> bool:
    """Return whether the call is what a program that is run as such does last: `main()` of a
    module that is mostly imported runs a server of its own in the thread that it has.
    """
    statement = file.statement(call)
    function = file.function(call)
    block = block_of(statement)
    if [c for c in file.calls("run") if c in walk(block)] != [call]:
        return False
    if function is None:
        if not all(_is_said_at_the_end(file, s) for s in after(statement)):
            return False
        tests = (a for a in file.ancestors(statement) if isinstance(a, ast.If))
        return any(file.text(above.test).startswith("__name__") for above in tests)
    is_last = block[-1] is statement and block is function.node.body
    return is_last and function.name == "main" and function.home is None


def _is_said_at_the_end(file: PythonFile, statement: ast.stmt) -> bool:
    """Return whether a statement only tells that the program ends, or ends it."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    name = (file.qualified(call.func) or "") if isinstance(call, ast.Call) else ""
    return is_told(file, statement) or name.startswith("sys.")


def _is_meant(file: PythonFile, call: ast.Call) -> bool:
    """Return whether a comment right above says that the work is not started in a thread."""
    at = file.span(file.statement(call))[0]
    lines = file.data[:at].splitlines()[:-1]
    above = itertools.takewhile(lambda line: line.strip().startswith(b"#"), reversed(lines))
    return any(_SAID.search(line) for line in above)


def _is_kept_back(file: PythonFile, call: ast.Call, thread: ast.expr) -> bool:
    """Return whether one of a list does its work here while the others are started: `for t in
    threads[1:]: t.start()`, and then `threads[0].run()`.
    """
    if not isinstance(thread, ast.Subscript) or isinstance(thread.slice, ast.Slice):
        return False
    held = file.text(thread.value)
    return any(
        isinstance(loop := innermost_loop(other), ast.For)
        and isinstance(loop.iter, ast.Subscript)
        and isinstance(loop.iter.slice, ast.Slice)
        and file.text(loop.iter.value) == held
        and file.text(loop.target) == file.text(started)
        and file.function_node(other) is file.function_node(call)
        for other, started in method_calls(file, "start")
    )


def _is_only_ever_run(file: PythonFile, thread: ast.expr) -> bool:
    """Return whether several files run objects of a class of threads, and nobody in the project
    starts one: it serves those who have a thread of their own as well.
    """
    value = file.value(thread)
    cls = None if value is None else value.cls
    if cls is None:
        return False
    running = set()
    for path in file.project.naming(cls.file.encode(cls.name)):
        other = file.project.readable(path)
        for call in () if other is None else other.calls("run", "start"):
            func = call.func
            made = other.value(func.value) if other and isinstance(func, ast.Attribute) else None
            if made is None or made.cls is not cls or other is None:
                continue
            if getattr(func, "attr", "") == "start":
                return False
            running.add(path)
    return len(running) > 1


def _joined(file: PythonFile, call: ast.Call, thread: ast.expr) -> tuple[Edit, ...]:
    """Return the edits that join the thread, where what it fills is read behind."""
    value, statement = file.value(thread), file.statement(call)
    function = file.function(call)
    if value is None or function is None or waits(function):
        return ()
    spawns = [s for s in [*file.spawns, *objects(file)] if s.node is value.made]
    if value.cls is not None and isinstance(thread, ast.Name | ast.Attribute):
        held = list_of(file, spawns[0]) if spawns else None
        read = read_behind(file, thread, statement, filled(value.cls), held)
        if read is not None:
            return _awaited(file, statement, thread, held, *read)
    if not spawns or not is_alone(file, statement):
        return ()
    if spawns[0].target is None or read_early(file, spawns[0], statement) is None:
        return ()
    name, loop = file.text(thread), innermost_loop(statement)
    if loop is None:
        return insert_after(file, statement, f"{name}.join()")
    if not isinstance(loop, ast.For) or file.text(loop.target) != name:
        return ()
    if innermost_loop(loop) is not None:
        return ()
    return _joined_behind(file, loop)


def _awaited(
    file: PythonFile,
    statement: ast.stmt,
    thread: ast.expr,
    held: ast.Name | None,
    read: str,
    at: ast.stmt,
) -> tuple[Edit, ...]:
    """Return the edits that join the thread before what it keeps in itself is read: all of a
    loop behind it, or the one in its round.
    """
    loop = innermost_loop(statement)
    if at in after(statement):
        if at.lineno == statement.lineno:
            raise BuilderError("the statement shares its line with another one")
        return insert_before(file, at, f"{file.text(thread)}.join()")
    edits: tuple[Edit, ...] = ()
    if held is not None and loop is not None:
        name = file.text(thread)
        edits = insert_after(file, loop, f"for {name} in {held.id}:\n    {name}.join()")
    elif isinstance(loop, ast.For):
        edits = _joined_behind(file, loop)
    if not edits:
        raise BuilderError(f"{read} is read before the work is done")
    return edits


def _joined_behind(file: PythonFile, loop: ast.For) -> tuple[Edit, ...]:
    """Return the edits that join the threads of a list behind the loop that starts them."""
    if not isinstance(loop.iter, ast.Name | ast.Attribute):
        return ()  # made while the loop goes on
    name = file.text(loop.target)
    return insert_after(file, loop, f"for {name} in {file.text(loop.iter)}:\n    {name}.join()")


def _is_self(file: PythonFile, node: ast.expr) -> bool:
    function = file.function(node)
    home = None if function is None else function.home
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "super"
    return home is not None and isinstance(node, ast.Name) and node.id in {"self", "cls"}


def _is_started(file: PythonFile, node: ast.expr) -> bool:
    """Return whether the same object is started elsewhere: then `run` may be meant. A plain
    Thread, which forgets its target when it has run, is only run instead where it cannot start.
    """
    place, value = file.place(node), file.value(node)
    own = value is not None and value.cls is not None
    return place is not None and any(
        file.place(started) == place
        and (own or file.function_node(call) is file.function_node(node))
        for call, started in method_calls(file, "start")
    )
