"""Lock needs: whether a function takes the lock of a pair on the way to one of its operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.access import Access
from threadmend.golang.calls import callers
from threadmend.golang.effects import Event, Pair, effects_of
from threadmend.golang.flow import Flow, Point, flow_of
from threadmend.golang.lock_relations import is_foreign, related
from threadmend.golang.locks import declaration_of, entry_locks, locks_of
from threadmend.golang.syntax import Node
from threadmend.golang.targets import Body
from threadmend.golang.uses import is_api
from threadmend.golang.wording import translated

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["is_wanted", "needs_lock"]


def needs_lock(
    file: GoFile, node: Node, access: Access | None, pair: Pair
) -> tuple[Node | None] | None:
    """Return where the function around an operation takes the lock before it gets there."""
    function = node.function
    if function is None:
        return None
    flow = flow_of(function)
    at = flow.point_of(node)
    wanted = pair.held.lock_class
    deferred = node.parent is not None and node.parent.kind == "defer_statement"
    literal = function if function.kind == "func_literal" and function.is_deferred else None
    if function.kind == "func_literal" and function.is_deferred:
        outer = function.function
        if outer is None or function.parent is None:
            return None
        function, flow, deferred = outer, flow_of(outer), True
        at = flow.point_of(function)
    launched = _reached_from_launch(flow, function, pair)
    for event in effects_of(Body(file, function)):
        if not is_wanted(event, access, pair, function):
            continue
        if node.parent is not None and node.parent.kind != "defer_statement":
            if any(n.function is literal and n.start > node.start for n in event.path if literal):
                continue  # `defer func() { wg.Done(); s.stop() }()`: what comes behind it
        start = flow.point_of(event.path[0])
        if start is None or (launched is not None and start not in launched):
            continue
        if pair.event.mode == "wait" and _is_counted_later(flow, node, start):
            continue
        if deferred or (at is not None and at in flow.reachable(start)):
            return (event.path[0],)
    around = _in_a_round(file, function, access, pair)
    if around is not None or function.kind == "func_literal":
        return around
    released = {o.lock_class for o in locks_of(file, function).operations if o.releases}
    for held in entry_locks(file, function):
        if held.lock_class == wanted and wanted not in released:
            if related(pair, held.access, access):
                return (None,)
    return None


def _is_counted_later(flow: Flow, done: Node, lock: Point) -> bool:
    """Return whether a function counts itself after it had the lock: nobody waits for it before.

    `s.mu.Lock(); …; s.wg.Add(1); defer s.wg.Done(); s.mu.Unlock()`
    """
    called = done.get("function") if done.kind == "call_expression" else None
    add = called.text.removesuffix(b"Done") + b"Add" if called is not None else b""
    for node in flow.function.own():
        if node.kind == "call_expression" and node["function"].text == add:
            point = flow.point_of(node)
            if point is not None and point in flow.reachable(lock):
                return lock not in flow.reachable(point)
    return False


def _reached_from_launch(flow: Flow, function: Node, pair: Pair) -> set[Point] | None:
    """Return what a function comes to once it has launched who waits; None if it does not.

    What it locks before that, it has given back, or nobody could wait under the lock.
    """
    inner: Node | None = pair.node
    while inner is not None and inner.function is not function:
        inner = inner.function
    statement = inner.up("go_statement") if inner is not None else None
    start = flow.point_of(statement) if statement is not None else None
    return flow.reachable(start) if start is not None else None


def _in_a_round(
    file: GoFile, function: Node, access: Access | None, pair: Pair, depth: int = 2
) -> tuple[Node | None] | None:
    """Return where those who call a function take the lock between two calls of it.

    `for { s.next() }`, where `next` receives first and locks afterwards. All callers have to
    be in sight, and to call it in such a loop.
    """
    decl = declaration_of(file, function) if function.kind != "func_literal" else None
    if decl is None or depth == 0 or pair.event.mode == "wait" or is_api(decl):
        return None
    takes: tuple[Node | None] | None = None
    for site in callers(decl) if pair.file.is_test else callers(decl).in_code():
        outer = site.node.function
        if site.call is None or site.launched or outer is None:
            return None
        given = translated(site.file, site.call, function, access)
        takes = _between_rounds(site.file, site.call, outer, given, pair)
        takes = takes or _in_a_round(site.file, outer, given, pair, depth - 1)
        if takes is None:
            return None
    return takes


def _between_rounds(
    file: GoFile, call: Node, function: Node, access: Access | None, pair: Pair
) -> tuple[Node | None] | None:
    flow = flow_of(function)
    at = flow.point_of(call)
    following = flow.reachable(at) if at is not None else set()
    if at is None or at not in following:
        return None
    for event in effects_of(Body(file, function)):
        if is_wanted(event, access, pair):
            start = flow.point_of(event.path[0])
            if start in following and (start is at or at in flow.reachable(start)):
                return (event.path[0],)
    return None


def is_wanted(
    event: Event, access: Access | None, pair: Pair, function: Node | None = None
) -> bool:
    """Return whether an event takes the lock that the pair holds, so that it waits.

    Or one of its class that a function value brings along into `function`.
    """
    if event.kind != "acquire" or not event.sure or event.lock_class != pair.held.lock_class:
        return False
    if pair.held.mode == "read" and event.mode == "read":
        return False
    if function is not None and is_foreign(event.access, function):
        return True
    return related(pair, event.access, access)
