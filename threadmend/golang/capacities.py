"""Capacities: whether the room of a channel was made for what is sent."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.access import is_assigned_once
from threadmend.golang.channel_fields import arguments_of
from threadmend.golang.infer import is_decl
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["is_chosen", "is_counted", "slots_of"]

_CALLS = 3


def is_counted(file: GoFile, value: Node, depth: int = _CALLS) -> bool:
    """Return whether a number is written down, or counted from what there is to send.

    `len(ballots)`, also through a variable or what the callers give: `newRound(len(ballots))`.
    What comes from who knows where is not.
    """
    binding = file.binding(value) if value.kind == "identifier" else None
    if binding is None or not binding.is_variable:
        return value.text != b"0"
    if depth and is_assigned_once(binding) and binding.kind != "parameter":
        made = binding.declaration.get("right") or binding.declaration.get("value")
        values = made.children if made is not None else []
        return binding.index < len(values) and is_counted(file, values[binding.index], depth - 1)
    given = arguments_of(file, binding) if depth and binding.kind == "parameter" else None
    return given is not None and any(is_counted(f, each, depth - 1) for f, each in given)


def is_chosen(file: GoFile, value: Node) -> bool:
    """Return whether somebody chose a number, whatever there is to send: a literal, a constant or
    a setting in a field, `e.ahead`. A field whose name says that it counts may be all there is.
    """
    if value.kind == "int_literal":
        return True
    name = value["field"] if value.kind == "selector_expression" else value
    if _COUNTS.search(name.name):
        return False
    if value.kind == "selector_expression":
        selection = file.selection(value)
        return selection is not None and selection.kind == "field"
    return value.kind == "identifier" and is_decl(file.resolve(value), "const")


_COUNTS = re.compile(r"(?i)count|total|num|len|batch|all|max|^n$|^n[A-Z]|s$")


def slots_of(file: GoFile, value: Node, depth: int = _CALLS) -> int | None:
    """Return how many slots a capacity makes at most where only numbers are given, else None."""
    if value.kind == "int_literal":
        return int(value.name, 0) if value.name.isdigit() else None
    binding = file.binding(value) if value.kind == "identifier" else None
    if binding is None or binding.kind != "parameter" or not depth:
        return None
    given = arguments_of(file, binding)
    slots = [slots_of(f, each, depth - 1) for f, each in given or ()]
    return max((n for n in slots if n is not None), default=None) if None not in slots else None
