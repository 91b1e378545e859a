"""Sentinels: what ends the loop of a worker when it is taken."""

from __future__ import annotations

import ast

from threadmend.python.file import PythonFile

__all__ = ["ending", "is_of_class"]


def ending(file: PythonFile, statement: ast.stmt, name: str) -> ast.expr | None:
    """Return what ends the loop that a statement is in, when the variable `name` is that: `END` of
    `if item is END: break` and of `case END: return`; for any object of a class the class, of
    `if isinstance(item, Stop): return`, `if type(item) is Stop: …` and `case Stop(): …`.
    """
    if isinstance(statement, ast.If) and _leaves(statement.body):
        return _tested(file, statement.test, name)
    if isinstance(statement, ast.Match) and _is(statement.subject, name):
        found = [_matched(c.pattern) for c in statement.cases if _leaves(c.body) and not c.guard]
        return found[0] if len(found) == 1 else None
    return None


def is_of_class(file: PythonFile, item: ast.expr, other: PythonFile, end: ast.expr) -> bool:
    """Return whether an item is an object of the class by which another file tells the end."""
    asked, value = other.value(end), file.value(item)
    if asked is None or not asked.is_class or asked.cls is None:
        return False
    return value is not None and not value.is_class and value.cls is asked.cls


def _leaves(body: list[ast.stmt]) -> bool:
    return isinstance(body[-1], ast.Break | ast.Return)


def _is(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _tested(file: PythonFile, test: ast.expr, name: str) -> ast.expr | None:
    if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Is | ast.Eq):
        left = test.left
        if isinstance(left, ast.Call) and file.qualified(left.func) == "type":
            left = left.args[0] if len(left.args) == 1 else left
        return test.comparators[0] if _is(left, name) and len(test.ops) == 1 else None
    if isinstance(test, ast.Call) and file.qualified(test.func) == "isinstance":
        if len(test.args) == 2 and _is(test.args[0], name):
            return test.args[1]
    return None


def _matched(pattern: ast.pattern) -> ast.expr | None:
    """Return the constant or class of a pattern that says nothing else."""
    if isinstance(pattern, ast.MatchSingleton):
        return ast.Constant(pattern.value)
    if isinstance(pattern, ast.MatchValue):
        return pattern.value
    if isinstance(pattern, ast.MatchClass) and not (pattern.patterns or pattern.kwd_patterns):
        return pattern.cls
    return None
