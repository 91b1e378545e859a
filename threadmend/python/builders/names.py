"""Names that are free."""

from __future__ import annotations

import ast
import builtins
import keyword

from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.scope import scope_of

__all__ = ["free_attribute", "free_name", "is_free"]


def is_free(file: PythonFile, name: str, at: ast.AST | None = None) -> bool:
    """Return whether nothing is called `name` at module level nor where `at` stands, and no
    function of the file uses it as a global.
    """
    if keyword.iskeyword(name) or hasattr(builtins, name):
        return False
    if name in file.tree.scopes[0].bindings:
        return False
    return at is None or scope_of(at).lookup(name) is None


def free_name(file: PythonFile, stem: str, at: ast.AST | None = None) -> str:
    """Return `stem`, or `stem_2`, … that no name of the file is yet."""
    taken = set(file.tree.names)
    for scope in file.tree.scopes:
        taken |= scope.bindings.keys()
    number, name = 1, stem
    while name in taken or keyword.iskeyword(name) or hasattr(builtins, name):
        number += 1
        name = f"{stem}_{number}"
    return name


def free_attribute(cls: Class, stem: str) -> str:
    """Return `stem`, or `stem_2`, … that no attribute or method of a class is yet."""
    taken = {node.attr for node in cls.file.nodes(ast.Attribute)}
    for one in cls.mro:
        taken |= one.scope.bindings.keys() | {use.name for use in one.uses}
    number, name = 1, stem
    while name in taken:
        number += 1
        name = f"{stem}_{number}"
    return name
