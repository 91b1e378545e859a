"""Hooks: methods that an object gives to something it keeps, which calls them under its lock.

l, err := lru.New(size, c.onEvict)      // c.lru = l
func (c *cache) Set(…)                  { c.mu.Lock(); c.lru.Add(…); c.mu.Unlock() }
func (c *cache) onEvict(key string)     { c.size-- }

Or gives all of itself, and the part calls what its interface asks for: `c.lru = newLRU(size, c)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.callers_locks import runs_later
from threadmend.golang.calls import own_callers
from threadmend.golang.locks import LOCK_CALLS, declaration_of, held_at
from threadmend.golang.scope import resolve_local

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl
    from threadmend.golang.syntax import Node

__all__ = ["may_be_called_under"]


def may_be_called_under(file: GoFile, function: Node, lock_class: str) -> bool:
    """Return whether a method is a hook of a part whose methods are called under a lock."""
    decl = declaration_of(file, function)
    if decl is None or not decl.receiver:
        return False
    for site in own_callers(decl, LOCK_CALLS):
        if site.call is None and not runs_later(site):
            for name in _kept_in(site.node):
                if _is_used_under(file, name, lock_class):
                    return True
    return _is_observer(decl, lock_class, _DEPTH)


_DEPTH = 3


def _is_observer(decl: Decl, lock_class: str, depth: int) -> bool:
    """Return whether only a part that knows the whole object calls a method, and all of its kind.

    Nobody here calls it, or only methods of which the same is true.
    """
    if depth == 0 or not decl.receiver:
        return False
    sites = list(own_callers(decl, LOCK_CALLS))
    if decl.exported and not sites:
        return any(_is_used_under(decl.file, name, lock_class) for name in _observed(decl))
    if decl.exported or not sites:
        return False
    above = [declaration_of(s.file, s.node.function) for s in sites if s.node.function is not None]
    return all(s.call is not None and not s.launched for s in sites) and all(
        caller is not None and _is_observer(caller, lock_class, depth - 1) for caller in above
    )


def _observed(decl: Decl) -> frozenset[str]:
    """Return the fields of a type that are made with the object itself among the arguments."""
    package = decl.file.package
    known: dict[str, frozenset[str]] = package.facts.setdefault("observed", {})
    found = known.get(decl.receiver)
    if found is None:
        methods = package.all_methods().get(decl.receiver, {}).values()
        fields: set[str] = set()
        for method in (m for group in methods for m in group if m.has_body and m.sound):
            for node in method.node.find("identifier"):
                if node.parent is not None and node.parent.kind == "argument_list":
                    binding = method.file.binding(node)
                    if binding is not None and binding.kind == "receiver":
                        fields.update(_kept_in(node))
        found = known[decl.receiver] = frozenset(fields)
    return found


def _kept_in(node: Node) -> Iterator[str]:
    """Yield the fields that get the result of the call which is given a method, or the object."""
    call = node.up("call_expression")
    statement = call.statement if call is not None else None
    left = statement.get("left") if statement is not None else None
    if call is None or left is None or node.function is not call.function:
        return
    target = left.children[0]
    if target.kind == "selector_expression":
        yield target["field"].name
        return
    binding = resolve_local(target)
    for use in binding.uses if binding is not None else ():
        assigned = use.parent.parent if use.parent is not None else None
        if use.field != "operand" and assigned is not None:
            if assigned.kind == "assignment_statement":
                for other in assigned["left"].children:
                    if other.kind == "selector_expression":
                        yield other["field"].name
            elif assigned.kind == "keyed_element":
                yield assigned.children[0].name


def _is_used_under(file: GoFile, name: str, lock_class: str) -> bool:
    used = re.compile(rb"\." + re.escape(name.encode()) + rb"\.\w+\(")
    for other in file.package.files:
        for declaration in other.declarations(used) if not other.is_test else ():
            for call in declaration.node.find("call_expression"):
                function = call["function"]
                operand = function.get("operand")
                if operand is None or operand.kind != "selector_expression":
                    continue
                if operand["field"].name == name:
                    if any(h.lock_class == lock_class for h in held_at(other, call)):
                        return True
    return False
