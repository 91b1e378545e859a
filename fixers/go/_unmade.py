"""Channel fields that nobody makes: whether that is so, and where to make them."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import BuilderError, add_element
from threadmend.golang.builders.structs import fields
from threadmend.golang.channel_fields import literals_of
from threadmend.golang.field_accesses import FieldAccess, accesses_like
from threadmend.golang.file import GoFile
from threadmend.golang.package import Decl
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named
from threadmend.golang.uses import type_uses
from threadmend.model import Edit

__all__ = [
    "is_built",
    "is_made",
    "is_made_with_values",
    "made_with_values",
    "made_with_values_of",
    "sets_field",
]


def is_made(file: GoFile, field: Node) -> bool:
    """Return whether some code may give a channel field a value, as far as can be seen."""
    decl = _owner(file, field)
    name = field["field"].name
    if decl is None or name[:1].isupper():
        return True
    if any(_may_set(a) for a in accesses_like(file.package, file, field)):
        return True
    return any(sets_field(literal, name) for _, literal in literals_of(decl))


def is_made_with_values(file: GoFile, field: Node) -> bool:
    """Return whether every literal of the struct gives the channel field a value."""
    decl = _owner(file, field)
    name = field["field"].name
    literals = [] if decl is None else [n for _, n in literals_of(decl, tests=False)]
    return bool(literals) and all(sets_field(one, name) for one in literals)


def sets_field(literal: Node, name: str) -> bool:
    """Return whether a struct literal gives a field a value, by its name or its position."""
    elements = literal["body"].children
    return any(e.kind != "keyed_element" or e.children[0].name == name for e in elements)


def _may_set(access: FieldAccess) -> bool:
    return access.writes or access.kind == "address"


def made_with_values_of(file: GoFile, field: Node) -> tuple[Edit, ...]:
    """Return the edits that make the channel of `x.field` wherever its struct is written."""
    decl = _owner(file, field)
    struct = decl.node.get("type") if decl is not None else None
    if decl is None or struct is None or struct.kind != "struct_type":
        raise BuilderError("no literal of the type says where to make it")
    name = field["field"].name
    declared = next((f for f in fields(struct) if any(n.name == name for n in f.all("name"))), None)
    if declared is None:
        raise BuilderError("no literal of the type says where to make it")
    return made_with_values(decl, name, declared["type"])


def _same_parameters(decl: Decl, literal: Node, type_: Node) -> None:
    """Raise BuilderError where a literal's type arguments have other names: `&box[V]{}`."""
    declared = decl.node.get("type_parameters")
    names = [n.name for p in declared.children for n in p.all("name")] if declared else []
    if any(n.name in names for n in type_.walk()):
        given = literal["type"].name.partition("[")[2].removesuffix("]")
        if [g.strip() for g in given.split(",")] != names:
            raise BuilderError("the channel's type has another name there")


def made_with_values(decl: Decl, name: str, type_: Node) -> tuple[Edit, ...]:
    """Return the edits that make a channel field wherever a value of its struct is written."""
    home = decl.file.package
    made = f"{name}: make({_both_ways(type_)})"
    edits: list[Edit] = []
    for file, literal in literals_of(decl):
        if not file.is_test:
            _names_known(decl, file, type_)
            if file.package is not home:
                raise BuilderError("another package makes values of the type")
            _same_parameters(decl, literal, type_)
            edits += add_element(literal, made)
    for file, call, written in _in_new(decl):
        if file.package is home and not file.is_test:
            _names_known(decl, file, type_)
            code = f"&{written.name}{{{made}}}"
            edits.append(Edit(file.path, call.start, call.end, code.encode()))
    for file, literal, field in _in_parts(decl):
        _names_known(decl, file, type_)
        edits += add_element(literal, f"{field}: {decl.name}{{{made}}}")
    if not edits:
        raise BuilderError("no place makes a value of the type")
    return tuple(edits)


def is_built(decl: Decl) -> bool:
    """Return whether some code may make a value of a type: no value, no use of its fields.

    Receivers, pointers to it, and questions whether something is one make none.
    """
    for _, node in type_uses(decl):
        outer = node.parent
        if outer is not None and outer.kind == "generic_type":
            outer = outer.parent
        if outer is not None and outer.kind in _ASKS:
            continue
        above = outer.parent if outer is not None else None
        if outer is None or above is None or outer.kind != "parameter_declaration":
            return True
        if above.field != "receiver":
            return True
    return False


_ASKS = frozenset({"pointer_type", "type_case", "type_assertion_expression"})


def _in_parts(decl: Decl) -> Iterator[tuple[GoFile, Node, str]]:
    """Yield the literals of structs with a field of the type, a value, that they leave out."""
    package = decl.file.package
    for file, node in type_uses(decl):
        declared = node.parent
        if declared is None or declared.kind != "field_declaration" or file.is_test:
            continue
        struct = declared.up("type_spec")
        owner = package.lookup(struct["name"].name) if struct is not None else None
        if owner is None or owner.node is not struct or struct.get("type_parameters") is not None:
            continue
        if declared.parent is None or declared.parent.parent is not struct.get("type"):
            continue
        names = [n.name for n in declared.all("name")] or [decl.name]
        for other, literal in literals_of(owner):
            for name in names if other.package is package else ():
                if not other.is_test and not sets_field(literal, name):
                    yield other, literal, name


def _owner(file: GoFile, field: Node) -> Decl | None:
    """Return the declaration of the struct that has a field."""
    selection = file.selection(field)
    if selection is None or selection.kind != "field" or not isinstance(selection.owner, Named):
        return None
    if selection.owner.package != file.package.key:
        return None
    decl = file.package.lookup(selection.owner.name)
    return decl if decl is not None and decl.kind == "type" else None


def _both_ways(type_: Node) -> str:
    """Return a channel type without its direction; that of its elements stays."""
    for one_way in ("<-chan", "chan<-"):
        if type_.name.startswith(one_way):
            return "chan" + type_.name.removeprefix(one_way)
    return type_.name


def _names_known(decl: Decl, file: GoFile, type_: Node) -> None:
    """Raise where a file does not import what the channel's elements are called by."""
    for one in type_.walk():
        if one.kind == "qualified_type":
            package = one["package"].name
            if decl.file.imported(package) != file.imported(package):
                raise BuilderError(f"{file.path} does not import {package}")


def _in_new(decl: Decl) -> Iterator[tuple[GoFile, Node, Node]]:
    """Yield the calls of `new(T)`, with the type as it is written."""
    for file, node in type_uses(decl):
        generic = node.parent is not None and node.parent.kind == "generic_type"
        type_ = node.parent if generic and node.parent is not None else node
        call = type_.parent.parent if type_.parent is not None else None
        if call is not None and call.kind == "call_expression" and call["function"].text == b"new":
            yield file, call, type_
