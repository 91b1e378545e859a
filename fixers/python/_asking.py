"""Loops that ask again and again: what they do when there is nothing, also through a helper."""

from __future__ import annotations

import ast

from threadmend.python.file import PythonFile
from threadmend.python.flow import after, innermost_loop, is_none, is_text

from ._slept import pause_in

__all__ = ["asker", "pause_of"]


def pause_of(file: PythonFile, block: list[ast.stmt]) -> str | None:
    """Return how long a block sleeps (`""`: not at all) that does nothing else, or looks
    whether it is over: `if self.closing: return`. None for any other.
    """
    pause = ""
    for statement in block:
        if isinstance(statement, ast.Pass | ast.Continue) or _is_over(statement):
            continue
        call = statement.value if isinstance(statement, ast.Expr) else None
        slept = pause_in(file, call) if isinstance(call, ast.Call) and not pause else None
        if slept is None:
            return None
        pause = slept
    return pause


def _is_over(statement: ast.stmt) -> bool:
    """Return whether a statement leaves for a flag that somebody else sets."""
    if not isinstance(statement, ast.If) or statement.orelse or len(statement.body) != 1:
        return False
    test = statement.test
    if isinstance(test, ast.Call) and isinstance(test.func, ast.Attribute) and not test.args:
        test = test.func.value if test.func.attr == "is_set" else test
    leaving = statement.body[0]
    if isinstance(leaving, ast.Return) and not isinstance(leaving.value, ast.Constant | None):
        return False
    return isinstance(test, ast.Attribute) and isinstance(leaving, ast.Return | ast.Break)


def asker(file: PythonFile, attempt: ast.Try) -> list[ast.stmt] | None:
    """Return what a loop does with nothing, when a try statement is all there is of a helper
    that returns None then, and the loop the only one that asks it.
    """
    helper = file.function(attempt)
    if helper is None or len(helper.callers) != 1 or not helper.is_only_called:
        return None
    if helper.cls is not None and not helper.is_private:
        return None
    rest = [s for s in helper.body if s is not attempt and not _is_nothing(s)]
    if attempt not in helper.body or rest or not _is_nothing(attempt.handlers[0].body[0]):
        return None
    if len(attempt.body) != 1 or not isinstance(attempt.body[0], ast.Return) or attempt.orelse:
        return None
    call = helper.callers[0].call
    statement = file.parent(call)
    loop = innermost_loop(call)
    if not isinstance(statement, ast.Assign) or not isinstance(loop, ast.While):
        return None
    name = statement.targets[0]
    if loop.body[0] is not statement or not isinstance(name, ast.Name):
        return None
    return _for_nothing(name.id, after(statement))


def _for_nothing(name: str, rest: list[ast.stmt]) -> list[ast.stmt] | None:
    """Return the block for None of `if x is None: …` and of `if x is not None: …`."""
    branch = rest[0] if rest else None
    if not isinstance(branch, ast.If):
        return None
    test, is_not = branch.test, False
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test = test.operand
    elif isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Is | ast.IsNot):
        if not isinstance(test.comparators[0], ast.Constant) or test.comparators[0].value:
            return None
        is_not = isinstance(test.ops[0], ast.IsNot)
        test = test.left
    else:
        is_not = True
    if not isinstance(test, ast.Name) or test.id != name:
        return None
    if is_not:
        return branch.orelse if len(rest) == 1 else None
    goes_on = isinstance(branch.body[-1], ast.Continue) or len(rest) == 1
    return branch.body if goes_on and not branch.orelse else None


def _is_nothing(statement: ast.stmt) -> bool:
    """Return whether a statement returns None, or is none: a docstring, `pass`."""
    if isinstance(statement, ast.Return):
        value = statement.value
        return value is None or is_none(value)
    return isinstance(statement, ast.Pass) or is_text(statement)
