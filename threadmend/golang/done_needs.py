"""Done needs: the calls of Done, and the bodies of `wg.Go`, that need the lock of who waits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of, lock_class
from threadmend.golang.calls import callers
from threadmend.golang.count_helpers import count_call, helper_names, home
from threadmend.golang.counted_spawners import (
    counted_argument,
    counted_names,
    group_class,
    group_of,
)
from threadmend.golang.effects import Pair, effects_of
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import launch_of_literal
from threadmend.golang.groups import is_group
from threadmend.golang.lock_needs import is_wanted, needs_lock
from threadmend.golang.lock_relations import needed_by_given, related
from threadmend.golang.locks import declaration_of, held_at, locks_of
from threadmend.golang.scope import Binding, argument_of
from threadmend.golang.syntax import Node
from threadmend.golang.targets import Body, bodies_of_value
from threadmend.golang.waitgroups import WaitGroupCall, waitgroup_call, waitgroup_calls
from threadmend.golang.wording import translated

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["done_needing_lock"]


def done_needing_lock(pair: Pair) -> tuple[Node, Node | None] | None:
    """Return a Done, or the body of a `wg.Go`, that needs the lock, and where it takes it."""
    wanted = pair.event.lock_class
    if wanted is None:
        return None
    for file in pair.file.package.files:
        if file.is_test and not pair.file.is_test:
            continue
        names = counted_names(file.package)
        for call in file.calls(*names) if names else ():
            if group_class(file, call) == wanted:
                given = counted_argument(file, call)
                takes = _body_needs(file, given, group_of(file, call), pair) if given else None
                if takes is not None:
                    return call, takes[0]
        for call in file.calls("Done", "Go", "TryGo", *helper_names(file.package, "Done")):
            found = count_call(file, call) or _group_call(file, call)
            if found is None or found.method not in {"Done", "Go"}:
                continue
            where, inner = home(file, found)
            if lock_class(where, inner.waitgroup) != wanted:
                given_to = _needs_given(file, found, wanted, pair)
                if given_to is not None:
                    return call, given_to[0]
                continue
            if found.method == "Done":
                if call.function in {pair.function, pair.event.operation.function}:
                    continue
                if _is_counted_under(file, found, pair):
                    continue
                takes = needs_lock(file, call, found.access, pair)
                first = needed_by_given(pair, call.function) if call.function else None
                takes = (first,) if takes is None and first is not None else takes
                if takes is not None and _is_done_before(file, call, wanted, pair):
                    continue
            else:
                takes = _body_needs(file, call["arguments"].children[0], found.access, pair)
            if takes is not None:
                return call, takes[0]
    return None


def _needs_given(
    file: GoFile, done: WaitGroupCall, wanted: str, pair: Pair
) -> tuple[Node | None] | None:
    """Return where a function that is given the WaitGroup takes the lock before its Done.

    `go s.deliver(m, &wg)`, launched by the function that waits.
    """
    root, function = done.access.root if done.access is not None else None, done.call.function
    if not isinstance(root, Binding) or root.kind != "parameter" or root.scope is not function:
        return None
    decl, flow = declaration_of(file, root.scope), flow_of(root.scope)
    if decl is None or done.method != "Done" or len(pair.event.path) != 1:
        return None
    for site in callers(decl):
        launched = launch_of_literal(site.file, site.node.function or site.node)
        outer = site.node.function if launched is None else launched.function
        given = argument_of(site.call, decl.node, root) if site.call is not None else None
        if given is None or outer is not pair.function or not (site.launched or launched):
            continue
        if lock_class(site.file, given) != wanted:
            continue
        for event in effects_of(Body(file, decl.node)):
            first = event.path[0]
            access = translated(site.file, site.call, decl.node, event.access, at=first)
            start, at = flow.point_of(first), flow.point_of(done.call)
            before = done.deferred is not None or (start and at in flow.reachable(start))
            if before and is_wanted(replace(event, access=access), None, pair):
                return (first,)
    return None


def _group_call(file: GoFile, call: Node) -> WaitGroupCall | None:
    """Return the launch by an errgroup that a call is: Wait waits for it, too."""
    function = call["function"]
    selection = file.selection(function) if function.kind == "selector_expression" else None
    if selection is None or not is_group(file.package.workspace, selection.owner):
        return None
    group = function["operand"]
    return WaitGroupCall(call, "Go", group, access_of(file, group, selection.via))


def _is_done_before(file: GoFile, done: Node, wanted: str, pair: Pair) -> bool:
    """Return whether the function calls Done another time, without the lock: in two phases."""
    function = done.function
    for call in function.own() if function is not None else ():
        if call.kind != "call_expression" or call is done:
            continue
        found = waitgroup_call(file, call)
        if found is not None and found.method == "Done":
            if lock_class(file, found.waitgroup) == wanted:
                if needs_lock(file, call, found.access, pair) is None:
                    return True
    return False


def _is_counted_under(file: GoFile, done: WaitGroupCall, pair: Pair) -> bool:
    """Return whether a function counts itself and says Done in one section of the lock.

    Who waits under the lock finds nobody counted.
    """
    function, wanted = done.call.function, pair.held.lock_class
    if function is None or done.deferred is not None or not _is_held(file, done.call, wanted):
        return False
    operations = locks_of(file, function).operations
    released = [o.call for o in operations if o.releases and o.deferred is None]
    for add in waitgroup_calls(file, function):
        if add.method == "Add" and add.access == done.access and add.call.function is function:
            if _is_held(file, add.call, wanted) and add.call.end <= done.call.start:
                return not any(add.call.end <= r.start < done.call.start for r in released)
    return False


def _is_held(file: GoFile, node: Node, wanted: str | None) -> bool:
    return any(held.lock_class == wanted for held in held_at(file, node))


def _body_needs(
    file: GoFile, given: Node, access: Access | None, pair: Pair
) -> tuple[Node | None] | None:
    body = bodies_of_value(file, given).certain
    if body is None:
        return None
    for event in effects_of(body):
        if event.kind == "acquire" and event.sure and event.lock_class == pair.held.lock_class:
            if related(pair, _of_bound(body, event.access), access):
                return (event.path[0],)
    return None


def _of_bound(body: Body, lock: Access | None) -> Access | None:
    """Return a lock of a method as who hands over the method value names it: `g.Go(s.step)`."""
    root = lock.root if lock is not None else None
    if body.bound is None or lock is None or not isinstance(root, Binding):
        return lock
    if root.kind != "receiver" or root.scope is not body.node:
        return lock
    file, value = body.bound
    owner = access_of(file, value["operand"])
    return Access(owner.root, owner.steps + lock.steps) if owner is not None else None
