"""Something that is made only where nothing is given: what is given stands for that.

given = given or Lock()                 Lock() if given is None else given
if given is None: given = Lock()
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from threadmend.python.flow import is_none
from threadmend.python.scope import Binding, Site

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile

__all__ = ["is_set_unless_given", "is_unless_given"]


def is_set_unless_given(file: PythonFile, binding: Binding) -> bool:
    """Return whether something is made only where a parameter has nothing: what is given, of
    which nothing is known, stands for that.

        given = given or Lock()
        if given is None: given = Lock()
    """
    first, *others = binding.sites
    if first.kind != "parameter" or any(site.kind != "assign" for site in others):
        return False
    return all(_is_for_nothing(file, site, binding.name) for site in others)


def _is_for_nothing(file: PythonFile, site: Site, name: str) -> bool:
    value, above = site.value, file.parent(file.statement(site.node))
    if isinstance(value, ast.BoolOp) and isinstance(value.op, ast.Or):
        return isinstance(value.values[0], ast.Name) and value.values[0].id == name
    if not isinstance(above, ast.If) or file.statement(site.node) not in above.body:
        return False
    test = above.test
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return isinstance(test.operand, ast.Name) and test.operand.id == name
    if not isinstance(test, ast.Compare) or not isinstance(test.ops[0], ast.Is):
        return False
    if not is_none(test.comparators[0]):
        return False
    return isinstance(test.left, ast.Name) and test.left.id == name


def is_unless_given(node: ast.IfExp) -> bool:
    """Return whether something is made where a name has nothing: `given if given else Lock()`."""
    test, name, made = node.test, node.body, node.orelse
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test, name, made = test.operand, made, name
    if isinstance(test, ast.Compare) and is_none(test.comparators[0]):
        if isinstance(test.ops[0], ast.Is | ast.Eq):
            name, made = made, name
        test = test.left
    return isinstance(test, ast.Name) and isinstance(name, ast.Name) and test.id == name.id
