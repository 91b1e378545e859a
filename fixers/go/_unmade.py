"""Channel fields that nobody makes: whether that is so, and where to make them."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import lock_class
from threadmend.golang.builders.structs import fields
from threadmend.golang.file import GoFile
from threadmend.golang.guards import accesses_like
from threadmend.golang.package import Package
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["is_made", "made_in_literals"]


def is_made(package: Package, file: GoFile, field: Node) -> bool:
    """Return whether some code of the package gives a channel field a value."""
    if any(a.writes for a in accesses_like(package, file, field)):
        return True
    name = field["field"].name
    owner = _owner(file, field)
    elements = (e for one in _literals(package, owner) for e in one["body"].children)
    return any(e.children[0].name == name for e in elements if e.children)


def made_in_literals(package: Package, file: GoFile, field: Node) -> tuple[Edit, ...]:
    """Return the edits that make a field's channel in every literal of its struct."""
    owner, name = _owner(file, field), field["field"].name
    decl = package.lookup(owner)
    struct = decl.node.get("type") if decl is not None and decl.kind == "type" else None
    if struct is None or struct.kind != "struct_type":
        return ()
    declared = next((f for f in fields(struct) if any(n.name == name for n in f.all("name"))), None)
    if declared is None:
        return ()
    type_ = declared["type"].name.replace("<-chan", "chan").replace("chan<-", "chan")
    edits = [_keyed(one, f"{name}: make({type_})") for one in _literals(package, owner)]
    return tuple(e for e in edits if e is not None) if None not in edits else ()


def _owner(file: GoFile, field: Node) -> str:
    return (lock_class(file, field) or "").rpartition(".")[0].rpartition(".")[2]


def _literals(package: Package, owner: str) -> Iterator[Node]:
    for file in package.files:
        if not file.is_test and not file.generated:
            for literal in file.find("composite_literal"):
                if literal["type"].name == owner:
                    yield literal


def _keyed(literal: Node, code: str) -> Edit | None:
    """Return the edit that adds a key to a literal, None for one that stands in several lines."""
    body = literal["body"]
    elements = body.children
    if any(e.kind != "keyed_element" for e in elements) or b"\n" in body.text:
        return None
    at = elements[-1].end if elements else body.start + 1
    return Edit(literal.path, at, at, (f", {code}" if elements else code).encode())
