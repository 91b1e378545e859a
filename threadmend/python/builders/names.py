"""Names that are free."""

from __future__ import annotations

import ast
import builtins
import keyword
from collections.abc import Iterator

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
    """Return `stem`, or `stem_2`, … that no name is yet: of the file, or (`at` in a function)
    of the module and of the outermost function around that place.
    """
    outer = None if at is None else file.function(at)
    while outer is not None and outer.outer is not None:
        outer = outer.outer
    if outer is None:
        taken = set(file.tree.names)
        for scope in file.tree.scopes:
            taken |= scope.bindings.keys()
    else:
        taken = {*file.tree.scopes[0].bindings, *_named(outer.node)}
    number, name = 1, stem
    while name in taken or keyword.iskeyword(name) or hasattr(builtins, name):
        number += 1
        name = f"{stem}_{number}"
    return name


def _named(node: ast.AST) -> Iterator[str]:
    """Yield every name that stands in a function."""
    for one in ast.walk(node):
        if isinstance(one, ast.Name):
            yield one.id
        elif isinstance(one, ast.arg):
            yield one.arg
        elif isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield one.name
        elif isinstance(one, ast.Global | ast.Nonlocal):
            yield from one.names
        elif isinstance(one, ast.alias):
            yield (one.asname or one.name).partition(".")[0]
        elif isinstance(one, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and one.name:
            yield one.name
        elif isinstance(one, ast.MatchMapping) and one.rest:
            yield one.rest


def free_attribute(cls: Class, stem: str) -> str:
    """Return `stem`, or `stem_2`, … that no attribute or method of a class is yet, nor of those
    below it, which share their objects with it.
    """
    taken = {node.attr for node in cls.file.nodes(ast.Attribute)}
    for one in {base for own in (cls, *cls.heirs) for base in own.mro}:
        taken |= one.scope.bindings.keys() | {use.name for use in one.uses}
    number, name = 1, stem
    while name in taken:
        number += 1
        name = f"{stem}_{number}"
    return name
