"""Attributes that are tested without the lock and then used: others take them away in between."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Confidence, Edit, Finding, Fix, Related
from threadmend.python.builders import (
    BuilderError,
    free_name,
    insert_before,
    is_alone,
    is_free,
    replace,
)
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import enclosing, is_none
from threadmend.python.functions import Function
from threadmend.python.guards import Guard, guards_of
from threadmend.python.held import callers_seem_to_hold
from threadmend.python.locks import Lock
from threadmend.python.uses import AttributeUse

from ._uneven import is_left_out, lock_of

__all__ = ["gone"]

_HALF = 0.5


def gone(file: PythonFile) -> Iterator[Finding]:
    """Yield the tests of attributes that the lock's holders set to nothing."""
    for cls in file.classes:
        for guard in guards_of(cls).values():
            if not guard.unlocked or not guard.is_meant or guard.share < _HALF:
                continue
            if any(use.changes for use in guard.unlocked) or guard.unsure:
                continue
            lock = lock_of(file, cls, guard)
            emptied = None if lock is None else _emptied(cls, guard)
            if lock is None or emptied is None:
                continue
            for branch, uses in _tests(file, cls, guard, lock):
                yield _finding(file, guard, branch, uses, emptied)


def _emptied(cls: Class, guard: Guard) -> AttributeUse | None:
    """Return where the attribute becomes None under the lock, or what a parameter is that may
    be: the object begins with None.
    """
    begins = any(is_none(value) for _, value in cls.values_of(guard.name))
    for use in guard.locked:
        statement = use.function.file.statement(use.node)
        if use.mode != "write" or not isinstance(statement, ast.Assign):
            continue
        given = getattr(statement.value, "id", "") in use.function.parameters[1:]
        if is_none(statement.value) or (begins and given):
            return use
    return None


def _tests(
    file: PythonFile, cls: Class, guard: Guard, lock: Lock
) -> Iterator[tuple[ast.If, list[AttributeUse]]]:
    for function in dict.fromkeys(use.function for use in guard.unlocked):
        uses = [use for use in guard.unlocked if use.function is function]
        if function.file is not file or function.home is not cls or not _is_open(function, lock):
            continue
        seen: set[ast.If] = set()
        for use in uses:
            branch = next(enclosing(use.node, ast.If), None)
            if not isinstance(branch, ast.If) or branch in seen or not _is_test(branch, use.node):
                continue
            seen.add(branch)
            body = {node for s in branch.body for node in ast.walk(s)}
            inside = [other for other in uses if other.node in body]
            if any(_is_followed(file, other.node) for other in inside):
                yield branch, [use, *inside]


def _is_open(function: Function, lock: Lock) -> bool:
    """Return whether nobody who calls a function may have the lock."""
    if function.is_async or is_left_out(function) or function.name == "__del__":
        return False
    if function.is_private and not function.is_only_called:
        return False
    return not callers_seem_to_hold(function, lock.place)


def _is_test(branch: ast.If, node: ast.AST) -> bool:
    """Return whether a branch is only taken when there is something: `if x:`, `x is not None`."""
    test = branch.test
    parts = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]
    for part in parts:
        if part is node:
            return True
        if isinstance(part, ast.Compare) and part.left is node and len(part.ops) == 1:
            return isinstance(part.ops[0], ast.IsNot) and is_none(part.comparators[0])
    return False


def _is_followed(file: PythonFile, node: ast.AST) -> bool:
    """Return whether a use fails for None: `x.cancel()`, `x[0]`, `x()`."""
    above = file.parent(node)
    if isinstance(above, ast.Attribute | ast.Subscript):
        return above.value is node
    return isinstance(above, ast.Call) and above.func is node


def _finding(
    file: PythonFile,
    guard: Guard,
    branch: ast.If,
    uses: list[AttributeUse],
    emptied: AttributeUse,
) -> Finding:
    name = ast.unparse(uses[0].node)
    start, end = file.span(uses[0].node)
    said = f"{name} may be None again when it is used: others change it under {guard.lock.name}"
    related: tuple[Related, ...] = ()
    if emptied.function.file is file:
        related = (Related(file.path, *file.span(emptied.node), "it is changed here"),)
    level = Confidence.MEDIUM
    try:
        edits = _edits(file, branch, uses, name)
    except BuilderError as error:
        return Finding(file.path, start, end, said, (), related, str(error), confidence=level)
    fix = Fix(f"Read {name} once", edits)  # what was tested is what is used, as in runs that ended
    return Finding(file.path, start, end, said, (fix,), related, confidence=level)


def _edits(
    file: PythonFile, branch: ast.If, uses: list[AttributeUse], name: str
) -> tuple[Edit, ...]:
    """Draw `if self.x: self.x.stop()` as `x = self.x`, `if x: x.stop()`."""
    above = file.parent(branch)
    if not is_alone(file, branch) or (isinstance(above, ast.If) and branch in above.orelse):
        raise BuilderError("there is no statement to read it before")
    if any(file.function(use.node) is not file.function(branch) for use in uses):
        raise BuilderError("a nested function reads it later")
    stem = uses[0].name.strip("_") or "value"
    local = stem if is_free(file, stem, branch) else free_name(file, f"current_{stem}")
    edits = [*insert_before(file, branch, f"{local} = {name}")]
    for use in uses:
        edits += replace(file, use.node, local)
    return tuple(edits)
