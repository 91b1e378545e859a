"""Callback fields: where a method that is stored in a field of function type is called.

t := &tailer{emit: p.put}      // func (t *tailer) run() { … t.emit(line) … } calls p.put
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.calls import Site, callers
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, deref

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl

__all__ = ["all_sites", "calls_of_stored"]


def all_sites(decl: Decl) -> list[Site] | None:
    """Return the calls of a function, those through fields included; None if not all are seen."""
    found: list[Site] = []
    for site in callers(decl):
        if site.call is not None:
            found.append(site)
            continue
        calls = calls_of_stored(site)
        if calls is None:
            return None
        found += calls
    return found


def calls_of_stored(site: Site) -> list[Site] | None:
    """Return the calls of the field that a function's use as a value is stored in.

    None where it goes anywhere else, where other packages may call the field, or where the field
    is used for anything but a call.
    """
    value = site.node.up("selector_expression") if site.node.field == "field" else site.node
    field = _field_of(site.file, value or site.node)
    if field is None:
        return None
    owner, name = field
    known: dict[tuple[str, str], list[Site] | None]
    known = site.file.package.facts.setdefault("calls of callback fields", {})
    key = (owner.name, name)
    if key not in known:
        known[key] = _calls(site.file, owner, name)
    return known[key]


def _field_of(file: GoFile, value: Node) -> tuple[Named, str] | None:
    """Return the struct of the package and its field that a value is stored in: `emit: p.put`."""
    group = value.parent
    above = group.parent if group is not None else None
    if group is None or above is None:
        return None
    if group.kind == "literal_element" and above.kind == "keyed_element":
        if group is above["key"] or above.parent is None:
            return None
        literal = above.parent
        holder = literal.parent if literal.kind == "literal_value" else literal
        return _own(file, holder, above["key"].text)
    if group.kind == "expression_list" and above.kind == "assignment_statement":
        targets = above["left"].children
        if group.field != "right" or len(targets) != 1 or targets[0].kind != "selector_expression":
            return None
        return _own(file, targets[0]["operand"], targets[0]["field"].text)
    return None


def _own(file: GoFile, holder: Node | None, name: bytes) -> tuple[Named, str] | None:
    type_ = deref(file.type_of(holder)) if holder is not None else None
    if not isinstance(type_, Named) or type_.local or type_.package != file.package.key:
        return None
    if name[:1].isupper() and type_.name[:1].isupper():
        return None  # anybody may call it
    return type_, name.decode()


def _calls(file: GoFile, owner: Named, name: str) -> list[Site] | None:
    found: list[Site] = []
    pattern = re.compile(rb"\.\s*" + re.escape(name.encode()) + rb"\b")
    for other in file.package.files:
        for node in other.find("selector_expression", pattern):
            if node["field"].name != name:
                continue
            selection = other.selection(node)
            if selection is None or selection.owner is None:
                return None
            if (selection.owner.package, selection.owner.name) != (owner.package, owner.name):
                continue
            above = node.parent
            if above is not None and above.kind == "call_expression" and node.field == "function":
                found.append(Site(other, node["field"], above))
            elif not (_is_set(node) or _is_tested(node)):
                return None
    return found or None


def _is_set(node: Node) -> bool:
    group = node.parent
    return group is not None and group.kind == "expression_list" and group.field == "left"


def _is_tested(node: Node) -> bool:
    above = node.parent
    return above is not None and above.kind == "binary_expression" and above["right"].kind == "nil"
