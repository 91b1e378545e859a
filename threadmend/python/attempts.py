"""Attempts: `if not x.acquire(timeout=1): return`, behind which x is held for certain, and
`if x.acquire(False):`, in which it is; and what is taken only by those who ask for it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.python.flow import after, always_leaves, block_of
from threadmend.python.locks import (
    Lock,
    Section,
    is_acquire,
    is_release,
    lock_of,
    receiver,
    taken_under,
)
from threadmend.python.scope import parent

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile

__all__ = ["asked_for", "attempted", "attempts", "behind"]


def attempts(file: PythonFile) -> Iterator[Section]:
    """Yield what runs under the locks of a file where an attempt to take them succeeds."""
    for call in file.calls("acquire"):
        lock = lock_of(file, receiver(call)) if is_acquire(call) else None
        if lock is not None:
            section = attempted(file, call, lock) or _inside(file, call, lock)
            if section is not None:
                yield section


def asked_for(file: PythonFile) -> Iterator[Section]:
    """Yield what lies between `if lock: x.acquire()` and `if lock: x.release()` of one block; the
    section's kind is `tried`, its start and its release are these two. Before the release the
    second may do more.
    """
    for call in file.calls("acquire"):
        start = parent(parent(call)) if is_acquire(call) else None  # type: ignore[arg-type]
        if not isinstance(start, ast.If) or start.orelse or call not in taken_under(start):
            continue
        if not all(_is_flag(s) for s in start.body if getattr(s, "value", None) is not call):
            continue
        lock = lock_of(file, receiver(call))
        rest = after(start)
        for number, last in enumerate(rest if lock is not None else ()):
            if isinstance(last, ast.If) and _gives_back(file, last, start, call):
                assert lock is not None
                item, function = receiver(call), file.function(call)
                yield Section(lock, "tried", start, item, rest[:number], last, function)
                break


def _is_flag(statement: ast.stmt) -> bool:
    """Return whether a statement is `is_held = True`."""
    return (
        isinstance(statement, ast.Assign)
        and isinstance(statement.value, ast.Constant)
        and all(isinstance(target, ast.Name) for target in statement.targets)
    )


def _gives_back(file: PythonFile, last: ast.If, start: ast.If, call: ast.Call) -> bool:
    """Return whether an `if` of the same test, or of what is only true where that holds, ends
    with the release.
    """
    if last.orelse or not (ast.dump(last.test) == ast.dump(start.test) or _tells(last.test, start)):
        return False
    inner = last.body[-1].value if isinstance(last.body[-1], ast.Expr) else None
    if not isinstance(inner, ast.Call) or not is_release(inner):
        return False
    return file.text(receiver(inner)) == file.text(receiver(call))


def _tells(test: ast.expr, start: ast.If) -> bool:
    """Return whether a test is a name that is false until `if lock: is_held = True`, and is set
    nowhere else in the block.
    """
    if not isinstance(test, ast.Name):
        return False
    block = block_of(start)
    stores = [
        node
        for statement in block
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and node.id == test.id and isinstance(node.ctx, ast.Store)
    ]
    values = [getattr(parent(node), "value", None) for node in stores]
    if len(stores) != 2 or not all(isinstance(value, ast.Constant) for value in values):
        return False
    first, second = (value.value for value in values if isinstance(value, ast.Constant))
    is_before = parent(stores[0]) in block[: block.index(start)]
    return is_before and not first and second is True and parent(stores[1]) in start.body


def attempted(file: PythonFile, call: ast.Call, lock: Lock) -> Section | None:
    """Return what lies between an attempt to take a lock or a slot, which leaves when it fails,
    and the release in the same block; the section's kind is `tried`, its start the `if`.
    """
    start = _attempt(file, call)
    return None if start is None else behind(file, start, call, lock)


def behind(file: PythonFile, start: ast.stmt, call: ast.Call, lock: Lock) -> Section | None:
    """Return what lies between a statement that may take a lock and the release in its block."""
    item = receiver(call)
    rest = after(start)
    for number, following in enumerate(rest):
        inner = following.value if isinstance(following, ast.Expr) else None
        if isinstance(inner, ast.Call) and is_release(inner):
            if file.text(receiver(inner)) == file.text(item):
                body, function = rest[:number], file.function(start)
                return Section(lock, "tried", start, item, body, following, function)
    return None


def _inside(file: PythonFile, call: ast.Call, lock: Lock) -> Section | None:
    """Return the body of `if x.acquire(False):`, also when the result has a name of its own."""
    above = parent(call)
    branch: ast.AST | None = above
    test: ast.AST = call
    if isinstance(above, ast.Assign) and isinstance(above.targets[0], ast.Name):
        following = after(above)
        branch = following[0] if following else None
        test = above.targets[0]
    if not isinstance(branch, ast.If) or ast.unparse(branch.test) != ast.unparse(test):
        return None
    text = file.text(receiver(call))
    for node in (node for statement in branch.body for node in ast.walk(statement)):
        if isinstance(node, ast.Expr) and is_release(node.value):
            if file.text(receiver(node.value)) == text:  # type: ignore[arg-type]
                item, function = receiver(call), file.function(call)
                return Section(lock, "tried", branch, item, branch.body, node, function)
    return None


def _attempt(file: PythonFile, call: ast.Call) -> ast.If | None:
    """Return `if not x.acquire(…): return`, also when the result has a name of its own."""
    above = parent(call)
    if isinstance(above, ast.Assign):
        name, following = above.targets[0], after(above)
        branch = following[0] if following else None
        tested = _negated(branch)
        if len(above.targets) != 1 or not isinstance(name, ast.Name):
            return None
        is_same = isinstance(tested, ast.Name) and tested.id == name.id
        return branch if is_same and isinstance(branch, ast.If) else None
    top = None if above is None else parent(above)
    return top if isinstance(top, ast.If) and _negated(top) is call else None


def _negated(statement: ast.AST | None) -> ast.expr | None:
    """Return `x` of `if not x: return`."""
    if not isinstance(statement, ast.If) or statement.orelse or not always_leaves(statement.body):
        return None
    test = statement.test
    is_not = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    return test.operand if is_not else None  # type: ignore[attr-defined]
