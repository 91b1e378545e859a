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
    if part is None or access.writes:
        return False
    return all(_part(a) not in {None, part} for a in others if a.writes and not a.setup)


def _part(access: FieldAccess) -> str | None:
    """Return the field of the struct that an access goes on to, None for the whole."""
    outer = access.node.parent
    if outer is None or outer.kind != "selector_expression" or access.node.field != "operand":
        return None
    if not isinstance(access.file.underlying(access.file.type_of(access.node)), Struct):
        return None
    selection = access.file.selection(outer)
    return selection.name if selection is not None and selection.kind == "field" else None
