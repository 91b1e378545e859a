"""Results: what the callers of a function do with what it returns.

Whether a slice or map that comes out of a function is changed, or kept for later, where it
comes out. What is passed to code that is not visible counts as read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.access import classify, uses_of
from threadmend.golang.calls import callers
from threadmend.golang.infer import is_decl
from threadmend.golang.mutations import mutated_argument
from threadmend.golang.scope import Binding, bindings_in
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.types import Map
from threadmend.golang.uses import declaration_of

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl

__all__ = ["why_shared"]

_DEPTH = 3
_AROUND = frozenset({"parenthesized_expression", "slice_expression"})


def why_shared(decl: Decl, index: int, depth: int = _DEPTH) -> tuple[Node, str] | None:
    """Return the place where a caller relies on sharing a result, and how; None if nobody does.

    A caller relies on it when it writes through the result, or keeps a map where it will be
    read later.
    """
    if depth == 0:
        return None
    for site in callers(decl):
        if site.call is not None:
            found = _used(site.file, site.call, index, depth)
            if found is not None:
                return found
    return None


def _used(file: GoFile, call: Node, index: int, depth: int) -> tuple[Node, str] | None:
    parent = call.parent
    if parent is None:
        return None
    if parent.kind == "expression_list" and parent.parent is not None:
        statement = parent.parent
        targets = _targets(statement, parent)
        at = index if len(parent.children) == 1 else parent.children.index(call)
        if at < len(targets):
            return _stored(file, targets[at], depth)
    return _value(file, call, index, depth)


def _value(file: GoFile, node: Node, index: int, depth: int) -> tuple[Node, str] | None:
    """Look at the place where a value stands."""
    if classify(node).kind == "store":
        return node, "writes through it"
    parent = node.parent
    while parent is not None and parent.kind in _AROUND and node.field != "index":
        node, parent = parent, parent.parent
    if parent is None:
        return None
    if parent.kind == "unary_expression" and parent["operator"].kind == "&":
        return node, "takes an address in it"
    if parent.kind == "argument_list" and parent.parent is not None:
        return _passed(file, parent.parent, node, depth)
    if parent.kind == "expression_list" and parent.parent is not None:
        statement = parent.parent
        if statement.kind == "return_statement":
            return _returned(file, statement, parent.children.index(node), depth)
        targets = _targets(statement, parent)
        at = parent.children.index(node)
        if at < len(targets):
            return _stored(file, targets[at], depth)
    if parent.kind in {"literal_element", "keyed_element"}:
        return _kept(file, node)
    return None


def _targets(statement: Node, values: Node) -> list[Node]:
    """Return what a list of values is assigned to: variables, fields, declared names."""
    if statement.kind == "var_spec" and values.field == "value":
        return statement.all("name")
    left = statement.get("left")
    return left.children if left is not None and values.field == "right" else []


def _kept(file: GoFile, node: Node) -> tuple[Node, str] | None:
    if isinstance(file.underlying(file.type_of(node)), Map):
        return node, "keeps the map"
    return None


def _stored(file: GoFile, target: Node, depth: int) -> tuple[Node, str] | None:
    if target.kind != "identifier":
        return _kept(file, target)
    binding = file.binding(target)
    if binding is None:
        return _kept(file, target) if is_decl(file.resolve(target), "var") else None
    return _variable(file, binding, depth)


def _variable(file: GoFile, binding: Binding, depth: int) -> tuple[Node, str] | None:
    for use in uses_of(binding):
        if use.kind == "store":
            return use.node, "writes through it"
        if use.kind == "address" and use.target.kind in {"index_expression"}:
            return use.node, "takes an address in it"
        if use.kind == "read" and depth > 0:
            found = _value(file, use.node, 0, depth - 1)
            if found is not None and found[0] is not use.node:
                return found
            if found is not None:
                return use.node, found[1]
    return None


def _passed(file: GoFile, call: Node, argument: Node, depth: int) -> tuple[Node, str] | None:
    """Look at what the called function does with an argument."""
    changed = mutated_argument(file, call)
    if changed is not None and changed.contains(argument):
        return argument, "writes through it"
    function = call["function"]
    if function.kind == "identifier" and function.name == "append":
        return None
    decl = file.callee(call)
    if decl is None or depth <= 0 or not decl.sound:
        return None
    arguments = call["arguments"].children
    position = arguments.index(argument) if argument in arguments else -1
    for group in bindings_in(decl.node).values():
        for binding in group:
            if binding.kind == "parameter" and _position(decl.node, binding) == position:
                return _variable(decl.file, binding, depth - 1)
    return None


def _position(function: Node, binding: Binding) -> int:
    names = [n for d in function["parameters"].children for n in (d.all("name") or [d])]
    return next((i for i, n in enumerate(names) if n is binding.node), -2)


def _returned(file: GoFile, statement: Node, index: int, depth: int) -> tuple[Node, str] | None:
    function = statement.up(*FUNCTIONS)
    if function is None or function.kind == "func_literal":
        return None
    decl = declaration_of(file, function)
    return why_shared(decl, index, depth - 1) if decl is not None else None
