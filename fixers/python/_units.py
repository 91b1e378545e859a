"""Units: the statements that read shared data and change it by what they read."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from threadmend.python.api import MUTATORS
from threadmend.python.file import PythonFile
from threadmend.python.flow import always_leaves, block_of, enclosing, walk

from ._contended import Data, Use

__all__ = ["Unit", "units_of"]

_SIMPLE = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr)


@dataclass(eq=False, slots=True)
class Unit:
    """Consecutive statements that have to be one step.

    `kind` is `counter` (the variable gets a value made of its own), `element` (an element of
    it does), `check` (a test decides on the change) or `change` (one that the others have to
    be kept apart from). `early` are statements of the block that depend on nothing of it.
    `inner` is a section around the change, which comes too late.
    """

    kind: str
    data: Data
    use: Use
    block: list[ast.stmt]
    early: list[ast.stmt] = field(default_factory=list)
    inner: ast.With | None = None

    @property
    def first(self) -> ast.stmt:
        """Return the first statement."""
        return self.block[0]


def units_of(data: Data) -> list[Unit]:
    """Return the units of data that threads get into each other's way in, in source order."""
    found = []
    for use in data.uses:
        if use.changes and data.races(use) and data.file.function(use.node) is use.function:
            unit = _unit(data, use)
            if unit is not None:
                found.append(unit)
    found.sort(key=lambda unit: (unit.first.lineno, -_end(unit.block[-1])))
    kept: list[Unit] = []
    for unit in found:
        if not kept or unit.first.lineno > _end(kept[-1].block[-1]):
            kept.append(unit)
        elif _end(unit.block[-1]) > _end(kept[-1].block[-1]):
            last = kept[-1]
            if unit.first in last.block:
                last.block = [*last.block, *(s for s in unit.block if s not in last.block)]
                last.early = [s for s in last.early if s not in unit.block]
    return kept


def _end(statement: ast.stmt) -> int:
    return statement.end_lineno or 0


def _unit(data: Data, use: Use) -> Unit | None:
    file = data.file
    statement = file.statement(use.node)
    checked = _check(data, use, statement)
    if checked is not None or file.held(use.node):
        return checked
    if use.mode == "augment":
        return _with_reads(data, Unit("counter", data, use, [statement]))
    if use.mode == "write":
        return _computed(data, use, statement, "counter")
    if use.mode == "mutate":
        if isinstance(statement, ast.AugAssign) and _is_in(use.node, statement.target, file):
            return _with_reads(data, Unit("element", data, use, [statement]))
        return _computed(data, use, statement, "element")
    return None


def _is_in(node: ast.AST, whole: ast.AST, file: PythonFile) -> bool:
    return node is whole or whole in file.ancestors(node)


# -- read, then write -----------------------------------------------------------------------


def _computed(data: Data, use: Use, statement: ast.stmt, kind: str) -> Unit | None:
    """Return the unit of `x = f(x)`, and of `t = x` … `x = f(t)`."""
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        value: ast.expr | None = statement.value
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        call = statement.value
        if not isinstance(call.func, ast.Attribute) or call.func.attr not in MUTATORS:
            return None
        value = call
    else:
        return None
    if value is None or _names_itself(value):
        return None
    if any(_is_in(node, value, data.file) for node in reads(data) if node is not use.node):
        return _with_reads(data, Unit(kind, data, use, [statement]))
    first = _source(data, statement, value)
    if first is None:
        return None
    block = block_of(statement)
    part = block[block.index(first) : block.index(statement) + 1]
    return Unit(kind, data, use, part, _independent(data, part))


def _with_reads(data: Data, unit: Unit) -> Unit:
    """Return a unit with the plain reads right before and after: `n = self.n; self.n += 1`."""
    block = block_of(unit.first)
    at = end = block.index(unit.first)
    if at and isinstance(block[at - 1], ast.Assign) and _is_read(data, block[at - 1]):
        at -= 1
    if end + 1 < len(block) and isinstance(block[end + 1], ast.Assign | ast.Return):
        end += _is_read(data, block[end + 1])
    unit.block = block[at : end + 1]
    return unit


def _is_read(data: Data, statement: ast.stmt) -> bool:
    """Return whether a statement keeps or returns what the data is, and nothing else."""
    value = statement.value  # type: ignore[attr-defined]
    if value is None or (isinstance(statement, ast.Assign) and not all(
        isinstance(target, ast.Name) for target in statement.targets
    )):  # fmt: skip
        return False
    calls = (ast.Call, ast.Await, ast.Yield, ast.Lambda)
    return _looks(data, value) and not any(isinstance(n, calls) for n in ast.walk(value))


