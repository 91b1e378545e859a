"""Literal fields: what a composite literal gives a field, by its name or by its place.

&health{stop: make(chan struct{})}      &health{make(chan struct{})}      []health{{make(…)}}
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, Struct, Type, deref
from threadmend.literals import Piece

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.syntax import Declaration

__all__ = ["elided", "field_value", "given_to", "may_assign", "may_key", "values_by_place"]


def field_value(file: GoFile, literal: Node, field: str) -> Node | None:
    """Return what a composite literal of a struct gives a field, its `{…}` alone too."""
    for entry in _entries(literal):
        if entry.kind == "keyed_element" and entry.children[0].name == field:
            value = entry.children[-1]
            return value.children[0] if value.kind == "literal_element" else value
    return _by_place(file, literal, field)


def given_to(file: GoFile, value: Node) -> tuple[Named, str] | None:
    """Return the struct, and the field of it, that a value in a composite literal is for."""
    element = value.parent
    above = element.parent if element is not None else None
    if element is None or above is None or element.kind != "literal_element":
        return None
    keyed = above if above.kind == "keyed_element" else None
    body = above.parent if keyed is not None else above
    if body is None or body.kind != "literal_value" or body.parent is None:
        return None
    type_ = file.type_of(body.parent if body.parent.kind == "composite_literal" else body)
    owner = deref(type_)
    if not isinstance(owner, Named) or owner.local:
        return None
    if keyed is not None:
        is_value = element is not keyed["key"] and isinstance(file.underlying(owner), Struct)
        return (owner, keyed["key"].name) if is_value else None
    under = file.underlying(owner)
    names = _names(under.node) if isinstance(under, Struct) else []
    place = next((i for i, child in enumerate(body.children) if child is element), len(names))
    return (owner, names[place].name) if place < len(names) else None


def values_by_place(file: GoFile, type_: str, package: str, field: str) -> Iterator[Node]:
    """Yield what the literals of a named struct that name no fields give a field."""
    known: dict[str, list[Node]] = vars(file).setdefault("_by_place", {})
    if type_ not in known:
        known[type_] = list(file.find("composite_literal", _by_place_of(type_)))
    for literal in known[type_]:
        value = _by_place(file, literal, field)
        owner = deref(file.type_of(literal)) if value is not None else None
        if isinstance(owner, Named) and (owner.package, owner.name) == (package, type_):
            assert value is not None
            yield value
        for element in elided(literal):
            owner = deref(file.type_of(element))
            if isinstance(owner, Named) and (owner.package, owner.name) == (package, type_):
                value = _at_place(file, element.children, owner, field)
                if value is not None:
                    yield value


def elided(literal: Node) -> Iterator[Node]:
    """Yield the `{…}` of a list or map that leave out the type of their own."""
    if literal["type"].kind not in _CONTAINERS:
        return
    for entry in literal["body"].children:
        value = entry.children[-1] if entry.kind == "keyed_element" else entry
        inner = value.children[0] if value.kind == "literal_element" and value.children else None
        if inner is not None and inner.kind == "literal_value":
            yield inner


_CONTAINERS = frozenset({"slice_type", "array_type", "implicit_length_array_type", "map_type"})


@cache
def _by_place_of(type_: str) -> re.Pattern[bytes]:
    return re.compile(_BY_PLACE % re.escape(type_.encode()))


# `name{` and something that is no `field:`
_BY_PLACE = rb"\b%b(?:\[[^\n{}]*\])?\{\s*(?!\w+\s*:)[^\s}]"


def _by_place(file: GoFile, literal: Node, field: str) -> Node | None:
    """Return what a composite literal that names no fields gives a field."""
    return _at_place(file, _entries(literal), file.type_of(literal), field)


def _entries(literal: Node) -> list[Node]:
    return literal.children if literal.kind == "literal_value" else literal["body"].children


def _at_place(file: GoFile, entries: list[Node], type_: Type | None, field: str) -> Node | None:
    if not entries or entries[0].kind != "literal_element":
        return None
    under = file.underlying(type_)
    if not isinstance(under, Struct):
        return None
    names = [name.name for name in _names(under.node)]
    place = names.index(field) if field in names else len(entries)
    return entries[place].children[0] if place < len(entries) else None


def _names(struct: Node) -> list[Node]:
    """Return a struct's own fields in order; an embedded one by its type's name."""
    found: list[Node] = []
    for declaration in struct.find("field_declaration"):
        if declaration.up("struct_type") is struct:
            named = declaration.all("name")
            found += named or [[n for n in declaration["type"].walk() if not n.children][-1]]
    return found


_GETS = re.compile(rb"\s*(?:=[^=]|,)")
_KEYS = re.compile(rb"\s*:[^=]")


def may_assign(field: bytes, declaration: Declaration) -> bool:
    """Return whether a declaration may assign to a field: `x.field = …`, `x.field, err = …`."""
    data, start = declaration.tree.data, declaration.start
    return any(
        _GETS.match(data, at + len(field)) and data[start:at].rstrip().endswith(b".")
        for at in Piece(field, True, True).all(data, start, declaration.end)
    )


def may_key(field: bytes, declaration: Declaration) -> bool:
    """Return whether a declaration may give a field a value by its name: `field: …`."""
    data = declaration.tree.data
    return any(
        _KEYS.match(data, at + len(field))
        for at in Piece(field, True, True).all(data, declaration.start, declaration.end)
    )
