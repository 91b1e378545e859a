"""Map arguments: maps whose elements a call writes, given as an argument or as the receiver.

    func put(into map[string]int, k string, n int) { into[k] = n }

`put(counts, k, 1)` writes what `counts` holds, like `counts[k] = 1`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.access import classify, is_assigned_once
from threadmend.golang.builders.signatures import parameters
from threadmend.golang.functions import method_call
from threadmend.golang.locks import LOCK_CALLS
from threadmend.golang.map_methods import stores_through
from threadmend.golang.node import bare
from threadmend.golang.types import Map

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl
    from threadmend.golang.syntax import Node

__all__ = ["is_stored_into"]

_DEPTH = 3
_STORES = re.compile(rb"\]\s*(?:[-+*/|&^]?=(?!=)|\+\+|--)|\b(?:delete|clear)\(|\w\(")


def is_stored_into(file: GoFile, place: Node, depth: int = _DEPTH) -> bool:
    """Return whether a call writes elements of a map: by its own method, or as an argument.

    A function that takes a lock itself may do so for the map, and is not followed.
    """
    parent = place.parent
    if parent is None or not isinstance(file.underlying(file.type_of(place)), Map):
        return False
    if parent.kind == "selector_expression":
        return method_call(place) is not None and stores_through(file, parent)
    call = parent.parent if parent.kind == "argument_list" else None
    if call is None or call.kind != "call_expression" or depth == 0:
        return False
    decl = file.callee(call)
    if decl is None or not decl.sound or not decl.has_body:
        return False
    position = next(i for i, a in enumerate(parent.children) if bare(a) is bare(place))
    return position in _stored(decl, depth)


def _stored(decl: Decl, depth: int) -> frozenset[int]:
    """Return the positions of the map parameters into which a function stores."""
    known: dict[Node, frozenset[int]] = decl.file.package.facts.setdefault("stored arguments", {})
    if decl.node not in known:
        known[decl.node] = frozenset()  # one that calls itself says it elsewhere
        known[decl.node] = frozenset(_positions(decl, depth))
    return known[decl.node]


def _positions(decl: Decl, depth: int) -> list[int]:
    data, (start, end) = decl.file.data, decl.span
    if LOCK_CALLS.search(data, start, end) or not _STORES.search(data, start, end):
        return []
    found = []
    for index, parameter in enumerate(parameters(decl.node)):
        if parameter.name is None or parameter.variadic:
            continue
        binding = decl.file.binding(parameter.name)
        if binding is None or not is_assigned_once(binding):
            continue
        if not isinstance(decl.file.underlying(decl.file.type_of(parameter.name)), Map):
            continue
        uses = [u for u in binding.uses if u is not parameter.name and u.function is decl.node]
        if any(_stores(decl.file, use, depth) for use in uses):
            found.append(index)
    return found


def _stores(file: GoFile, use: Node, depth: int) -> bool:
    found = classify(use)
    if found.kind == "store":
        return found.target.kind in {"index_expression", "identifier"}
    return found.target is use and is_stored_into(file, use, depth - 1)
