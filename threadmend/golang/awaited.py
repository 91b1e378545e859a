"""Awaited: goroutines whose launcher holds a lock until they are done.

s.mu.Lock()                          s.pool is guarded inside of the goroutines as well: who
defer s.mu.Unlock()                  else wants it waits for the lock, until Wait is over.
for i := range s.pool {              To take the lock in there would be a deadlock.
    g.Go(func() error { … s.pool[i] = nil … })
}
return g.Wait()
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.calls import own_callers
from threadmend.golang.count_helpers import count_call, waits
from threadmend.golang.functions import outer_function
from threadmend.golang.goroutines import innermost_loop, launches_in
from threadmend.golang.locks import LOCK_CALLS, declaration_of, held_at
from threadmend.golang.pauses import pauses
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.field_accesses import FieldAccess
    from threadmend.golang.file import GoFile

__all__ = [
    "awaited_under",
    "comes_after_wait",
    "end_awaited_under",
    "has_waited",
    "runs_after_wait",
]


def awaited_under(file: GoFile, node: Node, lock_class: str, depth: int = 2) -> bool:
    """Return whether a node runs in goroutines that are awaited with a lock of a class held.

    The node stands in the goroutine's literal, at any depth, or is what launches it, or in a
    function that such a goroutine calls; an exported one when nobody else here calls it.
    """
    at = node
    while at.function is not None:
        if _waits_behind(file, at, lock_class):
            return True
        at = at.function
    decl = declaration_of(file, at) if depth > 0 else None
    if decl is None:
        return False
    sites = list(own_callers(decl, LOCK_CALLS))
    awaited = (awaited_under(s.file, s.node, lock_class, depth - 1) for s in sites)
    return bool(sites) and (all(awaited) if decl.exported else any(awaited))


def end_awaited_under(access: FieldAccess, lock_class: str) -> bool:
    """Return whether somebody waits with the lock held until an access's function has ended.

    `func (s *S) work() { … s.name …; close(s.stopped) }`, where `s.mu.Lock(); <-s.stopped` comes
    before `s.name` is written: to take the lock in there would be a deadlock.
    """
    function = outer_function(access.node)
    body = function.get("body") if function is not None else None
    if body is None or access.node.function is not function:
        return False
    for node in body.own():
        if node.kind != "call_expression" or not _tells_end(node, access.node):
            continue
        field = node["arguments"].children[0]["field"].name
        pattern = re.compile(rb"<-[\w.]*\." + re.escape(field.encode()) + rb"\b")
        for other in access.file.package.files:
            for declaration in other.declarations(pattern):
                for receive in declaration.node.find("unary_expression"):
                    if pattern.fullmatch(receive.text) and _holds(other, receive, lock_class):
                        return True
    return False


def _tells_end(call: Node, access: Node) -> bool:
    """Return whether a call closes a field's channel after an access, or when all is over."""
    given = call["arguments"].children
    if call["function"].name != "close" or len(given) != 1:
        return False
    is_deferred = call.parent is not None and call.parent.kind == "defer_statement"
    return given[0].kind == "selector_expression" and (is_deferred or call.start > access.end)


def _waits_behind(file: GoFile, launch: Node, lock_class: str) -> bool:
    function = launch.function
    assert function is not None
    if not _holds(file, launch, lock_class):
        return False
    ends = [p.node for p in pauses(file, function)]
    ends += [
        call for call in function.own() if call.kind == "call_expression" and waits(file, call)
    ]
    return any(end.start > launch.end and _holds(file, end, lock_class) for end in ends)


def _holds(file: GoFile, node: Node, lock_class: str) -> bool:
    return any(held.lock_class == lock_class for held in held_at(file, node))


def runs_after_wait(file: GoFile, node: Node) -> bool:
    """Return whether a function runs only when its callers have waited for all they launched.

    `for … { go c.collect(x, done) }; for … { <-done }; return c.result()`
    """
    function = outer_function(node)
    decl = declaration_of(file, function) if function is not None else None
    if decl is None or decl.exported or node.function is not function:
        return False
    sites = list(own_callers(decl, LOCK_CALLS))
    return bool(sites) and all(
        s.call is not None and not s.launched and has_waited(s.file, s.call) for s in sites
    )


def comes_after_wait(access: FieldAccess) -> bool:
    """Return whether a read comes after `x.wg.Wait()`, for a WaitGroup of the same object.

    For a package variable: one of the function, also in a goroutine that it launches later.
    """
    if access.base is None:
        return not access.writes and _comes_after_own_wait(access)
    function = access.node.function
    root = access.base.root
    if function is None or access.writes or not isinstance(root, Binding):
        return False
    body = function.get("body")
    for statement in body.statements if body is not None else ():
        if statement.start >= access.node.start:
            return False
        call = statement.children[0] if statement.kind == "expression_statement" else None
        if call is None or call.kind != "call_expression":
            continue
        wait = count_call(access.file, call)
        if wait is not None and wait.method == "Wait" and wait.access is not None:
            if wait.access.root is root and wait.access.steps:
                return True
    return False


def _comes_after_own_wait(access: FieldAccess) -> bool:
    """Return whether a function has waited for the goroutines that it launched before a read."""
    function = outer_function(access.node)
    body = function.get("body") if function is not None else None
    launched = False
    for statement in body.statements if body is not None else ():
        if statement.end > access.node.start:
            return False
        launched = launched or any(n.kind == "go_statement" for n in statement.walk())
        call = statement.children[0] if statement.kind == "expression_statement" else None
        if launched and call is not None and call.kind == "call_expression":
            wait = count_call(access.file, call)
            if wait is not None and wait.method == "Wait" and wait.access is not None:
                if not wait.access.steps:
                    return True
    return False


def has_waited(file: GoFile, place: Node) -> bool:
    """Return whether a function has waited for all that it launched when it comes to a place."""
    function = place.function
    if function is None:
        return False
    own = list(function.own())
    launches = [each.node for each in launches_in(file, function) if each.function is function]
    if not launches or place.start < launches[-1].end:
        return False
    alone = len(launches) == 1 and innermost_loop(launches[0]) is None
    between = (node for node in own if launches[-1].end <= node.start and node.end <= place.start)
    return any(_waits_for_all(file, node, alone) for node in between)


def _waits_for_all(file: GoFile, node: Node, alone: bool) -> bool:
    if node.kind == "call_expression":
        return waits(file, node)
    if node.kind != "unary_expression" or node["operator"].kind != "<-":
        return False
    return alone or innermost_loop(node) is not None
