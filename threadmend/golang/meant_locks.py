"""Meant locks: which lock of a list or map a local variable stands for.

m, ok := k.locks[key]        // m is one of k.locks
if !ok {
    m = &sync.Mutex{}
    k.locks[key] = m         // and so is this one
}
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.access import lock_class, uses_of
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["meant_class"]


def meant_class(file: GoFile, lock: Node) -> str | None:
    """Return the class of a lock expression, for a variable that of the element it stands for."""
    binding = file.binding(lock) if lock.kind == "identifier" else None
    if binding is None:
        return lock_class(file, lock)
    if binding.value is not None and binding.value.kind == "index_expression":
        return lock_class(file, binding.value)
    for use in uses_of(binding):
        place = _stored_in(use.node)
        if place is not None:
            return lock_class(file, place)
    return lock_class(file, lock)


def _stored_in(name: Node) -> Node | None:
    """Return the element that `xs[i] = name` sets."""
    group = name.parent
    statement = group.parent if group is not None else None
    if group is None or statement is None or group.field != "right":
        return None
    if statement.kind != "assignment_statement" or len(group.children) != 1:
        return None
    place = statement["left"].children[0]
    return place if place.kind == "index_expression" else None
