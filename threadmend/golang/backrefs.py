"""Back references: a field that leads from an element to the object whose list holds it.

    func (h *hub) add() *listener {
        l := &listener{hub: h}                  // l.hub is h,
        h.listeners = append(h.listeners, l)    // and l stands in h.listeners:
        return l
    }
    func (h *hub) close() {
        for _, l := range h.listeners { l.Close() }    // in here l.hub is h
    }

Certain when the field is set in composite literals alone, to the method's own object or to one
that the function made, and every element that is put into the list was made so in that function.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of, is_assigned_once
from threadmend.golang.calls import callers, code_files
from threadmend.golang.kept_methods import field_of_step, is_kept_step, object_of_value
from threadmend.golang.literal_fields import elided, field_value
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.targets import implementations
from threadmend.golang.types import Interface, Map, Named, Slice, Struct, Type, deref
from threadmend.literals import Piece

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package

__all__ = ["beginning_at", "given_field", "homeward", "is_set_in_literals"]


def homeward(file: GoFile, access: Access) -> Access:
    """Return a path that begins at an element of a list as one of the list's owner, if certain."""
    root = access.root
    if not isinstance(root, Binding) or not access.steps or root.kind not in {"range", "variable"}:
        return access
    if not field_of_step(access.steps[0]).isidentifier():  # an index: no field of the element
        return access
    return beginning_at(file, "homeward", root, access, _owner)


def beginning_at(
    file: GoFile,
    fact: str,
    root: Binding,
    access: Access,
    find: Callable[[GoFile, Binding, str], Access | None],
) -> Access:
    """Return a path with another beginning, where `find` knows what its first field leads to.

    The answers are remembered in the package under the name of the fact; a question that leads
    back to itself has none.
    """
    known: dict[tuple[Binding, str], Access | None]
    known = file.package.facts.setdefault(fact, {})
    key = (root, access.steps[0])
    if key not in known:
        known[key] = None
        known[key] = find(file, *key)
    begin = known[key]
    return access if begin is None else Access(begin.root, begin.steps + access.steps[1:])


def _owner(file: GoFile, element: Binding, field: str) -> Access | None:
    """Return the object in whose list an element stands, when its field leads back there."""
    container = _container(file, element)
    if container is None or container.kind != "selector_expression":
        return None
    under = file.underlying(file.type_of(container))
    made = _made_as(file, under.elem) if isinstance(under, Slice | Map) else None
    owner = deref(file.type_of(container["operand"]))
    if made is None or not isinstance(owner, Named) or owner.package != made.package:
        return None
    package = file.package
    if made.package != package.path or not is_assigned_once(element):
        return None
    if not _leads_back(package, made.name, field, owner.name, container["field"].name):
        return None
    return access_of(file, container["operand"])


def _made_as(file: GoFile, element: Type | None) -> Named | None:
    """Return the struct that the elements of a list are, or point to.

    Of an interface, the only type that implements it.
    """
    element = deref(element)
    if not isinstance(element, Named):
        return None
    under = file.underlying(element)
    if isinstance(under, Interface):
        known = implementations(file.package.workspace, element)
        return known[0] if len(known) == 1 else None
    return element if isinstance(under, Struct) else None


def _container(file: GoFile, element: Binding) -> Node | None:
    declaration = element.declaration
    if element.kind == "range" and declaration.kind == "range_clause":
        left = declaration.get("left")
        names = left.children if left is not None else []
        return declaration["right"] if len(names) == 2 and element.index == 1 else None
    right = declaration.get("right")
    if declaration.kind != "short_var_declaration" or right is None or element.index:
        return None
    value = right.children[0]
    return value["operand"] if value.kind == "index_expression" else None


# -- what a package does to such a field, and to such a list ------------------------------


def _leads_back(package: Package, element: str, field: str, owner: str, list_: str) -> bool:
    known: dict[tuple[str, ...], bool] = package.facts.setdefault("back references", {})
    key = (element, field, owner, list_)
    if key not in known:
        known[key] = is_set_in_literals(package, element, field) and _is_filled(
            package, element, field, owner, list_
        )
    return known[key]


def is_set_in_literals(package: Package, element: str, field: str) -> bool:
    """Return whether nothing assigns to the field, and every literal of the type sets it."""
    field = field_of_step(field)
    if _is_assigned(package, field.encode()):
        return False
    literals = [(f, n) for f in code_files(package) for n in _literals(f, element)]
    return bool(literals) and all(field_value(f, n, field) is not None for f, n in literals)


_ASSIGNED = re.compile(rb"\s*(?:,[^=\n;]*)?=[^=]")


def _is_assigned(package: Package, field: bytes) -> bool:
    """Return whether something may assign to a field of this name: `x.field, err = …`."""
    known: dict[bytes, bool] = package.facts.setdefault("assigned fields", {})
    if field not in known:
        piece = Piece(b"." + field, False, True)
        files = (f for f in code_files(package) if f.may_hold(field))
        known[field] = any(
            _ASSIGNED.match(f.data, at + len(piece.text)) for f in files for at in piece.all(f.data)
        )
    return known[field]


