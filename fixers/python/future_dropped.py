"""Look at the future of a job

A job that raises puts the exception into its future. When `submit` is called and the future is
dropped nobody ever sees it: the file is not written, and the log is empty. To `wait` for futures
does not raise either.

Not reported: `submit` of other types; futures that are looked at, awaited or get a callback; jobs
of the project that handle every exception themselves, or only sleep. Jobs that a long-lived pool
gets are hints where they are not functions of the project.

Unsafe: what was hidden is raised, at the end of the pool's `with` block, or before a function
reports what it has done (`return len(photos)`), which then waits for its jobs; or logged, where the
pool lives on and nobody is there who could wait.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import partial

from threadmend.model import Confidence, Edit, Finding, Fix, Safety
from threadmend.python.api import EXECUTORS
from threadmend.python.builders import (
    BuilderError,
    free_name,
    insert_after,
    insert_at_end,
    insert_before,
    reference,
)
from threadmend.python.file import PythonFile
from threadmend.python.flow import leaves, target_of
from threadmend.python.scope import Binding
from threadmend.python.threads import Spawn, reached

from ._reported import reported
from ._silent import handles_everything, helper_block, pool_block, shut_down_behind
from ._told import raises_unseen, teller
from ._unasked import Kept, kept, listed

CATEGORY = "executor"
GATE = rb"\.submit\("

Block = ast.With | ast.Try
_NEVER_RAISE = frozenset({"time.sleep", "print"})


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the jobs whose exceptions nobody sees."""
    seen: set[Binding] = set()
    for spawn in file.spawns:
        call = spawn.node
        if _is_through_helper(file, spawn):
            yield _finding_at(file, spawn, call)
            continue
        if spawn.kind != "submit" or not isinstance(call, ast.Call) or _keeps_itself(file, call):
            continue
        if spawn.target is not None and handles_everything(spawn.target):
            continue
        if file.qualified(spawn.target_node) in _NEVER_RAISE:
            continue
        if isinstance(file.parent(call), ast.Expr) or listed(file, call) is not None:
            yield _finding(file, spawn, call)
        elif (held := kept(file, call)) is not None and held.binding not in seen:
            seen.add(held.binding)
            yield _finding(file, spawn, call, held)


def _keeps_itself(file: PythonFile, call: ast.Call) -> bool:
    """Return whether the pool is one of the project whose own `submit` may keep the futures."""
    value = file.value(call.func.value) if isinstance(call.func, ast.Attribute) else None
    return value is not None and value.cls is not None and value.cls.method("submit") is not None


def _is_through_helper(file: PythonFile, spawn: Spawn) -> bool:
    """Return whether a helper returns the future of a job that it was handed, and the call drops
    it: `workers.run(job)`.
    """
    through = spawn.through
    if through is None or through.kind != "submit" or not raises_unseen(spawn.target):
        return False
    if spawn.target is None or handles_everything(spawn.target):
        return False
    return _is_returned(through) and isinstance(file.parent(spawn.node), ast.Expr)


def _is_returned(spawn: Spawn) -> bool:
    """Return whether a helper does nothing with the future of a job but return it."""
    file, above = spawn.file, spawn.file.parent(spawn.node)
    if isinstance(above, ast.Return):
        return True
    binding = None if above is None else file.binding(target_of(above))
    if binding is None or len(binding.sites) != 1:
        return False
    uses = [use for use in file.uses(binding) if isinstance(use.ctx, ast.Load)]
    return len(uses) == 1 and isinstance(file.parent(uses[0]), ast.Return)


def _object_block(file: PythonFile, call: ast.Call) -> ast.With | None:
    """Return the `with` statement of the object that hands a job to its pool, where the end of the
    block waits for the jobs: `with Workers(3) as workers:`.
    """
    block = pool_block(file, call) if isinstance(call.func, ast.Attribute) else None
    value = file.value(call.func.value) if isinstance(call.func, ast.Attribute) else None
    leaving = value.cls.method("__exit__") if value is not None and value.cls is not None else None
    if not isinstance(block, ast.With) or leaving is None:
        return None
    for function in reached(leaving):
        for ended in function.file.calls("shutdown"):
            if function.file.function(ended) is function and not (ended.args or ended.keywords):
                assert isinstance(ended.func, ast.Attribute)
                if function.file.is_a(ended.func.value, EXECUTORS):
                    return block
    return None


def _finding_at(file: PythonFile, spawn: Spawn, call: ast.AST) -> Finding:
    """Return the finding about the call of a helper."""
    start, end = file.span(call)
    assert spawn.target is not None
    assert isinstance(call, ast.Call)
    said = f"nobody sees the exceptions of {spawn.target.name}: its future is dropped"
    block = _object_block(file, call)
    try:
        if block is None:
            return Finding(file.path, start, end, said, fixes=_logged(file, call))
        edits = _edits(file, call, block, block.body)
        fix = Fix(
            "Ask for the results", edits, Safety.UNSAFE, "exceptions that were hidden are raised"
        )
        return Finding(file.path, start, end, said, fixes=(fix,))
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))


