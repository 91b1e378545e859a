"""Preparing: why an access without its lock may be right, from what the function does around it.

It sets a field up before it launches the goroutines that share it, or is such a goroutine, or it
took the lock itself, under a condition of its caller's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from threadmend.golang.calls import own_callers
from threadmend.golang.functions import outer_function
from threadmend.golang.goroutines import outermost_loop, started_by
from threadmend.golang.lock_calls import helped_locks
from threadmend.golang.locks import LOCK_CALLS, declaration_of
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.field_accesses import FieldAccess
    from threadmend.golang.file import GoFile
    from threadmend.golang.flow import Point
    from threadmend.golang.guards import Guard
    from threadmend.golang.locks import LockOperation, Locks

__all__ = ["is_set_up_for", "may_be_held", "prepares", "sets_up_once"]

_LAUNCHES = re.compile(rb"\bgo\s+[\w(]|\.Go\(")
_DEPTH = 3


def prepares(access: FieldAccess) -> bool:
    """Return whether a method sets a field before it launches the goroutines that share it.

    Or a part of it: `r.state.ch = make(chan struct{})`. Goroutines that run already have no use
    for a map, slice or channel that is only made here.
    """
    statement, function = access.node.statement, access.node.function
    if statement is None or function is None:
        return False
    if _is_set_anew(access, statement, function):
        return True
    if access.kind not in {"write", "store"}:
        return False
    if statement.kind != "assignment_statement" or statement.up("for_statement") is not None:
        return False
    data = access.file.data
    before = _LAUNCHES.search(data, function.start, statement.start) is not None
    after = _LAUNCHES.search(data, statement.end, function.end) is not None
    if after and not before:
        return True
    made = access.kind == "write" and any(_is_made(v) for v in statement["right"].children)
    return made and (after or _calls_launcher(access, statement, function))


def _is_set_anew(access: FieldAccess, statement: Node, function: Node) -> bool:
    """Return whether a function makes what a field holds, goes on to fill it, and then launches.

    `s.links = nil; for _, a := range addrs { s.links = append(s.links, dial(a)) }; go s.watch()`
    """
    text, data = access.node.text, access.file.data
    body = function.get("body")
    made = next(
        (
            above
            for above in (body.statements if body is not None else ())
            if above.kind == "assignment_statement"
            and above.end <= statement.start
            and above["left"].text == text
            and all(_is_made(v) or v.kind == "nil" for v in above["right"].children)
        ),
        None,
    )
    if made is None or function.kind == "func_literal":
        return False
    loop = outermost_loop(statement)
    end = loop.end if loop is not None else statement.end
    launches = [m.start() for m in _LAUNCHES.finditer(data, function.start, function.end)]
    return any(at >= end for at in launches) and all(at >= end for at in launches)


def _is_made(value: Node) -> bool:
    return value.kind == "call_expression" and value["function"].text == b"make"


def _calls_launcher(access: FieldAccess, statement: Node, function: Node) -> bool:
    """Return whether the function goes on to call a method of the object that launches."""
    root = access.base.root if access.base is not None else None
    for call in function.own():
        if call.kind != "call_expression" or call.start < statement.end:
            continue
        target = call["function"]
        if target.kind != "selector_expression" or access.file.binding(target["operand"]) != root:
            continue
        decl = access.file.callee(call)
        if decl is not None and root is not None:
            start, end = decl.span
            if _LAUNCHES.search(decl.file.data, start, end) is not None:
                return True
    return False


def is_set_up_for(access: FieldAccess, guard: Guard) -> bool:
    """Return whether a goroutine reads what its launcher sets up once, before the launch.

    What it then writes itself does not matter.
    """
    function = outer_function(access.node)
    if access.writes or function is None:
        return False
    every = [a for a in (*guard.locked, *guard.unlocked) if a.writes and not a.setup]
    writes = [a for a in every if outer_function(a.node) is not function]
    launches = list(_launches_of(access.file, function, _DEPTH))
    return bool(launches and writes) and all(
        launch is not None and sets_up_once(write.node, launch)
        for write in writes
        for launch in launches
    )


def _launches_of(file: GoFile, function: Node, depth: int) -> Iterator[Node | None]:
    """Yield the statements that launch a function or its callers, None for any other way in."""
    decl = declaration_of(file, function)
    sites = list(own_callers(decl, LOCK_CALLS)) if decl is not None and depth > 0 else []
    for site in sites:
        caller = outer_function(site.node)
        start = started_by(decl, site) if decl is not None else None
        if start is not None:
            yield start.statement
        elif site.call is None or caller is None or caller is function:
            yield None
        else:
            yield from _launches_of(site.file, caller, depth - 1)
    if not sites:
        yield None


def sets_up_once(node: Node, launch: Node) -> bool:
    """Return whether a write is done once, by the function that launches the other one after it.

    `if s.ctx != nil { return }; s.ctx = …; go s.run()`: who comes later finds it done.
    """
    function = node.function
    if function is None or launch.function is not function or launch.start < node.end:
        return False
    for test in function.own():
        if test.kind != "if_statement" or test.start > node.start:
            continue
        last = test["consequence"].statements[-1:]
        if test.contains(node) or not last or last[0].kind != "return_statement":
            continue
        for binary in test["condition"].find("binary_expression"):
            sides = binary["left"].text, binary["right"].text
            if binary["operator"].kind == "!=" and sides == (node.text, b"nil"):
                return True
    return False


def may_be_held(file: GoFile, node: Node, lock_class: str | None = None) -> bool:
    """Return whether the function took a lock in a branch above: `if lock { mu.Lock(); … }`.

    Or gives one back behind the node that it has not taken on that way: a goroutine that it waits
    for has left it locked. One of this class, or any.
    """
    function = node.function
    if function is None:
        return False
    locks = helped_locks(file, function)
    ours = [o for o in locks.operations if lock_class is None or o.lock_class == lock_class]
    here = locks.flow.point_of(node) if ours else None
    given_back = (locks.flow.point_of(o.call) for o in ours if o.releases and not o.deferred)
    releases = {point for point in given_back if point is not None}
    if here is not None and _is_given_back(locks, here, ours, releases):
        return True
    for operation in ours:
        block = operation.call.up("block")
        around = block.parent if block is not None else None
        start = locks.flow.point_of(operation.call)
        if not operation.acquires or block is None or block.contains(node):
            continue
        if around is None or around.kind != "if_statement" or start is None or here is None:
            continue
        if here in locks.flow.reachable(start, stop=releases.__contains__, feasible=False):
            return True
    return False


def _is_given_back(
    locks: Locks, here: Point, operations: Sequence[LockOperation], releases: set[Point]
) -> bool:
    """Return whether every way on from a point comes to a release, and to none of what takes."""
    if not releases or here in releases:
        return False
    way = locks.flow.reachable(here, stop=releases.__contains__, feasible=False)
    takes = (locks.flow.point_of(o.call) for o in operations if o.acquires)
    if any(point in way for point in takes):
        return False
    exits = locks.flow.exits_from(here, stop=releases.__contains__, feasible=False)
    return not any(e.kind != "panic" for e in exits)
