"""Changes in place through a local name that stands for a part of something else.

route := &t.routes[host][i]          labels := r.find(target)    // return r.byTarget[target]
route.Weight = n                     labels[key] = value
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from threadmend.golang.access import Use, uses_of
from threadmend.golang.calls import callers
from threadmend.golang.flow import flow_of
from threadmend.golang.functions import only_returned
from threadmend.golang.mutations import Mutation, containers_of, last_name, mutated_argument
from threadmend.golang.node import bare
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Declaration, Node
from threadmend.golang.types import Array, Map, Pointer, Slice

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package

__all__ = ["through_getters", "through_locals"]

_PATHS = frozenset({"selector_expression", "index_expression", "identifier"})
_DECLARES = ("short_var_declaration", "var_spec")


class _Part(NamedTuple):
    """What a value refers to: a path in `file`; `pointer`: it is the address of that."""

    file: GoFile
    path: Node
    pointer: bool


def through_locals(
    file: GoFile, declaration: Declaration, pattern: re.Pattern[bytes], name: str
) -> Iterator[Mutation]:
    """Yield what locals of a declaration change of the containers with a name."""
    for kind in _DECLARES:
        for node in declaration.index.get(kind, ()):
            if pattern.search(file.data, node.start, node.end):
                for local, value in _pairs(node):
                    part = _part(file, value)
                    if part is not None and last_name(part.path) == name:
                        yield from _changes(file, local, part)


def through_getters(package: Package, pattern: re.Pattern[bytes], name: str) -> Iterator[Mutation]:
    """Yield what is changed through the result of a method that returns such a container."""
    for decl in package.functions():
        if decl.kind != "method" or not pattern.search(decl.file.data, *decl.span):
            continue
        part = _returned(decl)
        if part is None or last_name(part.path) != name:
            continue
        for site in callers(decl):
            values = site.call.parent if site.call is not None else None
            node = values.parent if values is not None else None
            if site.file.is_test or node is None or node.kind not in _DECLARES:
                continue
            for local, value in _pairs(node):
                if value is site.call:
                    yield from _changes(site.file, local, part)


def _pairs(node: Node) -> Iterator[tuple[Node, Node]]:
    """Yield the names that a declaration makes, each with its value: `v, ok := m[k]` has one."""
    short = node.kind == "short_var_declaration"
    names = node["left"].children if short else node.all("name")
    values = node.get("right" if short else "value")
    found = values.children if values is not None else []
    if len(found) == len(names):
        yield from zip(names, found, strict=True)
    elif len(names) == 2 and len(found) == 1 and bare(found[0]).kind == "index_expression":
        yield names[0], found[0]


def _part(file: GoFile, value: Node) -> _Part | None:
    value = bare(value)
    pointer = value.kind == "unary_expression" and value["operator"].kind == "&"
    path = bare(value["operand"]) if pointer or value.kind == "slice_expression" else value
    if path.kind not in _PATHS or (path.kind == "identifier" and file.binding(path) is not None):
        return None
    if not pointer and not isinstance(file.underlying(file.type_of(path)), Slice | Map):
        return None
    return _Part(file, path, pointer)


def _returned(decl: Decl) -> _Part | None:
    """Return what a method returns that does nothing else."""
    value = only_returned(decl.node) if decl.sound else None
    return _part(decl.file, value) if value is not None else None


def _changes(file: GoFile, local: Node, part: _Part) -> Iterator[Mutation]:
    binding = file.binding(local)
    if binding is None or binding.node is not local:
        return
    for use in uses_of(binding):
        statement = use.node.statement
        if statement is None or not _is_changed(file, use, part.pointer):
            continue
        if _keeps(binding, use.node):
            yield Mutation(file, statement, part.path, "store", part.file)
            if part.pointer:
                for container in containers_of(part.file, part.path):
                    yield Mutation(file, statement, container, "store", part.file)


def _is_changed(file: GoFile, use: Use, pointer: bool) -> bool:
    """Return whether a use changes what the local refers to, and no other object behind that."""
    if use.kind != "store":
        outer = use.node.parent
        call = outer.parent if outer is not None and outer.kind == "argument_list" else None
        changed = call is not None and call.kind == "call_expression"
        return changed and not pointer and mutated_argument(file, call) is use.node  # type: ignore[arg-type]
    node = bare(use.target)
    if node is use.node:
        return not pointer  # delete(local, k)
    while node is not use.node:
        inner = bare(node["operand"]) if node.get("operand") is not None else None
        if inner is None or node.kind == "slice_expression":
            return False
        under = file.underlying(file.type_of(inner))
        if isinstance(under, Pointer) or node.kind == "unary_expression":
            return pointer and inner is use.node
        if node.kind == "index_expression" and not isinstance(under, Array):
            return not pointer and inner is use.node
        node = inner
    return False


def _keeps(binding: Binding, node: Node) -> bool:
    """Return whether the local may still have its first value at a use."""
    writes = [u.node for u in uses_of(binding) if u.kind == "write"]
    function = node.function
    if not writes or function is None or binding.function is not function:
        return True
    flow = flow_of(function)
    start, end = flow.point_of(binding.node), flow.point_of(node)
    if start is None or end is None:
        return False
    others = {p for w in writes if (p := flow.point_of(w)) is not None and p is not end}
    return end in flow.reachable(start, stop=others.__contains__)