def _finding(file: PythonFile, spawn: Spawn, call: ast.Call, held: Kept | None = None) -> Finding:
    start, end = file.span(call)
    what = "the job" if spawn.target is None else spawn.target.name
    done = "dropped" if held is None else "never asked"
    said = f"nobody sees the exceptions of {what}: its future is {done}"
    block = pool_block(file, call)
    body = None if held is not None else helper_block(file, call) if block is None else block.body
    closed = shut_down_behind(file, call) if held is None and body is None else None
    if closed is not None:
        return _asked_behind(file, call, said, *closed)
    if (
        body is None
        and block is None
        and held is None
        and (loop := reported(file, call, spawn.target))
    ):
        edits = _collected(file, call, loop, partial(insert_after, file, loop))
        reason = "exceptions that were hidden are raised, and the function waits for its jobs"
        fix = Fix("Ask for the results", edits, Safety.UNSAFE, reason)
        return Finding(file.path, start, end, said, fixes=(fix,))
    if body is None and block is None and (held is None or held.wait is None):
        if held is None and listed(file, call) is None and raises_unseen(spawn.target):
            try:
                return Finding(file.path, start, end, said, fixes=_logged(file, call))
            except BuilderError as error:
                return Finding(file.path, start, end, said, reason=str(error))
        reason = "the pool lives on: look at the future where its result is wanted"
        return Finding(file.path, start, end, said, reason=reason, confidence=Confidence.LOW)
    try:
        if held is not None:
            edits = _asked(file, call, block, held)
        else:
            edits = _edits(file, call, block, body or [])
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    reason = "exceptions that were hidden are raised"
    fix = Fix("Ask for the results", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, fixes=(fix,))


def _asked_behind(
    file: PythonFile, call: ast.Call, said: str, given: ast.stmt, closed: ast.stmt
) -> Finding:
    """Return the finding about jobs of a pool that the function closes in a later statement, which
    waits for all: their results are asked for behind it.
    """
    start, end = file.span(call)
    try:
        if any(isinstance(node, ast.Return) for node in leaves([given])):
            raise BuilderError("the function is left in the middle")
        if file.parent(call) is given:
            name, first = free_name(file, "future", call), file.span(given)[0]
            named = Edit(file.path, first, first, file.encode(f"{name} = "))
            result, imports = _result(file, call, name)
            edits = (named, *insert_after(file, closed, result), *imports)
        else:
            edits = _collected(file, call, given, partial(insert_after, file, closed))
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    reason = "exceptions that were hidden are raised"
    fix = Fix("Ask for the results", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, fixes=(fix,))


def _logged(file: PythonFile, call: ast.Call) -> tuple[Fix, ...]:
    """Return the fix that gives the future a callback: nobody waits for the job."""
    name, added = teller(file)
    end = file.span(call)[1]
    told = Edit(file.path, end, end, file.encode(f".add_done_callback({name})"))
    reason = "exceptions that were hidden are logged"
    return (Fix("Log what the job raises", (told, *added), Safety.UNSAFE, reason),)


def _edits(
    file: PythonFile, call: ast.Call, block: Block | None, body: list[ast.stmt]
) -> tuple[Edit, ...]:
    """Return the edits that collect the futures and ask each for its result, before the pool
    is closed: an exception then leaves the block, which waits for the other jobs.
    """
    if any(isinstance(node, ast.Return | ast.Break | ast.Continue) for node in leaves(body)):
        raise BuilderError("the block is left in the middle")
    at = block or _top(call, body)
    return _collected(file, call, at, partial(insert_at_end, file, body))


def _collected(
    file: PythonFile, call: ast.Call, at: ast.stmt, ask: Callable[[str], tuple[Edit, ...]]
) -> tuple[Edit, ...]:
    """Return the edits that keep the futures in a list, and what `ask` makes of the loop that asks
    each for its result.
    """
    name = free_name(file, "futures", call)
    one = free_name(file, "future", call)
    start, end = file.span(call)
    result, imports = _result(file, call, one)
    asked = (*ask(f"for {one} in {name}:\n    {result}"), *imports)
    made = listed(file, call)
    if made is not None:
        first = file.span(made)[0]
        return (Edit(file.path, first, first, file.encode(f"{name} = ")), *asked)
    return (
        *insert_before(file, at, f"{name} = []"),
        Edit(file.path, start, start, file.encode(f"{name}.append(")),
        Edit(file.path, end, end, b")"),
        *asked,
    )


def _top(call: ast.Call, body: list[ast.stmt]) -> ast.stmt:
    """Return the statement of a function's body that a job is given in."""
    return next(s for s in body if call in set(ast.walk(s)))


def _asked(file: PythonFile, call: ast.Call, block: Block | None, held: Kept) -> tuple[Edit, ...]:
    """Return the edits that ask the futures of a variable, behind the wait for them."""
    one = free_name(file, "future", call)
    result, imports = _result(file, call, one if held.is_list else held.name)
    text = f"for {one} in {held.name}:\n    {result}" if held.is_list else result
    if held.wait is not None:
        return (*insert_after(file, held.wait, text), *imports)
    assert block is not None
    if not held.is_list and file.statement(call) not in block.body:
        raise BuilderError("the job is not started in every case")
    if any(isinstance(node, ast.Return | ast.Break | ast.Continue) for node in leaves(block.body)):
        raise BuilderError("the block is left in the middle")
    return (*insert_at_end(file, block.body, text), *imports)


def _result(file: PythonFile, call: ast.Call, name: str) -> tuple[str, tuple[Edit, ...]]:
    """Return the expression that asks a future for its result, and the imports that it takes: a
    coroutine awaits it, so that the other tasks go on meanwhile.
    """
    function = file.function(call)
    if function is None or not function.is_async:
        return f"{name}.result()", ()
    wrap, imports = reference(file, "asyncio.wrap_future")
    return f"await {wrap}({name})", tuple(imports)
