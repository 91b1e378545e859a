"""Units that begin with a test of the data, and end with the change that it decides on."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.python.file import PythonFile
from threadmend.python.flow import always_leaves, block_of, enclosing, walk

from ._data import Data, Use
from ._failing import is_told
from ._lasting_answers import (
    is_found_so,
    is_none_until_made,
    is_not_none_for_good,
    is_only_asked_for_none,
    tests,
)
from ._unit import Unit, independent, is_in, loaded, looks, reads, stored

__all__ = ["check"]


def check(data: Data, use: Use, statement: ast.stmt) -> Unit | None:
    """Return the unit of a test of the data and the change that it decides on."""
    if use.mode == "write" and _is_constant(statement) and not _is_crowded(data, use):
        return None
    if use.mode == "write" and _is_deadline(data, use, statement):
        return None
    if is_not_none_for_good(data, use) or is_none_until_made(data, use):
        return None
    if _is_only_asked_whether_there(data, use) or is_only_asked_for_none(data, use):
        return None
    if _takes_out(data, use) and (
        _is_harmless(data, use, statement) or not _is_emptied_meanwhile(data, use)
    ):
        return None
    found = None
    for block, at in _levels(data.file, statement):
        for number in range(at, -1, -1):
            if _decides(data, use, block[number], block[at], number == at):
                found = (block, number, at)
    if found is None:
        return _emptied(data, use, statement)
    block, number, at = found
    if _is_in_already(data, use, block[at]) or _only_adds(data, use, block[number]):
        return None
    if is_found_so(data, use, statement, block[number]):
        return None
    block, number, at = _whole(data.file, block, number, at)
    first = block[number]
    if data.file.held(first) or _is_just_set(data, block, number):
        return None
    inner = None
    if data.file.held(use.node):
        inner = _late(data, use, first)
        if inner is None:
            return None
    part = block[number : at + 1]
    early = independent(data, part) if isinstance(first, ast.Assign) else []
    return Unit("check", data, use, part, early, inner)


def _takes_out(data: Data, use: Use) -> bool:
    """Return whether a use takes something out of a collection: `q.pop(0)`, `del q[0]`."""
    above = data.file.parent(use.node)
    if isinstance(above, ast.Attribute):
        return above.attr in _TAKING
    return isinstance(above, ast.Subscript) and isinstance(above.ctx, ast.Del)


def _is_harmless(data: Data, use: Use, statement: ast.stmt) -> bool:
    """Return whether taking out what is gone already does nothing, and nothing else is done that
    should be done once: `if key in d: d.pop(key, None)`.
    """
    above = data.file.parent(use.node)
    call = None if above is None else data.file.parent(above)
    if not isinstance(above, ast.Attribute) or not isinstance(call, ast.Call):
        return False
    if above.attr != "discard" and (above.attr != "pop" or len(call.args) < 2):
        return False
    beside = [s for s in block_of(statement) if s is not statement and not is_told(data.file, s)]
    calls = any(isinstance(n, ast.Call) for other in beside for n in ast.walk(other))
    return isinstance(statement, ast.Expr) and not calls


def _is_in_already(data: Data, use: Use, test: ast.stmt) -> bool:
    """Return whether a test only saves that something is put into a set that is in it already:
    `if key not in seen: seen.add(key)`, and nothing else.
    """
    above = data.file.parent(use.node)
    call = None if above is None else data.file.parent(above)
    if not isinstance(test, ast.If) or len(test.body) != 1 or test.orelse:
        return False
    if (
        not isinstance(above, ast.Attribute)
        or above.attr != "add"
        or not isinstance(call, ast.Call)
    ):
        return False
    asked = test.test
    while isinstance(asked, ast.BoolOp) and isinstance(asked.op, ast.And):
        asked = asked.values[-1]
    return (
        data.file.statement(use.node) is test.body[0]
        and isinstance(asked, ast.Compare)
        and isinstance(asked.ops[0], ast.NotIn)
        and len(call.args) == 1
        and ast.dump(asked.left) == ast.dump(call.args[0])
        and not isinstance(call.args[0], ast.Call)
    )


def _is_emptied_meanwhile(data: Data, use: Use) -> bool:
    """Return whether another thread may take out as well what is there, or replace it: one that
    only adds to the collection does not.
    """
    for other in data.uses:
        if other.changes and not _adds(data, other):
            both = Data(data.file, data.name, data.cls, data.binding, data.of_class, [other, use])
            both.single = data.single
            if both.races(use):
                return True
    return False


def _only_adds(data: Data, use: Use, first: ast.stmt) -> bool:
    """Return whether one thread alone adds to a collection, where something is not in it yet or
    there is room, and others at most take out: what it saw still holds when it adds.
    """
    if not _adds(data, use) or not isinstance(first, ast.If):
        return False
    is_left = always_leaves(first.body) and use.node not in {*walk([first])}
    if not any(_asks_for_room(data, node, is_left) for node in ast.walk(first.test)):
        return False
    for other in data.uses:
        above = data.file.parent(other.node)
        empties = isinstance(above, ast.Attribute) and above.attr == "clear"
        if other.changes and not empties and not _takes_out(data, other):
            both = Data(data.file, data.name, data.cls, data.binding, data.of_class, [other, use])
            both.single = data.single
            if both.races(use):
                return False
    return True


def _asks_for_room(data: Data, node: ast.AST, is_left: bool) -> bool:
    """Return whether a part of a test is `key not in data` (`key in data` where that is left), or
    compares how many there are.
    """
    if not isinstance(node, ast.Compare) or len(node.ops) != 1:
        return False
    if isinstance(node.ops[0], ast.In if is_left else ast.NotIn):
        return any(use.node is node.comparators[0] for use in data.uses)
    sized = [n for n in (node.left, *node.comparators) if isinstance(n, ast.Call)]
    return isinstance(node.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE) and any(
        data.file.qualified(call.func) == "len"
        and any(use.node is given for use in data.uses for given in call.args)
        for call in sized
    )


def _is_only_asked_whether_there(data: Data, use: Use) -> bool:
    """Return whether the test is whether there is an object at all, which nobody replaces or
    takes anything out of: `if self.digest: self.digest.update(part)`.
    """
    if any(u.changes and not _adds(data, u) and not _updates(data, u) for u in data.uses):
        return False
    asked = tests(data, use)
    return bool(asked) and all(_is_presence(data, test) for test in asked)


def _is_presence(data: Data, test: ast.expr) -> bool:
    """Return whether a test is `x` or `x is not None`."""
    if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.IsNot):
        test = test.left
    return any(use.node is test for use in data.uses)


def _updates(data: Data, use: Use) -> bool:
    above = data.file.parent(use.node)
    return isinstance(above, ast.Attribute) and above.attr == "update"


def _adds(data: Data, use: Use) -> bool:
    above = data.file.parent(use.node)
    if isinstance(above, ast.Attribute):
        return above.attr in _ADDING
    return isinstance(above, ast.Subscript) and isinstance(above.ctx, ast.Store)


_TAKING = frozenset({"pop", "popleft", "popitem", "remove", "discard"})
_ADDING = frozenset({"append", "appendleft", "extend", "extendleft", "insert", "add", "setdefault"})


def _is_just_set(data: Data, block: list[ast.stmt], number: int) -> bool:
    """Return whether the statement before the test has set the data: `x = ask()`, and then
    `if not x: x = False`. The test is of what was asked, which another may ask for as well.
    """
    before = block[number - 1] if number else None
    return isinstance(before, ast.Assign) and any(
        use.mode == "write" and use.node in before.targets for use in data.uses
    )


def _emptied(data: Data, use: Use, statement: ast.stmt) -> Unit | None:
    """Return the unit of `while stack: item = stack.pop()`."""
    loop = data.file.parent(statement)
    if not isinstance(loop, ast.While) or loop.orelse or statement is not loop.body[0]:
        return None
    if not looks(data, loop.test) or use.mode != "mutate" or data.file.held(use.node):
        return None
    return None if data.file.held(loop) else Unit("check", data, use, [loop])


def _whole(
    file: PythonFile, block: list[ast.stmt], number: int, at: int
) -> tuple[list[ast.stmt], int, int]:
    """Return the `if` that an `elif` belongs to in its place."""
    above = file.parent(block[number])
    while isinstance(above, ast.If) and block is above.orelse and _is_elif(file, above):
        block = block_of(above)
        number = at = block.index(above)
        above = file.parent(above)
    return block, number, at


def _is_elif(file: PythonFile, test: ast.If) -> bool:
    if len(test.orelse) != 1 or not isinstance(test.orelse[0], ast.If):
        return False
    return file.text(test.orelse[0]).startswith("elif") or (
        test.orelse[0].col_offset == test.col_offset
    )


def _is_constant(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(
        statement.value, ast.Constant
    )


def _is_deadline(data: Data, use: Use, statement: ast.stmt) -> bool:
    """Return whether a write is a fresh value under a test which of two is larger, and nobody
    else tests: `if now > self.deadline: self.deadline = now() + 5`. Others write fresh ones.
    """
    above = data.file.parent(statement)
    if not isinstance(statement, ast.Assign) or not isinstance(above, ast.If):
        return False
    if looks(data, statement.value) or _is_crowded(data, use):
        return False
    compared = [n for n in ast.walk(above.test) if isinstance(n, ast.Compare) and looks(data, n)]
    orders = (ast.Gt, ast.GtE, ast.Lt, ast.LtE)
    if not compared or not all(isinstance(op, orders) for c in compared for op in c.ops):
        return False
    others = [u for u in data.uses if u.changes and u.threads != use.threads]
    return all(
        u.mode == "write"
        and not any(looks(data, n.test) for n in enclosing(u.node, ast.If) if isinstance(n, ast.If))
        for u in others
    )


def _is_crowded(data: Data, use: Use) -> bool:
    """Return whether several threads may be at the same use."""
    alone = Data(data.file, data.name, data.cls, data.binding, data.of_class, [use])
    return None not in use.threads and alone.races(use)


def _levels(file: PythonFile, statement: ast.stmt) -> Iterator[tuple[list[ast.stmt], int]]:
    """Yield the blocks that a statement is in, up to its function or loop, with its index."""
    at: ast.stmt = statement
    for above in [statement, *enclosing(statement, ast.stmt)]:
        assert isinstance(above, ast.stmt)
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return
        if above is not statement and isinstance(above, ast.For | ast.While | ast.AsyncFor):
            return
        at = above
        block = block_of(at)
        yield block, block.index(at)


def _decides(data: Data, use: Use, statement: ast.stmt, target: ast.stmt, is_around: bool) -> bool:
    """Return whether a statement tests the data to reach the change in `target`."""
    if isinstance(statement, ast.If):
        if not looks(data, statement.test, use):
            return False
        return is_around or always_leaves(statement.body)
    if isinstance(statement, ast.Expr) and not is_around:
        return any(one.node is statement.value for one in data.uses)  # a call that may raise
    if isinstance(statement, ast.Try) and is_around:
        handled = any(is_in(use.node, handler, data.file) for handler in statement.handlers)
        return (
            handled
            and all(_is_lookup(data.file, handler) for handler in statement.handlers)
            and _tries(data, statement)
        )
    if isinstance(statement, ast.Assign) and not is_around and looks(data, statement.value, use):
        names = stored(statement)
        block = block_of(target)
        between = block[block.index(statement) + 1 : block.index(target) + 1]
        for node in walk(between):
            if isinstance(node, ast.If) and names & loaded(node.test):
                if is_in(use.node, node, data.file) or always_leaves(node.body):
                    return True
    return False


def _tries(data: Data, attempt: ast.Try) -> bool:
    """Return whether the data may raise what the handlers are for: setting an element never finds
    that a key is missing, only that a list is too short.
    """
    names = [data.file.qualified(handler.type) for handler in attempt.handlers]
    inside = {node for part in attempt.body for node in ast.walk(part)}
    for node in reads(data):
        above = data.file.parent(node)
        is_set = isinstance(above, ast.Subscript) and isinstance(above.ctx, ast.Store)
        if node in inside and (not is_set or "IndexError" in names):
            return True
    return False


def _is_lookup(file: PythonFile, handler: ast.ExceptHandler) -> bool:
    return file.qualified(handler.type) in {
        "KeyError", "IndexError", "LookupError", "AttributeError", "ValueError", "NameError",
    }  # fmt: skip


def _late(data: Data, use: Use, first: ast.stmt) -> ast.With | None:
    """Return the section around the change that the test stands before, when the section does
    not test again.
    """
    file = data.file
    for above in enclosing(use.node, ast.With):
        assert isinstance(above, ast.With)
        if len(above.items) != 1 or file.lock(above.items[0].context_expr) is None:
            continue
        again = any(
            node is not use.node and node in reads(data) and not _is_change(data, node)
            for node in walk(above.body)
        )
        direct = file.parent(above) is first or file.parent(above) is file.parent(first)
        return above if direct and not again else None
    return None


def _is_change(data: Data, node: ast.AST) -> bool:
    return any(use.node is node and use.changes for use in data.uses)
