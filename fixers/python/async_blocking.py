"""Let the event loop run while something waits

`time.sleep(1)` in an `async def` stops every task of the loop for a second, timers, heartbeats
and answers to other clients with it. The same goes for a request, a subprocess or a lock of
threads.

Not reported: functions that are not `async`, also nested ones; calls that do not wait
(`acquire(blocking=False)`); modules that use trio or anyio; those that name neither asyncio nor a
framework on top of it, in a project that names other loops or drives coroutines itself;
coroutines that a thread runs in a loop of their own; `get` right after a `put` to the same queue,
or where the coroutine asks a queue whether it is empty. In tests it is a hint.

Unsafe: all but `time.sleep`: the call runs in a thread, beside code that it did not run beside.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety
from threadmend.python import api
from threadmend.python.arguments import argument, keyword
from threadmend.python.builders import BuilderError, drop_import, reference
from threadmend.python.constants import constant_of
from threadmend.python.file import PythonFile, last_name
from threadmend.python.flow import block_of, walk
from threadmend.python.functions import Function, function_of
from threadmend.python.queues import has_limit
from threadmend.python.threads import reached, spawns_reaching
from threadmend.python.uses import use_mode

from ._clients import talks
from ._slept import slept_between_tries, slept_here

CATEGORY = "asyncio"
ALSO = "ASYNC210 ASYNC220 ASYNC221 ASYNC222 ASYNC230 ASYNC251"
GATE = rb"\basync +def\b"

_BLOCKING = frozenset(
    {
        "subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output",
        "subprocess.getoutput", "subprocess.getstatusoutput", "os.system", "os.waitpid",
        "urllib.request.urlopen", "urllib.request.urlretrieve", "socket.create_connection",
        "socket.getaddrinfo", "socket.gethostbyname", "requests.get", "requests.post",
        "requests.put", "requests.patch", "requests.delete", "requests.head", "requests.options",
        "requests.request", "shutil.copytree", "shutil.rmtree", "select.select", "input",
    }
)  # fmt: skip
_OTHER_LOOPS = re.compile(rb"\b(?:import|from) +(?:trio|anyio|curio|gevent)\b")
_ASYNCIO = re.compile(
    rb"(?m)^[ \t]*(?:import[ \t]+(?:[^\n#;]*,[ \t]*)?|from[ \t]+)"
    rb"(?:asyncio|aiohttp|fastapi|starlette|sanic|quart|tornado|discord|telegram|aiogram|telethon"
    rb"|pyrogram|uvicorn|httpx|websockets|aiofiles|asyncpg|litestar|blacksheep)\b"
)
_BY_HAND = re.compile(rb"types\.coroutine|import +coroutine|\.send\(None\)")
_LONG = 88
"""Columns of a line that is not to be broken."""
_SEEN = frozenset({"done", "wait", "as_completed", "gather", "wrap_future", "sleep"})
_RUNNERS = frozenset({"run_until_complete", "run"})
_WAITERS = frozenset({"join", "get", "put", "wait", "acquire", "result"})
_SHORT = 0.01
_KINDS = api.THREADS | api.THREAD_LOCKS | api.EVENTS | api.QUEUES | api.SEMAPHORES | api.PROCESSES


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the calls in coroutines that stop the loop."""
    if _OTHER_LOOPS.search(file.data):
        return
    is_told = _ASYNCIO.search(file.data) is not None
    for function in file.functions:
        if not function.is_async or _has_loop_of_its_own(file, function):
            continue
        if not is_told and not _awaits_for_anybody(file, function):
            continue
        for call in function.calls:
            if isinstance(file.parent(call), ast.Await):
                continue
            name = file.qualified(call.func)
            if name == "time.sleep":
                yield _sleeping(file, call)
            elif name in _BLOCKING and name is not None and keyword(call, "flags") is None:
                # flags of getaddrinfo: numbers are looked up nowhere
                yield _waiting(file, call, name)
            elif _is_result(file, call):
                yield _wrapped(file, call)
            elif talks(file, call):
                yield _waiting(file, call, file.text(call.func))
            elif _waits(file, call):
                if not _asks_first(function, call):
                    yield _waiting(file, call, file.text(call.func))
            elif (callee := function.callees.get(call)) is not None:
                waiting = _blocks(callee)
                if waiting and not _asks_first(function, waiting[1]):
                    yield _through(file, call, callee, *waiting)


def _has_loop_of_its_own(file: PythonFile, function: Function) -> bool:
    """Return whether a thread runs a loop for this coroutine alone: nobody else waits then."""
    if file.calls("create_task", "gather", "ensure_future", "TaskGroup", "start_server"):
        return False
    reaching = spawns_reaching(file)
    return bool(function.callers) and all(
        site.caller in reaching
        and last_name(getattr(file.parent(site.call), "func", site.call)) in _RUNNERS
        for site in function.callers
    )


