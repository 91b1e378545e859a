"""Items that a worker takes from a queue: the statement that gets one, and what follows."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from threadmend.python.file import PythonFile
from threadmend.python.flow import after, innermost_loop, walk
from threadmend.python.queues import QueueUse

__all__ = ["Taken", "is_call_of", "taken", "taken_in_steps"]


@dataclass(frozen=True, slots=True)
class Taken:
    """`item = q.get()` in a loop; `rest` are the statements behind it in its block, `name` the
    variable of the item (`""` when it is unpacked) and `queue` the queue as it is written there.

    `for item in iter(q.get, END)` and `while (item := q.get()) is not END` are the statement
    themselves, `rest` is their body and `end` is END: such a loop ends after taking it.
    """

    statement: ast.stmt
    call: ast.Call
    name: str
    queue: str
    loop: ast.For | ast.AsyncFor | ast.While
    rest: list[ast.stmt]
    end: ast.expr | None = None
    waits: bool = True
    """Whether it waits for an item for as long as it takes."""


def taken(file: PythonFile, use: QueueUse) -> list[Taken]:
    """Return the places where a loop takes items from a queue into a variable."""
    found = []
    for call in use.gets:
        above = file.parent(call)
        statement = file.parent(above) if isinstance(above, ast.Await) else above
        one = _in_head(file, use, call)
        if one is not None:
            found.append(one)
        is_method = isinstance(call.func, ast.Attribute) or call in use.written
        if not isinstance(statement, ast.Assign) or not is_method:
            continue
        target = statement.targets[0]
        loop = innermost_loop(statement)
        if loop is None:
            continue
        name = target.id if isinstance(target, ast.Name) else ""
        if not name and not isinstance(target, ast.Tuple):
            continue
        attempt = _attempt(file, statement)
        first = attempt or statement
        if first not in loop.body and not _begins_round(file, statement, loop, use):
            continue
        rest = after(first)
        waits = call in use.written or not (call.args or call.keywords)
        queue = use.text(file, call)
        found.append(Taken(statement, call, name, queue, loop, rest, waits=waits))
    return found


def taken_in_steps(file: PythonFile, use: QueueUse) -> list[Taken]:
    """Return the places where a function takes an item that is one round of its callers' loops:
    `while True: self._step()`. What such a one does to leave its round is to return.
    """
    found = []
    for call in use.gets:
        statement, step = file.parent(call), file.function(call)
        if not isinstance(statement, ast.Assign) or step is None or innermost_loop(statement):
            continue
        target = statement.targets[0]
        if statement not in step.body or not isinstance(target, ast.Name | ast.Tuple):
            continue
        if not step.is_private or not step.is_only_called or step.is_generator or call.args:
            continue
        loops = [innermost_loop(site.call) for site in step.callers]
        if loops and loops[0] is not None and None not in loops:
            name, queue = getattr(target, "id", ""), use.text(file, call)
            found.append(Taken(statement, call, name, queue, loops[0], after(statement)))
    return found


def _attempt(file: PythonFile, statement: ast.Assign) -> ast.Try | None:
    """Return the try statement that does nothing but take an item: without one, its handlers
    leave this round of the loop.
    """
    above = file.parent(statement)
    if not isinstance(above, ast.Try) or above.body != [statement]:
        return None
    if above.orelse or above.finalbody:
        return None
    leaves = (ast.Return, ast.Raise, ast.Break, ast.Continue)
    return above if all(isinstance(h.body[-1], leaves) for h in above.handlers) else None


def _begins_round(
    file: PythonFile, statement: ast.Assign, loop: ast.For | ast.AsyncFor | ast.While, use: QueueUse
) -> bool:
    """Return whether a round of the loop is a try statement that begins with taking an item, and
    whose handlers, like what follows it, leave it to the work to say that the item is done.
    """
    above = file.parent(statement)
    if not isinstance(above, ast.Try) or above not in loop.body or above.body[0] is not statement:
        return False
    inside = {*walk(above.body)}
    return not any(call in {*walk(loop.body)} - inside for call in use.dones)


def _in_head(file: PythonFile, use: QueueUse, call: ast.Call) -> Taken | None:
    """Return what the head of a loop takes, up to a sentinel."""
    above = file.parent(call)
    if isinstance(above, ast.For) and above.iter is call and len(call.args) == 2:
        get, name = call.args[0], above.target
        if isinstance(get, ast.Attribute) and isinstance(name, ast.Name | ast.Tuple):
            queue, item = file.text(get.value), getattr(name, "id", "")
            return Taken(above, call, item, queue, above, above.body, call.args[1])
    is_method = isinstance(call.func, ast.Attribute) or call in use.written
    if isinstance(above, ast.NamedExpr) and is_method:
        test = file.parent(above)
        loop = file.parent(test) if test is not None else None
        if isinstance(loop, ast.UnaryOp) and isinstance(test, ast.Call):
            return _unless(file, use, call, above, test, loop)
        if not isinstance(test, ast.Compare) or not isinstance(loop, ast.While):
            return None
        if loop.test is test and isinstance(test.ops[0], ast.IsNot | ast.NotEq):
            if len(test.ops) == 1 and test.left is above:
                queue, end = use.text(file, call), test.comparators[0]
                waits = call in use.written or not (call.args or call.keywords)
                return Taken(loop, call, above.target.id, queue, loop, loop.body, end, waits)
    return None


def _unless(
    file: PythonFile,
    use: QueueUse,
    call: ast.Call,
    named: ast.NamedExpr,
    test: ast.Call,
    negated: ast.UnaryOp,
) -> Taken | None:
    """Return what `while not isinstance(item := q.get(), Stop)` takes, up to an object of Stop."""
    loop = file.parent(negated)
    if not isinstance(loop, ast.While) or not isinstance(negated.op, ast.Not):
        return None
    if file.qualified(test.func) != "isinstance" or len(test.args) != 2:
        return None
    waits = call in use.written or not (call.args or call.keywords)
    queue, name, end = use.text(file, call), named.target.id, test.args[1]
    return Taken(loop, call, name, queue, loop, loop.body, end, waits)


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
