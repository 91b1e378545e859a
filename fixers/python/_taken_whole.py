"""Sections that take all there is and say so: whoever comes second takes an empty collection.

with self._lock:
    self._closed = True
    items, self._items = self._items, []
"""

from __future__ import annotations

import ast

from threadmend.python.file import PythonFile
from threadmend.python.locks import Section

__all__ = ["takes_all"]

_EMPTY = frozenset({"list", "dict", "set", "collections.deque"})


def takes_all(file: PythonFile, section: Section) -> bool:
    """Return whether a section only sets constants and takes collections as a whole, for an empty
    one in their place: a second time it does nothing.
    """
    taken: set[str] = set()
    emptied: set[str] = set()
    for statement in section.body:
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            return False
        for target, value in _pairs(statement.targets[0], statement.value):
            if isinstance(target, ast.Name) and isinstance(value, ast.Attribute):
                taken.add(file.text(value))
            elif isinstance(target, ast.Attribute) and _is_empty(file, value):
                emptied.add(file.text(target))
            elif not isinstance(target, ast.Attribute) or not isinstance(value, ast.Constant):
                return False
    return bool(taken) and taken == emptied


def _pairs(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return list(zip(target.elts, value.elts, strict=False))
    return [(target, value)]


def _is_empty(file: PythonFile, node: ast.expr) -> bool:
    """Return whether a value is a new collection with nothing in it."""
    if isinstance(node, ast.List | ast.Set | ast.Tuple):
        return not node.elts
    if isinstance(node, ast.Dict):
        return not node.keys
    plain = isinstance(node, ast.Call) and not node.args and not node.keywords
    return plain and isinstance(node, ast.Call) and file.qualified(node.func) in _EMPTY
