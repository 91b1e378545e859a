"""Changes of what a collection holds: `self.rows[key].append(row)`, also by another name."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from threadmend.python.api import COLLECTIONS, MUTATORS
from threadmend.python.scope import parent

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile
    from threadmend.python.uses import AttributeUse

__all__ = ["changed_element", "element_of", "is_changed", "where_changed"]

_LOOKS_UP = frozenset({"get", "setdefault"})


def element_of(use: AttributeUse) -> ast.expr | None:
    """Return how a use of a mapping looks an element up: `self.rows[key]`, `self.rows.get(key)`."""
    above = parent(use.node)
    if isinstance(above, ast.Subscript) and above.value is use.node:
        return above if isinstance(above.ctx, ast.Load) else None
    call = parent(above) if isinstance(above, ast.Attribute) else None
    if isinstance(call, ast.Call) and call.func is above and isinstance(above, ast.Attribute):
        return call if above.attr in _LOOKS_UP else None
    return None


def is_changed(element: ast.expr) -> bool:
    """Return whether code changes what an expression is in place."""
    above = parent(element)
    if isinstance(above, ast.Attribute) and above.value is element:
        call = parent(above)
        return above.attr in MUTATORS and isinstance(call, ast.Call) and call.func is above
    if isinstance(above, ast.Subscript) and above.value is element:
        return not isinstance(above.ctx, ast.Load)
    return isinstance(above, ast.AugAssign) and above.target is element


def where_changed(file: PythonFile, element: ast.expr) -> ast.expr | None:
    """Return where code changes an element in place: itself, or the variable of the same function
    that stands for it (`rows = self.rows[key]` … `rows.append(row)`), or for the one that is put
    there where there is none.
    """
    if is_changed(element):
        return element
    above = parent(element)
    target = above.targets[0] if isinstance(above, ast.Assign) and above.value is element else None
    binding = file.binding(target)
    function = file.function(element)
    if binding is None or function is None or binding.scope is not function.scope:
        return None
    if not all(site.value is element or _puts(site.node, element) for site in binding.sites):
        return None
    changed = (use for use in file.uses(binding) if is_changed(use))
    return next((use for use in changed if file.function(use) is function), None)


def _puts(name: ast.AST, element: ast.expr) -> bool:
    """Return whether a variable is given a value that is put into the mapping of an element in the
    same statement: `rows = self.rows[key] = []`.
    """
    mapping = element.func if isinstance(element, ast.Call) else element
    assert isinstance(mapping, ast.Attribute | ast.Subscript)
    statement = parent(name)
    return isinstance(statement, ast.Assign) and any(
        isinstance(target, ast.Subscript) and ast.dump(target.value) == ast.dump(mapping.value)
        for target in statement.targets
    )


def changed_element(use: AttributeUse) -> ast.expr | None:
    """Return where code changes a collection in place that it looks up in a mapping."""
    element = element_of(use)
    file = use.function.file
    at = None if element is None else where_changed(file, element)
    return at if at is not None and file.is_a(element, COLLECTIONS) else None