def _names_itself(value: ast.expr) -> bool:
    """Return whether the value is only chosen by the old one: `x = x or default`."""
    return isinstance(value, ast.BoolOp | ast.IfExp)


def reads(data: Data) -> list[ast.expr]:
    """Return the uses that look at the data."""
    return [use.node for use in data.uses if use.mode in {"read", "mutate", "augment", "call"}]


def _source(data: Data, statement: ast.stmt, value: ast.expr) -> ast.stmt | None:
    """Return the statement further up in the block that read what the value is made of."""
    block = block_of(statement)
    wanted = _loaded(value)
    found = None
    for earlier in reversed(block[: block.index(statement)]):
        if not isinstance(earlier, ast.Assign) or not wanted & _stored(earlier):
            continue
        wanted |= _loaded(earlier.value)
        if any(_is_in(node, earlier.value, data.file) for node in reads(data)):
            found = earlier
    return found


def _loaded(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _stored(node: ast.AST) -> set[str]:
    return {
        n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }


def _independent(data: Data, part: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Return the statements that can run before the others: they use nothing of theirs, and
    set nothing that they use.
    """
    nodes = [use.node for use in data.uses]
    found: list[ast.stmt] = []
    ours: set[str] = set()
    used: set[str] = set()
    for statement in part:
        touches = any(_is_in(node, statement, data.file) for node in nodes)
        plain = isinstance(statement, ast.Assign | ast.Expr)
        if touches or not plain or _loaded(statement) & ours or _stored(statement) & (used | ours):
            ours |= _stored(statement)
            used |= _loaded(statement)
        else:
            found.append(statement)
    return found


# -- test, then change ----------------------------------------------------------------------


def _check(data: Data, use: Use, statement: ast.stmt) -> Unit | None:
    """Return the unit of a test of the data and the change that it decides on."""
    if use.mode == "write" and _is_constant(statement) and not _is_crowded(data, use):
        return None
    found = None
    for block, at in _levels(data.file, statement):
        for number in range(at, -1, -1):
            if _decides(data, use, block[number], block[at], number == at):
                found = (block, number, at)
    if found is None:
        return _emptied(data, use, statement)
    block, number, at = found
    block, number, at = _whole(data.file, block, number, at)
    first = block[number]
    if data.file.held(first):
        return None
    inner = None
    if data.file.held(use.node):
        inner = _late(data, use, first)
        if inner is None:
            return None
    part = block[number : at + 1]
    early = _independent(data, part) if isinstance(first, ast.Assign) else []
    return Unit("check", data, use, part, early, inner)


def _emptied(data: Data, use: Use, statement: ast.stmt) -> Unit | None:
    """Return the unit of `while stack: item = stack.pop()`."""
    loop = data.file.parent(statement)
    if not isinstance(loop, ast.While) or loop.orelse or statement is not loop.body[0]:
        return None
    if not _looks(data, loop.test) or use.mode != "mutate" or data.file.held(use.node):
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
        if not _looks(data, statement.test):
            return False
        return is_around or always_leaves(statement.body)
    if isinstance(statement, ast.Try) and is_around:
        handled = any(_is_in(use.node, handler, data.file) for handler in statement.handlers)
        return (
            handled
            and any(_looks(data, part) for part in statement.body)
            and all(_is_lookup(data.file, handler) for handler in statement.handlers)
        )
    if isinstance(statement, ast.Assign) and not is_around and _looks(data, statement.value):
        names = _stored(statement)
        block = block_of(target)
        between = block[block.index(statement) + 1 : block.index(target) + 1]
        for node in walk(between):
            if isinstance(node, ast.If) and names & _loaded(node.test):
                if _is_in(use.node, node, data.file) or always_leaves(node.body):
                    return True
    return False


def _is_lookup(file: PythonFile, handler: ast.ExceptHandler) -> bool:
    return file.qualified(handler.type) in {
        "KeyError", "IndexError", "LookupError", "AttributeError", "ValueError", "NameError",
    }  # fmt: skip


def _looks(data: Data, node: ast.AST) -> bool:
    inside = set(ast.walk(node))
    return any(one in inside for one in reads(data))


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