def _awaits_for_anybody(file: PythonFile, function: Function) -> bool:
    """Return whether a coroutine of a module that names no loop is asyncio's all the same: it
    awaits what it is given, another coroutine awaits it, or modules of the project name asyncio;
    and nobody in the project has a loop of another kind.
    """
    known: dict[str, bool] = file.project.__dict__.setdefault("_loops", {})
    if "other" not in known:
        texts = [file.project.source(path).data for path in file.project.paths]
        known["other"] = any(_OTHER_LOOPS.search(t) or _BY_HAND.search(t) for t in texts)
        known["asyncio"] = not known["other"] and any(map(_ASYNCIO.search, texts))
    if known["other"]:
        return False
    if known["asyncio"] or any(isinstance(node, ast.Await) for node in function.own):
        return True
    return _is_awaited(function)


def _is_awaited(function: Function) -> bool:
    """Return whether a coroutine of the project awaits this one."""
    for other in function.file.project.files(b"await", function.file.encode(function.name)):
        for call in other.calls(function.name):
            if isinstance(other.parent(call), ast.Await):
                if function_of(other, call.func) is function:
                    return True
    return False


def _is_result(file: PythonFile, call: ast.Call) -> bool:
    """Return whether a call waits for the job of an executor: `pool.submit(f).result()`. One
    that was seen to be done does not.
    """
    func = call.func
    if not isinstance(func, ast.Attribute) or func.attr != "result" or call.args or call.keywords:
        return False
    value = file.value(func.value)
    made = None if value is None else value.made
    if value is None or not value.is_a("concurrent.futures.Future"):
        return False
    if not isinstance(made, ast.Call) or value.file is not file:
        return False
    if not isinstance(made.func, ast.Attribute) or made.func.attr != "submit":
        return False
    function = file.function(call)
    if function is None or file.function(made) is not function:
        return False
    return not any(last_name(one.func) in _SEEN for one in function.calls)


def _wrapped(file: PythonFile, call: ast.Call) -> Finding:
    """Return the finding about a job's result, which is awaited instead."""
    assert isinstance(call.func, ast.Attribute)
    start, end = file.span(call)
    said = f"{file.text(call.func)} stops every task of the event loop until it is done"
    level = Confidence.LOW if file.is_test else Confidence.HIGH
    try:
        name, added = reference(file, "asyncio.wrap_future", call)
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error), confidence=level)
    text = f"await {name}({file.text(call.func.value)})"
    if not isinstance(file.parent(call), ast.stmt | ast.keyword) and not _is_argument(file, call):
        text = f"({text})"
    edits = (Edit(file.path, start, end, file.encode(text)), *added)
    fix = Fix("Await the job", edits, Safety.UNSAFE, "other tasks run meanwhile")
    return Finding(file.path, start, end, said, fixes=(fix,), confidence=level)


def _is_argument(file: PythonFile, call: ast.Call) -> bool:
    above = file.parent(call)
    return isinstance(above, ast.Call) and call in above.args


def _waits(file: PythonFile, call: ast.Call) -> bool:
    """Return whether a call waits for another thread or process, for as long as it takes."""
    func = call.func
    if not isinstance(func, ast.Attribute) or func.attr not in _WAITERS:
        return False
    if not file.is_a(func.value, {k for k in _KINDS if not k.startswith("asyncio.")}):
        return False
    if func.attr == "result" or (func.attr == "put" and not _is_bounded(file, func.value)):
        return False
    if func.attr == "get" and _was_just_put(file, call, func.value):
        return False
    if func.attr == "acquire" and _is_new(file, call, func.value):
        return False
    for position, name in enumerate(("blocking", "block")):
        given = constant_of(file, argument(call, 0 if func.attr != "put" else 1, name))
        if given is not None and given.value is False:
            return False
        if position == 0 and given is not None and given.value == 0:
            return False
    timeout = constant_of(file, argument(call, 99, "timeout"))
    return timeout is None or timeout.value != 0


def _asks_first(function: Function, call: ast.Call) -> bool:
    """Return whether a coroutine asks whether there is something before it gets it: `empty()` is
    no answer for several consumers, but one of the loop does not wait then.
    """
    if last_name(call.func) != "get":
        return False
    return any(last_name(one.func) in {"empty", "qsize"} for one in function.calls)


def _was_just_put(file: PythonFile, call: ast.Call, queue: ast.expr) -> bool:
    """Return whether the statement before puts an item into the same queue."""
    statement = file.statement(call)
    block = block_of(statement)
    at = block.index(statement)
    before = block[at - 1] if at else None
    if not isinstance(before, ast.Expr) or not isinstance(before.value, ast.Call):
        return False
    func = before.value.func
    return (
        isinstance(func, ast.Attribute)
        and func.attr in {"put", "put_nowait"}
        and file.place(func.value) == file.place(queue) is not None
    )


