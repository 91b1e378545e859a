"""Methods that are kept under another name: `take = self._lock.acquire`, then `take()`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.python.functions import attributes_of, is_called
from threadmend.python.scope import parent
from threadmend.python.uses import is_self

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile

__all__ = ["bound_calls"]


def bound_calls(file: PythonFile, *names: str) -> Iterator[tuple[ast.Call, ast.Attribute]]:
    """Yield the calls of methods of these names by another name, with what that is set to for good:
    a variable, or an attribute of the object that also has the method's own.
    """
    for name in names:
        for kept in attributes_of(file).get(name, ()):
            above = parent(kept)
            if isinstance(above, ast.Assign) and above.value is kept and len(above.targets) == 1:
                for node in _uses(file, above.targets[0]):
                    call = parent(node)
                    if is_called(node) and isinstance(call, ast.Call):
                        yield call, kept


def _uses(file: PythonFile, target: ast.expr) -> Iterator[ast.expr]:
    binding = file.binding(target)
    if binding is not None and [site.kind for site in binding.sites] == ["assign"]:
        yield from file.uses(binding)
    if not isinstance(target, ast.Attribute) or not is_self(file, target.value):
        return
    function = file.function(target)
    cls = None if function is None else function.home
    if cls is None or not cls.is_lasting(target.attr) or len(cls.values_of(target.attr)) != 1:
        return
    for node in attributes_of(file).get(target.attr, ()):
        inside = file.function(node)
        if inside is not None and inside.home is cls and is_self(file, node.value):
            yield node
