"""Kept calls: where functions are called that a field, or a list in one, keeps.

h.hooks = append(h.hooks, s.idle)        for _, f := range h.hooks { f() }     // here
t := &timers{notify: r.finish}           t.notify(name, err)                   // and here
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.callers_locks import caller_classes, runs_later
from threadmend.golang.calls import leaf_at, occurrences, own_callers
from threadmend.golang.field_accesses import sources
from threadmend.golang.functions import outer_function
from threadmend.golang.goroutines import Launch, launch_of_literal, launches_in
from threadmend.golang.locks import LOCK_CALLS, declaration_of, held_at
from threadmend.golang.scope import resolve_local
from threadmend.golang.types import Named, deref

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package
    from threadmend.golang.syntax import Node

    Place = tuple[GoFile, Node]

__all__ = ["is_kept", "kept_calls", "kept_launch", "kept_without_lock"]

_ASIDE = frozenset({"len", "cap", "delete", "clear", "make"})


def kept_calls(decl: Decl) -> list[Place] | None:
    """Return the calls of a function through the fields that keep it.

    None if it may be called elsewhere too: it is kept in a variable, handed on, or the field
    is one that other packages know.
    """
    known: dict[tuple[str, int], list[Place] | None]
    known = decl.file.package.facts.setdefault("kept calls", {})
    if decl.key not in known:
        known[decl.key] = None
        known[decl.key] = _kept_calls(decl)
    return known[decl.key]


def _kept_calls(decl: Decl) -> list[Place] | None:
    found: list[Place] = []
    for site in own_callers(decl, LOCK_CALLS):
        if site.call is not None or runs_later(site):
            continue
        value = site.node.parent if site.node.field == "field" else site.node
        field = _keeper(site.file, value) if value is not None else None
        if field is None:
            return None
        calls = _calls_of(decl.file.package, *field)
        if calls is None:
            return None
        found.extend(calls)
    return found


def kept_without_lock(decl: Decl) -> bool:
    """Return whether all who call a function through a field that keeps it hold no lock at all."""
    calls = kept_calls(decl)
    return calls is not None and not any(_may_hold(file, call) for file, call in calls)


def kept_launch(decl: Decl) -> Launch | None:
    """Return a launch whose goroutine calls a function through a field that keeps it."""
    for file, call in kept_calls(decl) or ():
        function = call.function
        while function is not None and function.kind == "func_literal":
            launch = launch_of_literal(file, function)
            if launch is not None:
                return launch
            function = function.function
        own = declaration_of(file, function) if function is not None else None
        for site in own_callers(own, LOCK_CALLS) if own is not None else ():
            if site.launched and site.call is not None:
                found = launches_in(site.file, site.node.function or call)
                launch = next((x for x in found if x.call is site.call), None)
                if launch is not None:
                    return launch
    return None


_KEPT = re.compile(rb"(?::|=|,|append\([^()\n]*,)[ \t]*\w+(?:\.\w+)*\.(\w+)[ \t]*(?=[,}\n)])")


def is_kept(decl: Decl) -> bool:
    """Return whether a method may be kept as a value, by what its package's bytes say."""
    package = decl.file.package
    known: frozenset[bytes] | None = package.facts.get("kept names")
    if known is None:
        names = (m[1] for file in sources(package) for m in _KEPT.finditer(file.data))
        known = package.facts["kept names"] = frozenset(names)
    return decl.name.encode() in known


def _may_hold(file: GoFile, call: Node) -> bool:
    if held_at(file, call):
        return True
    function = call.function
    while function is not None and function.kind == "func_literal":
        if launch_of_literal(file, function) is not None:
            return False
        function = function.function
    outer = outer_function(call)
    return outer is None or bool(caller_classes(file, outer))


def _keeper(file: GoFile, value: Node) -> tuple[Named, str] | None:
    """Return the field that a value goes to: `notify: v`, `t.notify = v`, `append(t.all, v)`."""
    holder = value.parent
    if holder is None:
        return None
    if holder.kind == "literal_element":
        element = holder.parent
        literal = element.parent if element is not None else None
        key = element.get("key") if element is not None else None
        if literal is None or element is None or element.kind != "keyed_element" or key is None:
            return None
        if key is holder or not _is_identifier(key):
            return None
        return _field(file.type_of(literal.parent), key.name) if literal.parent else None
    if holder.kind == "argument_list" and holder.parent is not None:
        call, arguments = holder.parent, holder.children
        if call["function"].text != b"append" or arguments[0] is value:
            return None
        return _selected(file, arguments[0])
    if holder.kind == "expression_list" and holder.field == "right" and holder.parent is not None:
        left = holder.parent["left"].children
        if holder.parent.kind != "assignment_statement" or len(left) != len(holder.children):
            return None
        at = next(i for i, c in enumerate(holder.children) if c is value)
        return _selected(file, left[at])
    return None


