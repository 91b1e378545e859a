"""Awaited flags: what one side hands over by a flag, for which the other side waits.

t.rows = read(key)             t.mu.Lock()                        defer func() { h.done = true … }()
t.mu.Lock()                    for !t.ready { t.cond.Wait() }      h.err = write(b)
t.ready = true                 … t.rows …
for t.ready { t.cond.Wait() }  t.ready = false                    for !h.done { h.cond.Wait() }
t.mu.Unlock()                  t.mu.Unlock()                      return h.err

Both sides take a lock for the flag, and none is needed for what it tells of.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.calls import own_callers
from threadmend.golang.goroutines import outermost_loop
from threadmend.golang.locks import LOCK_CALLS, declaration_of, runs_in_place

if TYPE_CHECKING:
    from threadmend.golang.field_accesses import FieldAccess
    from threadmend.golang.file import GoFile
    from threadmend.golang.guards import Guard
    from threadmend.golang.syntax import Node

__all__ = ["is_handed_over_by_flag"]

_WAIT = re.compile(rb"\.Wait\w*\(")
_UNTIL = re.compile(rb"!\s*[\w.]+\.(\w+)")
_WHILE = re.compile(rb"[\w.]+\.(\w+)")
_SET = re.compile(rb"[\w.]+\.(\w+) = true")
_CALLERS = 2


def is_handed_over_by_flag(access: FieldAccess, guard: Guard) -> bool:
    """Return whether an access and all that conflict with it stand on the two sides of a flag."""
    function = access.node.function
    others = [
        other
        for other in (*guard.locked, *guard.unlocked)
        if other.node.function is not function
        and not other.setup
        and (access.writes or other.writes)
    ]
    if function is None or not others or not any(f.holds(_WAIT) for f in access.file.package.files):
        return False
    awaited = _awaited(access.file, access.node, _CALLERS)
    if awaited and awaited.intersection(*(_set_behind(o.node) for o in others)):
        return True
    told = {flag for flag in _set_behind(access.node) if _keeps_off(access.node, flag)}
    return bool(told) and bool(
        told.intersection(*(_awaited(o.file, o.node, _CALLERS) for o in others))
    )


def _awaited(file: GoFile, node: Node, depth: int) -> set[bytes]:
    """Return the flags for which a function, or all that call it, has waited before a node."""
    function = node.function
    if function is None:
        return set()
    found = {flag for loop, flag in _loops(function, _UNTIL) if loop.end <= node.start}
    for call in function.own():
        if call.kind == "call_expression" and call.end <= node.start and depth > 0:
            decl = file.callee(call)
            if decl is not None and decl.has_body and decl.file.package is file.package:
                found.update(flag for _, flag in _loops(decl.node, _UNTIL))
    if function.kind == "func_literal":
        return found | (_awaited(file, function, depth) if runs_in_place(file, function) else set())
    decl = declaration_of(file, function)
    sites = list(own_callers(decl, LOCK_CALLS)) if decl is not None and depth > 0 else []
    if sites and not any(site.call is None or site.launched for site in sites):
        found |= set.intersection(*(_awaited(s.file, s.node, depth - 1) for s in sites))
    return found


def _loops(function: Node, condition: re.Pattern[bytes]) -> list[tuple[Node, bytes]]:
    """Return the loops that wait while a condition holds, each with the flag in it."""
    found = []
    for loop in function.own():
        if loop.kind == "for_statement" and _WAIT.search(loop.text):
            match = condition.fullmatch(loop.text[3 : loop["body"].start - loop.start].strip())
            if match is not None:
                found.append((loop, match[1]))
    return found


def _set_behind(node: Node) -> set[bytes]:
    """Return the flags that a function sets behind a node, or when it ends."""
    function = node.function
    if function is None:
        return set()
    found = set()
    for statement in function.find("assignment_statement"):
        match = _SET.fullmatch(statement.text)
        if match is None:
            continue
        ends = statement.function is not function and statement.up("defer_statement") is not None
        if ends or (statement.function is function and statement.start > node.end):
            found.add(match[1])
    return found


def _keeps_off(node: Node, flag: bytes) -> bool:
    """Return whether a function that has set a flag comes to a node again only when it is clear."""
    function = node.function
    if function is None or outermost_loop(node) is None:
        return True
    return any(f == flag and loop.start > node.end for loop, f in _loops(function, _WHILE))
