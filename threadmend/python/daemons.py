"""Daemons by a statement behind their making: `thread.daemon = True`, `thread.setDaemon(True)`."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from threadmend.python.constants import constant_of
from threadmend.python.flow import after

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile

__all__ = ["set_behind"]


def set_behind(file: PythonFile, made: ast.AST) -> bool | None:
    """Return whether a thread is told to be a daemon in the block in which it is made and kept in a
    variable or an attribute; None when nothing is said there.
    """
    if not isinstance(made, ast.Call):
        return None
    statement = file.statement(made)
    if not isinstance(statement, ast.Assign) or statement.value is not made:
        return None
    names = {file.text(target) for target in statement.targets}
    for later in after(statement):
        thread, value = _told(later)
        if thread is not None and file.text(thread) in names:
            known = constant_of(file, value)
            return None if known is None else bool(known.value)
    return None


def _told(statement: ast.stmt) -> tuple[ast.expr | None, ast.expr | None]:
    """Return the thread that a statement makes a daemon or none, and the value that says which."""
    if isinstance(statement, ast.Assign):
        target = statement.targets[0]
        if isinstance(target, ast.Attribute) and target.attr == "daemon":
            return target.value, statement.value
    call = statement.value if isinstance(statement, ast.Expr) else None
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.args:
        if call.func.attr == "setDaemon":
            return call.func.value, call.args[0]
    return None, None