def _is_identifier(key: Node) -> bool:
    return key.name.isidentifier()


def _selected(file: GoFile, node: Node) -> tuple[Named, str] | None:
    while node.kind == "index_expression":
        node = node["operand"]
    if node.kind != "selector_expression":
        return None
    selection = file.selection(node)
    if selection is None or selection.kind != "field":
        return None
    return _field(selection.owner, selection.name)


def _field(type_: object, name: str) -> tuple[Named, str] | None:
    owner = deref(type_)  # type: ignore[arg-type]
    if not isinstance(owner, Named) or owner.local or name[:1].isupper():
        return None
    return owner, name


def _calls_of(package: Package, owner: Named, name: str) -> list[Place] | None:
    """Return the calls of what a field holds, None if it goes anywhere else."""
    known: dict[tuple[str, str], list[Place] | None]
    known = package.facts.setdefault("calls of fields", {})
    key = (owner.name, name)
    if key not in known:
        known[key] = None if owner.package != package.key else _found_calls(package, owner, name)
    return known[key]


def _found_calls(package: Package, owner: Named, name: str) -> list[Place] | None:
    found: list[Place] = []
    for file in sources(package):
        for node in _selectors(file, owner, name):
            calls = _called(file, node)
            if calls is None:
                return None
            found.extend((file, call) for call in calls)
    return found


def _selectors(file: GoFile, owner: Named, name: str) -> Iterator[Node]:
    for at in occurrences(file.data, name.encode()):
        declaration = file.tree.declaration_at(at)
        leaf = leaf_at(declaration, at) if declaration is not None else None
        node = leaf.parent if leaf is not None and leaf.field == "field" else None
        if node is None or node.kind != "selector_expression":
            continue
        selection = file.selection(node)
        found = deref(selection.owner) if selection is not None else None
        if selection is None or (isinstance(found, Named) and found.name == owner.name):
            yield node


def _called(file: GoFile, node: Node) -> list[Node] | None:
    """Return the calls that a use of a field, of its element, or of its value makes."""
    holder = node.parent
    while holder is not None and (
        holder.kind == "parenthesized_expression"
        or (holder.kind in {"index_expression", "slice_expression"} and node.field == "operand")
    ):
        node, holder = holder, holder.parent
    if holder is None:
        return None
    if holder.kind == "call_expression" and node.field == "function":
        return [holder]
    if holder.kind == "binary_expression":
        return [] if b"nil" in {holder["left"].text, holder["right"].text} else None
    if holder.kind == "argument_list" and holder.parent is not None:
        function, own = holder.parent["function"].text, holder.children[0] is node
        if function.decode() in _ASIDE:
            return []
        statement = holder.parent.statement
        grows = function == b"append" and own and statement is not None
        if grows and statement is not None and statement.kind == "assignment_statement":
            return [] if statement["left"].children[0].text == node.text else None
        return None
    if holder.kind == "expression_list" and holder.field == "left":
        return []
    if holder.kind == "range_clause" and node.field == "right":
        left = holder.get("left")
        names = left.children[1:] if left is not None else []
        return _of_variable(names[0]) if names else []
    if holder.kind == "expression_list" and holder.field == "right":
        return _of_values(holder, node)
    return None


def _of_values(values: Node, node: Node) -> list[Node] | None:
    """Return the calls of a variable that gets a field's value: `f := t.notify`."""
    statement = values.parent
    if statement is None or statement.kind != "short_var_declaration":
        return None
    left = statement["left"].children
    at = next(i for i, c in enumerate(values.children) if c is node)
    return _of_variable(left[at]) if at < len(left) else None


def _of_variable(name: Node) -> list[Node] | None:
    """Return the calls of a variable that holds a function, None if it goes anywhere else."""
    binding, found = resolve_local(name), []
    if name.text == b"_":
        return []
    if binding is None:
        return None
    for use in binding.uses:
        holder = use.parent
        if use is name or holder is None:
            continue
        if holder.kind == "call_expression" and use.field == "function":
            found.append(holder)
        elif holder.kind != "binary_expression":
            return None
    return found
