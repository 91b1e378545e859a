"""Self changes: methods that change their own object, and take no lock for it.

    func (l *LRU) Get(k K) V { l.order.MoveToFront(l.elems[k]); … }

Whoever calls one needs the lock that keeps all others away, whatever the method's name says. The
object is behind a pointer or an interface, or a struct that is a part of another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.captured import called_writer
from threadmend.golang.field_accesses import access_kind
from threadmend.golang.functions import method_call, outer_function
from threadmend.golang.locks import LOCK_CALLS, declaration_of, held_inside
from threadmend.golang.setup import runs_once
from threadmend.golang.targets import targets
from threadmend.golang.types import Interface, Named, Pointer, Struct, deref

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package
    from threadmend.golang.syntax import Node
    from threadmend.golang.targets import Body

__all__ = ["changed_by_method"]

_DEPTH = 3
_WRITES = frozenset({"write", "update", "store"})
_OWN_SAFETY = ("sync.", "atomic.", "singleflight.")


def changed_by_method(file: GoFile, operand: Node, depth: int = _DEPTH) -> bool:
    """Return whether the method that is called on an expression changes the object in any case.

    Through an interface of the project: when all types that implement it do so, but for the one
    that wraps another of them here.
    """
    call = method_call(operand)
    if call is None:
        part = _part_of(file, operand)
        return part is not None and changed_by_method(file, part, depth)
    type_ = file.type_of(operand)
    if not isinstance(deref(type_), Named):
        return False
    if not isinstance(file.underlying(type_), Interface | Pointer | Struct):
        return False
    own = outer_function(operand)
    wrapper = declaration_of(file, own) if own is not None else None
    bodies = [
        b
        for b in targets(file, call).bodies
        if b.decl is None or wrapper is None or b.decl.receiver != wrapper.receiver
    ]
    return bool(bodies) and all(_changes_itself(body, depth) for body in bodies)


def _part_of(file: GoFile, operand: Node) -> Node | None:
    """Return the part of a struct that is named next: `s.totals.reads` for `s.totals`."""
    part = operand.parent
    if part is None or part.kind != "selector_expression" or operand.field != "operand":
        return None
    if not isinstance(file.underlying(file.type_of(operand)), Struct):
        return None
    selection = file.selection(part)
    if selection is None or selection.kind != "field":
        return None
    return part if isinstance(file.underlying(file.type_of(part)), Struct) else None


def _is_given(file: GoFile, field: Node) -> bool:
    """Return whether a field keeps an object that somebody hands in: it has an owner elsewhere.

    `func New(api Provider) *Pool { return &Pool{api: api} }`: what guards it is that owner's.
    """
    selection = file.selection(field) if field.kind == "selector_expression" else None
    owner = selection.owner if selection is not None else None
    package = file.package.workspace.package_by_key(owner.package) if owner is not None else None
    if selection is None or owner is None or package is None:
        return False
    known: dict[tuple[str, str], bool] = package.facts.setdefault("given fields", {})
    key = (owner.name, selection.name)
    if key not in known:
        known[key] = any(_is_parameter(f, value) for f, value in _stored(package, *key))
    return known[key]


def _stored(package: Package, owner: str, name: str) -> Iterator[tuple[GoFile, Node]]:
    """Yield the values that a package stores in a field, tests left out."""
    word = re.compile(rb"\b" + re.escape(name.encode()) + rb"\b")
    for file in package.files:
        if file.is_test or not file.holds(word):
            continue
        for element in file.find("keyed_element", word):
            key, value, literal = element.get("key"), element.get("value"), element.parent
            if key is None or value is None or literal is None or key.name != name:
                continue
            type_ = deref(file.type_of(literal))
            if isinstance(type_, Named) and type_.name == owner:
                yield file, value.children[0] if value.kind == "literal_element" else value
        for statement in file.find("assignment_statement", word):
            left, right = statement["left"].children, statement["right"].children
            for place, value in zip(left, right, strict=False):
                if place.kind == "selector_expression" and place["field"].name == name:
                    meant = file.selection(place)
                    if meant is not None and meant.owner is not None and meant.owner.name == owner:
                        yield file, value


def _is_parameter(file: GoFile, value: Node) -> bool:
    binding = file.binding(value) if value.kind == "identifier" else None
    return binding is not None and binding.kind == "parameter"


def _changes_itself(body: Body, depth: int) -> bool:
    """Return whether a method with a pointer receiver writes its fields, or has it done."""
    function, file = body.node, body.file
    known: dict[Node, bool] = file.package.facts.setdefault("changes itself", {})
    if function in known or depth == 0:
        return known.get(function, False)
    known[function] = False
    known[function] = _writes_fields(file, function, depth)
    return known[function]


def _writes_fields(file: GoFile, function: Node, depth: int) -> bool:
    receiver, block = function.get("receiver"), function.get("body")
    if receiver is None or block is None or b"*" not in receiver.text:
        return False
    if LOCK_CALLS.search(file.data, block.start, block.end) is not None:
        return False
    for node in block.find("selector_expression"):
        operand = node["operand"]
        binding = file.binding(operand) if operand.kind == "identifier" else None
        if binding is None or binding.kind != "receiver" or runs_once(node):
            continue
        selection = file.selection(node)
        if selection is None or held_inside(file, node):
            continue  # under a lock that a helper takes
        if selection.kind == "field":
            text = str(deref(file.type_of(node)))
            if not text.startswith(_OWN_SAFETY) and (
                access_kind(file, node) in _WRITES
                or called_writer(file, node)
                or (changed_by_method(file, node, depth - 1) and not _is_given(file, node))
            ):
                return True
        elif node.field == "function" and node.parent is not None:
            inner = targets(file, node.parent).certain
            if inner is not None and _changes_itself(inner, depth - 1):
                return True
    return False
