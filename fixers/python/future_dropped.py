"""Look at the future of a job

A job that raises puts the exception into its future. When `submit` is called and the future is
dropped nobody ever sees it: the file is not written, and the log is empty.

Not reported: `submit` of other types; futures that are kept, awaited or get a callback; jobs
of the project that handle every exception themselves. Jobs that a long-lived pool gets are
hints: nobody is there who could wait for them.

Unsafe: what was hidden is raised, at the end of the pool's `with` block.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Confidence, Edit, Finding, Fix, Safety
from threadmend.python.builders import BuilderError, free_name, insert_at_end, insert_before
from threadmend.python.file import PythonFile
from threadmend.python.flow import leaves
from threadmend.python.threads import Spawn

from ._silent import handles_everything, pool_block

CATEGORY = "executor"
GATE = rb"\.submit\("


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the jobs whose exceptions nobody sees."""
    for spawn in file.spawns:
        call = spawn.node
        if spawn.kind != "submit" or not isinstance(file.parent(call), ast.Expr):
            continue
        if spawn.target is not None and handles_everything(spawn.target):
            continue
        assert isinstance(call, ast.Call)
        yield _finding(file, spawn, call)


def _finding(file: PythonFile, spawn: Spawn, call: ast.Call) -> Finding:
    start, end = file.span(call)
    what = "the job" if spawn.target is None else spawn.target.name
    said = f"nobody sees the exceptions of {what}: its future is dropped"
    block = pool_block(file, call)
    if block is None:
        reason = "the pool lives on: look at the future where its result is wanted"
        return Finding(file.path, start, end, said, reason=reason, confidence=Confidence.LOW)
    try:
        edits = _edits(file, call, block)
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    reason = "exceptions that were hidden are raised"
    fix = Fix("Ask for the results", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, fixes=(fix,))


def _edits(file: PythonFile, call: ast.Call, block: ast.With | ast.Try) -> tuple[Edit, ...]:
    """Return the edits that collect the futures and ask each for its result, before the pool
    is closed: an exception then leaves the block, which waits for the other jobs.
    """
    if any(isinstance(node, ast.Return | ast.Break | ast.Continue) for node in leaves(block.body)):
        raise BuilderError("the block is left in the middle")
    name = free_name(file, "futures", call)
    one = free_name(file, "future", call)
    start, end = file.span(call)
    return (
        *insert_before(file, block, f"{name} = []"),
        Edit(file.path, start, start, file.encode(f"{name}.append(")),
        Edit(file.path, end, end, b")"),
        *insert_at_end(file, block.body, f"for {one} in {name}:\n    {one}.result()"),
    )