def _is_new(file: PythonFile, call: ast.Call, lock: ast.expr) -> bool:
    """Return whether the statement before makes the lock: it is free."""
    statement, value = file.statement(call), file.value(lock)
    block = block_of(statement)
    made = value.made if value is not None and value.file is file else None
    at = block.index(statement)
    return made is not None and at > 0 and file.statement(made) is block[at - 1]


def _is_bounded(file: PythonFile, queue: ast.expr) -> bool:
    value = file.value(queue)
    made = None if value is None else value.made
    return value is not None and isinstance(made, ast.Call) and has_limit(value.file, made)


def _sleeping(file: PythonFile, call: ast.Call) -> Finding:
    start, end = file.span(call)
    said = "time.sleep stops every task of the event loop"
    level = Confidence.LOW if file.is_test else Confidence.HIGH
    try:
        name, added = reference(file, "asyncio.sleep", call)
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error), confidence=level)
    first, last = file.span(call.func)
    # It sleeps as long as before; what else runs meanwhile had to expect to run at any await.
    slept = Edit(file.path, first, last, file.encode(f"await {name}"))
    edits = (slept, *added, *drop_import(file, call.func, added))
    fix = Fix("Await asyncio.sleep", edits)
    return Finding(file.path, start, end, said, fixes=(fix,), confidence=level)


def _blocks(callee: Function, depth: int = 3) -> tuple[Function, ast.Call] | None:
    """Return the call that waits for another machine, process or thread in a plain function or in
    one that it calls, and the function that makes it: one that is made in every case, or between
    two tries.
    """
    known: dict[tuple[Function, int], tuple[Function, ast.Call] | None]
    known = callee.file.__dict__.setdefault("_blocking_calls", {})
    if (callee, depth) not in known:
        known[callee, depth] = _blocks_once(callee, depth)
    return known[callee, depth]


def _blocks_once(callee: Function, depth: int) -> tuple[Function, ast.Call] | None:
    if callee.is_async or callee.is_generator or callee.decorators:
        return None
    certain = set(_always(callee.body))
    for call in callee.calls:
        if call not in certain:
            continue
        if callee.file.qualified(call.func) in _BLOCKING | {"time.sleep"}:
            if not _is_short(callee.file, call) and keyword(call, "flags") is None:
                return callee, call
            continue
        inner = callee.callees.get(call)
        if inner is not None and depth:
            if found := _blocks(inner, depth - 1):
                return found
        elif talks(callee.file, call) or _waits_in_helper(callee.file, call):
            return callee, call
    pause = slept_between_tries(callee, certain)
    return None if pause is None else (callee, pause)


def _waits_in_helper(file: PythonFile, call: ast.Call) -> bool:
    return last_name(call.func) in {"get", "join", "wait"} and _waits(file, call)


def _is_short(file: PythonFile, call: ast.Call) -> bool:
    """Return whether a call sleeps for a few milliseconds, no longer than other work of a plain
    function takes: `time.sleep(0.001)` has two objects made at different times.
    """
    given = constant_of(file, call.args[0] if call.args else None)
    length = None if given is None else given.value
    return isinstance(length, int | float) and length <= _SHORT


def _always(block: list[ast.stmt]) -> Iterator[ast.AST]:
    """Yield what a block runs unless it raises before, up to where it may return: not for want of
    something to do.
    """
    for statement in block:
        if _is_nothing_to_do(statement):
            continue
        if isinstance(statement, ast.With | ast.Try):
            for item in getattr(statement, "items", ()):
                yield from ast.walk(item)
            yield from _always(statement.body)
        elif isinstance(statement, ast.For | ast.While):
            yield statement
        elif isinstance(statement, ast.Expr | ast.Assign | ast.AnnAssign | ast.Return):
            yield from ast.walk(statement)
        if any(isinstance(node, ast.Return | ast.Break) for node in walk([statement])):
            return


def _is_nothing_to_do(statement: ast.stmt) -> bool:
    """Return whether a statement leaves where there is nothing to do, by a number: `if left == 0:
    return None`. What is known already, or switched off, is another matter.
    """
    if not isinstance(statement, ast.If) or statement.orelse or len(statement.body) != 1:
        return False
    test, leaving = statement.test, statement.body[0]
    if not isinstance(leaving, ast.Return) or not isinstance(test, ast.Compare):
        return False
    nothing = leaving.value is None or (
        isinstance(leaving.value, ast.Constant) and not leaving.value.value
    )
    counted = [one for one in test.comparators if isinstance(one, ast.Constant)]
    return nothing and len(counted) == len(test.ops) == 1 and type(counted[0].value) is int


