"""Calls that can run before a lock is taken, and how their results are called."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from keyword import iskeyword

from threadmend.python.file import PythonFile

from ._waiting import is_plain

__all__ = ["calls_ahead", "names_taken", "result_name"]


def calls_ahead(
    file: PythonFile, value: ast.expr, looks: Callable[[ast.expr], bool], own: set[str]
) -> list[ast.expr]:
    """Return the calls of a value that can run ahead of it: none looks at what is shared, or uses
    a name in `own`.
    """
    found: list[ast.expr] = []

    def is_free(node: ast.expr) -> bool:
        names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        return not names & own and not looks(node)

    def visit(node: ast.expr) -> None:
        if isinstance(node, ast.Call) and not is_plain(file, node):
            if is_free(node):
                found.append(node)
                return
        if isinstance(node, ast.Await):
            if is_free(node):
                found.append(node)
            return
        if isinstance(node, ast.BinOp):
            visit(node.left)
            visit(node.right)
        elif isinstance(node, ast.UnaryOp):
            visit(node.operand)
        elif isinstance(node, ast.Call):
            for argument in node.args:
                visit(argument)
        elif isinstance(node, ast.Tuple | ast.List):
            for one in node.elts:
                visit(one)

    visit(value)
    return found


def result_name(value: ast.expr, taken: set[str]) -> str:
    """Return a name for what a call returns, after the function: `price` of `get_price()`. It is
    taken from then on.
    """
    inner = value.value if isinstance(value, ast.Await) else value
    func = inner.func if isinstance(inner, ast.Call) else inner
    last = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "value")
    stem = last.strip("_").lower()
    for verb in ("get_", "compute_", "calculate_", "fetch_", "load_", "make_", "read_"):
        stem = stem.removeprefix(verb)
    if len(stem) < 2 or stem in taken or hasattr(builtins, stem) or not stem.isidentifier():
        stem = "value"
    number, name = 1, stem
    while name in taken or iskeyword(name):
        number += 1
        name = f"{stem}_{number}"
    taken.add(name)
    return name


def names_taken(file: PythonFile) -> set[str]:
    """Return the names that a file uses, which no new variable can have."""
    scopes = (scope for scope in file.tree.scopes if scope.kind != "class")
    return set(file.tree.names).union(*(scope.bindings for scope in scopes))
