"""Attributes that a thread object fills in its run, and where they are read behind its start."""

from __future__ import annotations

import ast
from typing import TypeGuard

from threadmend.python.classes import INITIALIZERS, Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, innermost_loop

__all__ = ["filled", "read_behind"]


def filled(cls: Class) -> frozenset[str]:
    """Return the attributes that `run`, or a method that it calls, changes."""
    uses = [use for one in cls.mro for use in one.uses]
    reached, names = {"run"}, [""]
    while names:
        names = [
            use.name
            for use in uses
            if use.mode == "call" and use.function.name in reached and use.name not in reached
        ]
        reached.update(names)
    reached -= INITIALIZERS
    return frozenset(u.name for u in uses if u.changes and u.function.name in reached)


def read_behind(
    file: PythonFile,
    thread: ast.expr,
    start: ast.stmt,
    names: frozenset[str],
    held: ast.expr | None = None,
) -> tuple[str, ast.stmt] | None:
    """Return the first such attribute that is read behind the start of a thread in the same
    block, or behind the loop over the threads, and the statement that reads it; `held` is the
    list that holds them where the loop is not over it.

        copier.run() … copier.count
        for c in copiers: c.run() … [c.count for c in copiers]
    """
    for statement in after(start):
        for node in ast.walk(statement):
            if _reads(node, names) and file.place(node.value) == file.place(thread):
                return file.text(node), statement
    loop = innermost_loop(start)
    if loop is None:
        return None
    if isinstance(loop, ast.For) and file.text(loop.target) == file.text(thread):
        held = loop.iter
    kept = file.place(held)
    for statement in after(loop) if kept is not None else ():
        for node in ast.walk(statement):
            if not isinstance(node, ast.For | ast.comprehension) or file.place(node.iter) != kept:
                continue
            found = _of_each(file, statement, node.target, names)
            if found is not None:
                return found, statement
    return None


def _of_each(
    file: PythonFile, statement: ast.stmt, target: ast.expr, names: frozenset[str]
) -> str | None:
    """Return an attribute of the variable of a loop that a statement reads."""
    binding = file.binding(target)
    for node in ast.walk(statement) if binding is not None else ():
        if _reads(node, names) and file.binding(node.value) is binding:
            return file.text(node)
    return None


def _reads(node: ast.AST, names: frozenset[str]) -> TypeGuard[ast.Attribute]:
    if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Load):
        return False
    return node.attr in names and isinstance(node.value, ast.Name | ast.Attribute)
