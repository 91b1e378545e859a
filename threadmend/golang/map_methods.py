"""Map methods: methods of a map type that write its elements.

    type postings map[string][]int
    func (p postings) add(word string, id int) { p[word] = append(p[word], id) }

`ix.postings.add(w, id)` writes what `ix.postings` holds, like `ix.postings[w] = …`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.access import uses_of
from threadmend.golang.scope import bindings_in
from threadmend.golang.types import Map, Named

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package
    from threadmend.golang.syntax import Node

__all__ = ["is_map_method", "stored_by_methods", "stores_through"]

_STORES = re.compile(rb"\]\s*(?:[-+*/|&^]?=(?!=)|\+\+|--)|\b(?:delete|clear)\(")


def is_map_method(file: GoFile, selector: Node) -> bool:
    """Return whether a method, as in `x.postings.sum`, is one of a map type of the project."""
    if _map_of(file, selector) is None:
        return False
    selection = file.selection(selector)
    return selection is not None and selection.kind == "method"


def stores_through(file: GoFile, selector: Node) -> bool:
    """Return whether a method, as in `x.postings.add`, writes elements of its map."""
    type_ = _map_of(file, selector)
    package = None if type_ is None else file.package.workspace.package_by_key(type_.package)
    if type_ is None or package is None:
        return False
    return (type_.name, selector["field"].name) in _storing(package)


def _map_of(file: GoFile, selector: Node) -> Named | None:
    """Return the map type of what a selector selects from; a conversion, `(*T)(x)`, is none."""
    type_ = file.type_of(selector["operand"]) if selector.kind == "selector_expression" else None
    return type_ if isinstance(type_, Named) and isinstance(file.underlying(type_), Map) else None


def stored_by_methods(package: Package) -> set[bytes]:
    """Return the names that stand before a call of such a method, as far as bytes tell."""
    names = {name.encode() for _, name in _storing(package)}
    if not names:
        return set()
    called = re.compile(rb"\b(\w++)\.(?:" + b"|".join(sorted(names)) + rb")\(")
    return {name for file in package.files for name in called.findall(file.data)}


def _storing(package: Package) -> frozenset[tuple[str, str]]:
    known: frozenset[tuple[str, str]] | None = package.facts.get("storing methods")
    if known is None:
        known = package.facts["storing methods"] = frozenset(
            (owner, name)
            for owner, methods in package.all_methods().items()
            if _is_map(package, owner)
            for name, decls in methods.items()
            if any(_stores(decl) for decl in decls)
        )
    return known


def _is_map(package: Package, owner: str) -> bool:
    decl = package.lookup(owner)
    type_ = decl.node.get("type") if decl is not None and decl.kind == "type" else None
    return type_ is not None and type_.kind == "map_type"


def _stores(decl: Decl) -> bool:
    start, end = decl.span
    if not decl.sound or not _STORES.search(decl.file.data, start, end):
        return False
    return any(
        use.kind == "store" and use.target.kind in {"index_expression", "identifier"}
        for group in bindings_in(decl.node).values()
        for binding in group
        if binding.kind == "receiver"
        for use in uses_of(binding)
    )
