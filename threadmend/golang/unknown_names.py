"""Unknown names: uses of a function's variables where they are not in scope.

An expression that an edit moves may leave the scope of a name in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.scope import resolve_local
from threadmend.golang.syntax import FUNCTIONS

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.node import Node

__all__ = ["names_out_of_scope"]


def names_out_of_scope(file: GoFile, offset: int) -> Iterator[Node]:
    """Yield the names of the function at a place that mean nothing where they stand, and a variable
    elsewhere in the function.
    """
    declaration = file.tree.declaration_at(offset)
    if declaration is None or declaration.node.kind not in FUNCTIONS:
        return
    unknown: list[Node] = []
    local: set[str] = set()
    for node in declaration.node.find("identifier"):
        if resolve_local(node) is not None:
            local.add(node.name)
        elif not _is_no_use(node):
            unknown.append(node)
    yield from (n for n in unknown if n.name in local and file.resolve(n) is None)


def _is_no_use(node: Node) -> bool:
    """Return whether a name declares something, or may be the key of a literal."""
    parent = node.parent
    if parent is None or node.field in {"label", "name"} or node.name == "_":
        return True
    if parent.kind == "literal_element":
        return parent.field == "key"
    owner = parent.parent
    return owner is not None and owner.kind == "type_switch_statement" and parent.field == "alias"
