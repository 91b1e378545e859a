"""Kept methods: the object of the method value that a field keeps, as a step of a path.

    l := newLane(id, p.retire)      // which keeps it as l.onEnd: `l.onEnd()` is p,
    l.onEnd(id)                     // and what this does to `l.onEnd().mu`, it does to p.mu

Where an object with such a field stands in a list, was just made, or is a part of what the method
belongs to, the path gets shorter again: see `backrefs`, `made_around`, `selfrefs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["field_of_step", "is_kept_step", "kept_object", "object_of_value"]

_CALL = "()"


def kept_object(file: GoFile, function: Node) -> Access | None:
    """Return the path of the object whose method `l.onEnd` is, by the field that keeps it."""
    if function.kind != "selector_expression":
        return None
    selection = file.selection(function)
    if selection is None or selection.kind != "field":
        return None
    base = access_of(file, function["operand"], selection.via)
    if base is None:
        return None
    return Access(base.root, (*base.steps, function["field"].name + _CALL))


def is_kept_step(step: str) -> bool:
    """Return whether a step of a path leads to the object of a method that a field keeps."""
    return step.endswith(_CALL)


def field_of_step(step: str) -> str:
    """Return the field that a step of a path goes by."""
    return step.removesuffix(_CALL)


def object_of_value(file: GoFile, value: Node) -> Node | None:
    """Return the object of a method value: `p` of `p.retire`; not that of an embedded struct."""
    if value.kind != "selector_expression":
        return None
    selection = file.selection(value)
    if selection is None or selection.kind != "method" or selection.via:
        return None
    return value["operand"]
