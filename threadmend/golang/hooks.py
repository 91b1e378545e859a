"""Hooks: methods that an object gives to something it keeps, which calls them under its lock.

l, err := lru.New(size, c.onEvict)      // c.lru = l
func (c *cache) Set(…)                  { c.mu.Lock(); c.lru.Add(…); c.mu.Unlock() }
func (c *cache) onEvict(key string)     { c.size-- }
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.callers_locks import runs_later
from threadmend.golang.calls import Site, own_callers
from threadmend.golang.locks import LOCK_CALLS, declaration_of, held_at
from threadmend.golang.scope import resolve_local

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.syntax import Node

__all__ = ["may_be_called_under"]


def may_be_called_under(file: GoFile, function: Node, lock_class: str) -> bool:
    """Return whether a method is a hook of a part whose methods are called under a lock."""
    decl = declaration_of(file, function)
    if decl is None or not decl.receiver:
        return False
    for site in own_callers(decl, LOCK_CALLS):
        if site.call is None and not runs_later(site):
            for name in _kept_in(site):
                if _is_used_under(file, name, lock_class):
                    return True
    return False


def _kept_in(site: Site) -> Iterator[str]:
    """Yield the fields that get the result of the call which is given the method."""
    call = site.node.up("call_expression")
    statement = call.statement if call is not None else None
    left = statement.get("left") if statement is not None else None
    if call is None or left is None or site.node.function is not call.function:
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