def _literals(file: GoFile, element: str) -> Iterator[Node]:
    name = element.encode()
    pattern = re.compile(rb"\b" + name + rb"\{")
    for declaration in file.declarations(pattern):
        for literal in declaration.index.get("composite_literal", ()):
            if literal["type"].name == element:
                yield literal
            elif literal["type"].text.endswith((b"]" + name, b"]*" + name)):
                yield from elided(literal)


def _is_filled(package: Package, element: str, field: str, owner: str, list_: str) -> bool:
    """Return whether each element that is put into the list leads back to the list's owner."""
    stored = re.compile(rb"\b" + list_.encode() + rb"\b")
    found = False
    for file in code_files(package):
        for statement in file.find("assignment_statement", stored):
            for target, value in zip(
                statement["left"].children, statement["right"].children, strict=False
            ):
                place = target["operand"] if target.kind == "index_expression" else target
                if place.kind != "selector_expression" or place["field"].name != list_:
                    continue
                of = deref(file.type_of(place["operand"]))
                if not isinstance(of, Named) or of.name != owner:
                    continue
                for added in _added(target, value, list_):
                    found = True
                    if not _was_made_by(file, added, place["operand"], element, field):
                        return False
    return found and not _is_filled_at_birth(package, owner, list_)


def _is_filled_at_birth(package: Package, owner: str, list_: str) -> bool:
    """Return whether a literal of the owner has a list with elements: they lead elsewhere."""
    given = [
        value
        for file in code_files(package)
        for literal in _literals(file, owner)
        if (value := field_value(file, literal, list_)) is not None
    ]
    return any(next(_added(value, value, list_), None) is not None for value in given)


def _added(target: Node, value: Node, list_: str) -> Iterator[Node]:
    """Yield what an assignment puts into a list; nothing for what only takes away."""
    if target.kind == "index_expression":
        yield value
    elif value.kind == "call_expression":
        arguments = value["arguments"].children
        if value["function"].text == b"append" and arguments:
            for added in arguments[1:]:
                if list_ not in added.name:
                    yield added
        elif value["function"].text != b"make" and list_ not in value.name:
            yield value
    elif value.kind == "composite_literal":
        for entry in value["body"].children:
            last = entry.children[-1] if entry.kind == "keyed_element" else entry
            yield last.children[0] if last.kind == "literal_element" else last
    elif value.kind not in {"nil", "slice_expression"}:
        yield value


def _was_made_by(file: GoFile, added: Node, owner: Node, element: str, field: str) -> bool:
    """Return whether an element was made in this function, with the list's owner in its field."""
    binding = file.binding(owner) if owner.kind == "identifier" else None
    if binding is None or binding.kind not in {"receiver", "variable"}:
        return False
    if not is_assigned_once(binding):
        return False
    value: Node | None = added
    if added.kind == "identifier":
        made = file.binding(added)
        right = made.declaration.get("right") if made is not None else None
        if made is None or right is None or not is_assigned_once(made):
            return False
        value = right.children[made.index] if made.index < len(right.children) else None
    given = given_field(file, value, element, field) if value is not None else None
    return given is not None and file.binding(given) is binding


def given_field(file: GoFile, value: Node, element: str, field: str) -> Node | None:
    """Return what the field of a fresh element holds: `&E{f: x}`, or `newE(x)` that makes one.

    Of a step that leads to the object of a method: what stands before the method, `x` of `x.m`.
    """
    if is_kept_step(field):
        given = given_field(file, value, element, field_of_step(field))
        return object_of_value(file, given) if given is not None else None
    if value.kind == "unary_expression" and value["operator"].kind == "&":
        value = value["operand"]
    if value.kind == "composite_literal":
        return field_value(file, value, field) if value["type"].name == element else None
    if value.kind == "literal_value":
        type_ = deref(file.type_of(value))
        named = isinstance(type_, Named) and type_.name == element
        return field_value(file, value, field) if named else None
    decl = file.callee(value) if value.kind == "call_expression" else None
    if decl is None or decl.kind != "func" or not decl.sound:
        return None
    literals = [n for n in _literals(decl.file, element) if decl.node.contains(n)]
    inner = field_value(decl.file, literals[0], field) if len(literals) == 1 else None
    parameter = decl.file.binding(inner) if inner is not None else None
    if parameter is None or parameter.kind != "parameter" or not is_assigned_once(parameter):
        return None
    if any(site.call is None for site in callers(decl)):
        return None
    names = [n for d in decl.node["parameters"].children for n in d.all("name")]
    index = next((i for i, n in enumerate(names) if n is parameter.node), len(names))
    arguments = value["arguments"].children
    return arguments[index] if index < len(arguments) else None
