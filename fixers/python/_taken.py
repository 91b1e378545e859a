"""Items that a worker takes from a queue: the statement that gets one, and what follows."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from threadmend.python.file import PythonFile
from threadmend.python.flow import block_of, innermost_loop, walk
from threadmend.python.queues import QueueUse

__all__ = ["Taken", "is_call_of", "taken"]


@dataclass(frozen=True, slots=True)
class Taken:
    """`item = q.get()` in a loop; `rest` are the statements behind it in its block, `name` the
    variable of the item and `queue` the queue as it is written there.
    """

    statement: ast.Assign
    call: ast.Call
    name: str
    queue: str
    loop: ast.For | ast.AsyncFor | ast.While
    rest: list[ast.stmt]


def taken(file: PythonFile, use: QueueUse) -> list[Taken]:
    """Return the places where a loop takes items from a queue into a variable."""
    found = []
    for call in use.gets:
        above = file.parent(call)
        statement = file.parent(above) if isinstance(above, ast.Await) else above
        if not isinstance(statement, ast.Assign) or not isinstance(call.func, ast.Attribute):
            continue
        target = statement.targets[0]
        loop = innermost_loop(statement)
        if not isinstance(target, ast.Name) or loop is None or statement not in loop.body:
            continue
        block = block_of(statement)
        rest = block[block.index(statement) + 1 :]
        queue = file.text(call.func.value)
        found.append(Taken(statement, call, target.id, queue, loop, rest))
    return found


def is_call_of(statement: ast.AST, calls: list[ast.Call]) -> bool:
    """Return whether a statement is just one of these calls."""
    return isinstance(statement, ast.Expr) and any(statement.value is call for call in calls)


def leaves_loop(rest: list[ast.stmt]) -> bool:
    """Return whether something in a loop's body ends the loop."""
    inner = {
        id(node)
        for loop in walk(rest)
        if isinstance(loop, ast.For | ast.AsyncFor | ast.While)
        for part in loop.body
        for node in walk(part)
        if isinstance(node, ast.Break)
    }
    return any(
        isinstance(node, ast.Return | ast.Raise | ast.Break) and id(node) not in inner
        for node in walk(rest)
    )
