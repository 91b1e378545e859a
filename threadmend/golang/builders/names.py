"""Names for new variables: free ones, and what is taken."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import TYPE_CHECKING

from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = [
    "KEYWORDS",
    "PREDECLARED",
    "free_label",
    "free_name",
    "names_around",
    "names_of_file",
    "taken_names",
]

_KEYWORDS = """
break case chan const continue default defer else fallthrough for func go goto if import
interface map package range return select struct switch type var
"""
_PREDECLARED = """
any bool byte comparable complex64 complex128 error float32 float64 int int8 int16 int32 int64
rune string uint uint8 uint16 uint32 uint64 uintptr true false iota nil append cap clear close
complex copy delete imag len make max min new panic print println real recover
"""
KEYWORDS = frozenset(_KEYWORDS.split())
PREDECLARED = frozenset(_PREDECLARED.split())


def free_name(base: str, taken: Container[str]) -> str:
    """Return `base`, or `base2`, `base3`, … when it is taken.

    >>> free_name("wg", {"wg", "wg2"})
    'wg3'
    """
    name = base
    number = 2
    while name in taken or name in KEYWORDS:
        name = f"{base}{number}"
        number += 1
    return name


def free_label(function: Node) -> str:
    """Return a label for a loop that no other statement of a function has."""
    taken = {n["label"].name for n in function.find("labeled_statement")}
    return next(n for n in ("loop", "outer", "loop2", "loop3", "loop4") if n not in taken)


def taken_names(*nodes: Node, names: Iterable[str] = ()) -> frozenset[str]:
    """Return the names that a new variable in these nodes should not have.

    These are all names that occur in the nodes (give the whole function), the `names`
    passed in (package-level declarations, imports), the keywords and the predeclared names.
    Field and method names are left out: `x.mu` does not take `mu`.
    """
    found = {
        node.name
        for root in nodes
        for node in root.find("identifier", "type_identifier", "package_identifier")
    }
    return frozenset(found.union(names, KEYWORDS, PREDECLARED))


def names_around(file: GoFile, node: Node) -> frozenset[str]:
    """Return the names that a new variable of the declaration around a node must not take."""
    top = file.tree.declaration_at(node.start)
    assert top is not None
    return taken_names(top.node, names=names_of_file(file))


def names_of_file(file: GoFile) -> set[str]:
    """Return the names that mean something anywhere in a file: of the package, of imports."""
    return {*file.package.names, *(i.name for i in file.imports)}
