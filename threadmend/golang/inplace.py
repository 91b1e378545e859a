"""In place: functions that call a function they are given before they return, and keep it not.

    func split(r io.Reader, emit func(word string)) { …; emit(word); … }

A literal passed there runs where it stands, on the goroutine of the call, and under no lock
but those held at the call: the function holds no syntax that could synchronise.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl

__all__ = ["is_called_in_place"]

_DEPTH = 3
# What launches, waits or takes a lock, by its syntax or by its name.
_ORDERS = re.compile(
    rb"(?i)<-|\bgo\b|\bdefer\b|\bselect\b|lock|mutex|acquire|atomic\.|\.(?:do|go|wait|add|once)\("
    rb"|once\b|serial|schedule|submit|enqueue|launch|spawn|async|afterfunc"
)


def is_called_in_place(file: GoFile, call: Node, argument: Node) -> bool:
    """Return whether a call does nothing with an argument but call it, before it ends."""
    decl = file.callee(call)
    if decl is None or decl.kind not in {"func", "method"}:
        return False
    arguments = call["arguments"].children
    index = next((i for i, child in enumerate(arguments) if child is argument), None)
    return index is not None and _only_calls(decl, index, _DEPTH)


def _only_calls(decl: Decl, index: int, depth: int) -> bool:
    known: dict[tuple[tuple[str, int], int], bool]
    known = decl.file.package.facts.setdefault("calls in place", {})
    key = (decl.key, index)
    if key not in known:
        known[key] = False  # a function that passes it on to itself
        known[key] = depth > 0 and decl.sound and _decide(decl, index, depth)
    return known[key]


def _decide(decl: Decl, index: int, depth: int) -> bool:
    function = decl.node
    body, name = function.get("body"), _parameter(function, index)
    if body is None or name is None:
        return False
    binding = decl.file.binding(name)
    if binding is None or _ORDERS.search(decl.file.data, function.start, body.end):
        return False
    uses = [use for use in binding.uses if use is not name]
    return bool(uses) and all(_is_plain_call(decl.file, function, u, depth) for u in uses)


def _is_plain_call(file: GoFile, function: Node, use: Node, depth: int) -> bool:
    """Return whether a use calls the parameter, or passes it to a function that only does that."""
    outer = use.parent
    if use.function is not function or outer is None:
        return False
    if outer.kind == "call_expression" and use.field == "function":
        return True
    if outer.kind == "binary_expression":
        return True  # a comparison with nil
    call = outer.parent
    if outer.kind != "argument_list" or call is None or call.kind != "call_expression":
        return False
    decl = file.callee(call)
    if decl is None:
        return False
    index = next(i for i, child in enumerate(outer.children) if child is use)
    return _only_calls(decl, index, depth - 1)


def _parameter(function: Node, index: int) -> Node | None:
    """Return the name of the parameter at an index, None for a variadic or unnamed one."""
    position = 0
    for declaration in function["parameters"].children:
        if declaration.kind != "parameter_declaration":
            return None
        for name in declaration.all("name"):
            if position == index:
                return name
            position += 1
        if not declaration.all("name"):
            return None
    return None
