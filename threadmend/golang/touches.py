"""Touches: which fields and package variables a body reads and writes, through its calls.

    for touch in touches_of(file, body): ...

A touch is in the terms of the body: its receiver, parameters, captured and package variables.
At a call it is translated into the caller's; what has no name there is dropped, so that two
equal paths mean one object. Only names that the package writes somewhere are looked at. What
a body launches counts as its own: for those who run beside the body it makes no difference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of, lock_class
from threadmend.golang.calls import code_files
from threadmend.golang.crowds import own_nodes
from threadmend.golang.goroutines import launch_of_literal
from threadmend.golang.guards import access_kind
from threadmend.golang.holding import holding_of, translated
from threadmend.golang.infer import is_decl
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.targets import targets
from threadmend.golang.types import Chan, Named, deref

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package

__all__ = ["Touch", "touches_of"]

# Calls between a body and a touch: fewer in a package of many functions, for the time it takes.
_DEPTHS = ((60_000, 4), (1 << 62, 2))
_MOST = 80
_WRITES = frozenset({"write", "update", "store"})
_SHARED_PACKAGES = frozenset({"sync", "sync/atomic", "go.uber.org/atomic"})


@dataclass(frozen=True, slots=True)
class Touch:
    """One access: the path, whether it writes, the classes of the locks held on the way.

    `path` are the calls that lead to it and the access itself last; `file` is that of the
    access, `place` its class.
    """

    file: GoFile
    access: Access
    writes: bool
    locks: frozenset[str]
    path: tuple[Node, ...]
    place: str

    @property
    def node(self) -> Node:
        """Return the selector or identifier."""
        return self.path[-1]


def touches_of(file: GoFile, body: Node, depth: int | None = None) -> list[Touch]:
    """Return the touches of one run of a body; computed once for each depth."""
    if depth is None:
        depth = _depth(file.package)
    known: dict[tuple[Node, int], list[Touch]] = file.package.facts.setdefault("touches", {})
    key = (body, depth)
    if key not in known:
        known[key] = []
        known[key] = _collect(file, body, depth)
    return known[key]


def _depth(package: Package) -> int:
    known: int | None = package.facts.get("touch depth")
    if known is None:
        size = sum(len(f.data) for f in code_files(package))
        known = next(depth for limit, depth in _DEPTHS if size < limit)
        package.facts["touch depth"] = known
    return known


def _collect(file: GoFile, body: Node, depth: int) -> list[Touch]:
    found: dict[tuple[Access, bool, frozenset[str]], Touch] = {}
    names = _written_names(file.package)
    for node in own_nodes(file, body):
        if node.kind in {"selector_expression", "identifier"}:
            touch = _own(file, body, node, names)
            if touch is not None:
                found.setdefault((touch.access, touch.writes, touch.locks), touch)
        elif node.kind == "call_expression" and depth > 0:
            for touch in _called(file, body, node, depth):
                found.setdefault((touch.access, touch.writes, touch.locks), touch)
        elif node.kind == "func_literal" and node is not body and depth > 0:
            if launch_of_literal(file, node) is not None:
                for touch in touches_of(file, node, depth - 1):
                    found.setdefault((touch.access, touch.writes, touch.locks), touch)
        if len(found) > _MOST:
            break
    return list(found.values())


_ASSIGNED = re.compile(
    rb"\b(\w++)(?:\[[^\]\n]*+\])*+[ \t]*+(?:[-+*/|&^%]?=[^=]|\+\+|--|,[^\n=()]*[^:=!<>\n]=[^=])"
)
_DELETED = re.compile(rb"\b(?:delete|clear|append)\(\s*(?:\w+\.)*(\w+)")


def _written_names(package: Package) -> frozenset[bytes]:
    """Return the names that are assigned somewhere in a package, as far as bytes tell."""
    found: frozenset[bytes] | None = package.facts.get("written")
    if found is None:
        names: set[bytes] = set()
        for file in code_files(package):
            names.update(_ASSIGNED.findall(file.data))
            names.update(_DELETED.findall(file.data))
        found = package.facts["written"] = frozenset(names)
    return found


def _own(file: GoFile, body: Node, node: Node, names: frozenset[bytes]) -> Touch | None:
    if node.kind == "selector_expression":
        if node.children[-1].text not in names:
            return None
        selection = file.selection(node)
        if selection is None or selection.kind != "field" or selection.owner is None:
            return None
    elif (
        node.text not in names
        or node.text == b"_"
        or node.field == "field"
        or not is_decl(file.resolve(node), "var")
    ):
        return None
    kind = access_kind(file, node)
    if kind not in _WRITES and kind != "read":
        return None
    type_ = file.type_of(node)
    named = deref(type_)
    if isinstance(file.underlying(type_), Chan):
        return None
    if isinstance(named, Named) and named.package in _SHARED_PACKAGES:
        return None
    access, place = access_of(file, node), lock_class(file, node)
    if access is None or place is None or any(s.startswith("[") for s in access.steps):
        return None
    return Touch(file, access, kind in _WRITES, _held(file, body, node), (node,), place)


def _held(file: GoFile, body: Node, node: Node) -> frozenset[str]:
    function = node.function
    held: set[str] = set()
    while function is not None:
        held.update(h.lock_class or "?" for h in holding_of(file, function).at(node))
        if function is body:
            break
        node, function = function, function.function
    return frozenset(held)


def _called(file: GoFile, body: Node, call: Node, depth: int) -> list[Touch]:
    decl = file.callee(call)
    if decl is not None:
        if decl.file.package is not file.package or not decl.sound:
            return []
        inner_file, inner = decl.file, decl.node
    else:
        target = targets(file, call).certain
        if target is None or target.file.package is not file.package:
            return []
        inner_file, inner = target.file, target.node
    if inner is body or inner.get("body") is None:
        return []
    found = []
    here: frozenset[str] | None = None
    for touch in touches_of(inner_file, inner, depth - 1):
        access = translated(file, call, inner, touch.access)
        if access is None or any(s.startswith("[") for s in access.steps):
            continue
        if here is None:
            here = frozenset() if _is_launched(call) else _held(file, body, call)
        path = (call, *touch.path)
        found.append(replace(touch, access=access, locks=touch.locks | here, path=path))
    return found


def _is_launched(call: Node) -> bool:
    return call.parent is not None and call.parent.kind == "go_statement"


def is_own(access: Access, body: Node) -> bool:
    """Return whether a path begins at a variable that a body itself declares."""
    root = access.root
    return isinstance(root, Binding) and body.contains(root.node)
