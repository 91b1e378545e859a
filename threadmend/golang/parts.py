"""Parts of a struct that is a field itself: who uses one does not meet who changes another."""

from __future__ import annotations

from collections.abc import Iterable

from threadmend.golang.field_accesses import FieldAccess
from threadmend.golang.types import Struct

__all__ = ["reads_another_part"]


def reads_another_part(access: FieldAccess, others: Iterable[FieldAccess]) -> bool:
    """Return whether a read of `s.options.limit` meets only writes of other parts.

    `others` are all accesses of the field; code that sets the object up does not count.
    """
    part = _part(access)
    if not part or access.writes:
        return False
    return not any(_overlap(_part(a), part) for a in others if a.writes and not a.setup)


def _overlap(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Return whether one of two parts is the other one, or lies in it."""
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def _part(access: FieldAccess) -> tuple[str, ...]:
    """Return the fields by which an access goes on, as far as they lie in the struct itself.

    `s.options.http.limit` has `("http", "limit")`, the whole of `s.options` none.
    """
    file, node = access.file, access.node
    names: list[str] = []
    while node.field == "operand" and node.parent is not None:
        outer = node.parent
        if outer.kind != "selector_expression":
            break
        if not isinstance(file.underlying(file.type_of(node)), Struct):
            break
        selection = file.selection(outer)
        if selection is None or selection.kind != "field":
            break
        names.append(selection.name)
        node = outer
    return tuple(names)