def _through(
    file: PythonFile, call: ast.Call, callee: Function, waiter: Function, inner: ast.Call
) -> Finding:
    """Return the finding about a function that waits, called as if it did not."""
    name = waiter.file.text(inner.func)
    finding = _waiting(file, call, f"{name} in {waiter.name}", file.text(call.func))
    place = Related(waiter.file.path, *waiter.file.span(inner), f"{name} waits here")
    if name == "time.sleep" and waiter is callee:
        slept = slept_here(file, call, callee, inner)
        if slept is not None:
            reason = f"what {callee.name} does is written out here"
            fix = Fix("Await asyncio.sleep", slept, Safety.UNSAFE, reason)
            return replace(finding, related=(place,), fixes=(fix,), reason="")
    given = (function_of(file, one) for one in (*call.args, *(k.value for k in call.keywords)))
    run = [callee, *(function for function in given if function is not None)]
    changing = (one for one in run if any(_changes(f) or f.is_async for f in reached(one)))
    changer = next(changing, None)
    if finding.fixes and changer is not None:
        reason = f"{changer.name} changes what others may see: it cannot just run in a thread"
        return replace(finding, related=(place,), fixes=(), reason=reason)
    return replace(finding, related=(place,))


def _changes(function: Function) -> bool:
    """Return whether a function changes an attribute, an element or a variable of a module."""
    modes = ("write", "augment", "mutate", "delete")
    return any(
        isinstance(node, ast.Global | ast.Nonlocal)
        or (isinstance(node, ast.Attribute) and use_mode(node) in modes)
        for node in function.own
    )


def _waiting(file: PythonFile, call: ast.Call, name: str, runs: str = "") -> Finding:
    start, end = file.span(call)
    said = f"{name} stops every task of the event loop until it is done"
    level = Confidence.LOW if file.is_test else Confidence.HIGH
    edits: tuple[Edit, ...] | None
    try:
        edits = _in_thread(file, call)
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error), confidence=level)
    if edits is None:
        reason = "a lock belongs to the thread that takes it"
        return Finding(file.path, start, end, said, reason=reason, confidence=level)
    reason = "the call runs in a thread of its own"
    fix = Fix(f"Run {runs or name} in a thread", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, fixes=(fix,), confidence=level)


def _in_thread(file: PythonFile, call: ast.Call) -> tuple[Edit, ...] | None:
    """Return the edits to `await asyncio.to_thread(f, …)`; None for a re-entrant lock."""
    if isinstance(call.func, ast.Attribute) and call.func.attr == "acquire":
        lock = file.lock(call.func.value)
        if lock is None or lock.reentrant:
            return None
    if file.python_version < (3, 9):
        raise BuilderError("asyncio.to_thread needs Python 3.9, which the project does not require")
    name, added = reference(file, "asyncio.to_thread", call)
    start, end = file.span(call)
    first = file.span(call.func)[1]
    opened = file.data.index(b"(", first) + 1
    head = file.encode(f"await {name}(")
    follows = file.data[opened : opened + 1] in {b"\n", b"\r"}
    given: list[ast.expr | ast.keyword] = [*call.args, *call.keywords]
    if follows and given:
        added = (*added, _as_first(file, call, given))
    else:
        head += file.encode(file.text(call.func)) + (b", " if given else b"")
    if _needs_parentheses(file, call):
        return (
            Edit(file.path, start, opened, b"(" + head),
            Edit(file.path, end, end, b")"),
            *added,
        )
    return (Edit(file.path, start, opened, head), *added)


def _as_first(file: PythonFile, call: ast.Call, given: Sequence[ast.expr | ast.keyword]) -> Edit:
    """Return the edit that puts the function before arguments on lines of their own: on a line of
    its own as well, unless they share one with room for it.
    """
    first = min(given, key=lambda node: (node.lineno, node.col_offset))
    at = file.span(first)[0]
    start = file.tree.starts[first.lineno - 1]
    name, line = file.text(call.func), file.data[start:].split(b"\n", 1)[0]
    is_one = all(node.end_lineno == first.lineno for node in given)
    if is_one and len(line.rstrip()) + len(name) + 2 <= _LONG:
        return Edit(file.path, at, at, file.encode(f"{name}, "))
    gap = b"," + file.source.newline + file.data[start:at]
    return Edit(file.path, at, at, file.encode(name) + gap)


def _needs_parentheses(file: PythonFile, call: ast.Call) -> bool:
    """Return whether something is done to the result on the spot: `f().stdout`, `f()[0]`."""
    above = file.parent(call)
    if isinstance(above, ast.Attribute | ast.Subscript):
        return above.value is call
    return (
        isinstance(above, ast.BinOp | ast.UnaryOp | ast.Call)
        and getattr(above, "func", None) is call
    )
