"""What go/mixed-atomic does about copies: `return c.stats` beside an atomic c.stats.hits."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import access_of
from threadmend.golang.atomics import AtomicAccess, atomic_accesses
from threadmend.golang.builders.structs import fields
from threadmend.golang.field_accesses import FieldAccess, accesses_like
from threadmend.golang.package import Decl, Package
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, Pointer
from threadmend.model import Edit

from ._atomic_names import atomic_name, imported

__all__ = ["copies", "copy_edits", "in_place"]

_MOST = 8


def copies(package: Package) -> Iterator[tuple[FieldAccess, list[AtomicAccess]]]:
    """Yield the accesses of structs in fields whose own fields are accessed atomically.

    With each go the atomic accesses, by which it can be told what is copied.
    """
    holders: dict[str, list[AtomicAccess]] = {}
    for atomics in atomic_accesses(package).values():
        for atomic in atomics:
            if atomic.target.kind == "selector_expression" and atomic.writes:
                holder = atomic.target["operand"]
                selection = atomic.file.selection(holder)
                if selection is None or selection.kind != "field" or selection.owner is None:
                    continue
                if isinstance(atomic.file.type_of(holder), Pointer):
                    continue
                place = f"{selection.owner}.{selection.name}"
                holders.setdefault(place, []).append(atomic)
    for parts in holders.values():
        first = parts[0]
        for access in accesses_like(package, first.file, first.target["operand"]):
            if access.kind == "read" and access.base is not None:
                yield access, parts


def in_place(access: FieldAccess) -> bool:
    """Return whether an access is the value itself: returned, assigned, passed."""
    parent = access.node.parent
    if parent is None:
        return False
    if parent.kind in {"argument_list", "return_statement"}:
        return True
    return parent.kind == "expression_list" and parent.field != "left"


def copy_edits(access: FieldAccess, parts: list[AtomicAccess]) -> tuple[tuple[Edit, ...], str]:
    """Make the copy from its fields, those loaded atomically that are accessed so."""
    file, node = access.file, access.node
    name = atomic_name(file)
    if name is None:
        return (), "the name atomic means something else in this file"
    if access_of(file, node) is None:
        return (), "the struct is computed"
    struct = _struct(access)
    if struct is None:
        return (), "the struct's type is declared elsewhere"
    decl, type_ = struct
    declared = fields(type_)
    names = [n.name for f in declared for n in f.all("name")]
    if len(names) > _MOST or any(not f.all("name") for f in declared):
        return (), f"{decl.name} has embedded fields, or too many to copy one by one"
    kinds = _kinds(access, decl)
    values = []
    for field in names:
        path = f"{node.name}.{field}"
        value = f"{name}.Load{kinds[field]}(&{path})" if field in kinds else path
        values.append(f"{field}: {value}")
    code = f"{decl.name}{{{', '.join(values)}}}"
    return (Edit(node.path, node.start, node.end, code.encode()), *imported(file)), ""


def _struct(access: FieldAccess) -> tuple[Decl, Node] | None:
    type_ = access.file.type_of(access.node)
    package = access.file.package
    if not isinstance(type_, Named) or type_.package != package.key or type_.args or type_.local:
        return None
    decl = package.lookup(type_.name)
    node = decl.node.get("type") if decl is not None and decl.kind == "type" else None
    if decl is None or node is None or node.kind != "struct_type":
        return None
    return decl, node


def _kinds(access: FieldAccess, decl: Decl) -> dict[str, str]:
    """Return the fields of a type that are accessed atomically, with their kinds."""
    prefix = f"{decl.file.package.path}.{decl.name}."
    return {
        place.removeprefix(prefix): atomics[0].kind
        for place, atomics in atomic_accesses(access.file.package).items()
        if place.startswith(prefix) and atomics[0].kind != "Pointer"
    }
