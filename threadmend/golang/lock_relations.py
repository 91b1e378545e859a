"""Lock relations: whether a lock of the other side is the one that somebody holds who waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of, is_assigned_once
from threadmend.golang.backrefs import homeward
from threadmend.golang.calls import callers
from threadmend.golang.effects import Pair, effects_of
from threadmend.golang.getters import returned_field
from threadmend.golang.kept_methods import is_kept_step
from threadmend.golang.locks import declaration_of
from threadmend.golang.scope import Binding, argument_of, resolve_local
from threadmend.golang.syntax import Node
from threadmend.golang.targets import bodies_of_value
from threadmend.golang.wording import translated

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["is_foreign", "needed_by_given", "related"]


def related(pair: Pair, lock: Access | None, other: Access | None) -> bool:
    """Return whether the lock that the other side takes is the one that is held.

    The same variable, or it stands to the channel of the other side as the held one stands
    to the channel that is waited for.
    """
    if lock is None:
        return False
    held = pair.held.access
    if lock == held or _as_called(pair, lock) == held:
        return True
    if not isinstance(held.root, Binding) or not isinstance(lock.root, Binding):
        return False
    if _as_waited_for(pair, lock, other) == held:
        return True
    here, there = _relation(held, pair.event.access), _relation(lock, other)
    if here is not None and here == there:
        return True
    return here is not None and _given_together(pair, here, lock, other)


def _as_called(pair: Pair, lock: Access) -> Access | None:
    """Return a lock of a callee, which waits for its own goroutines, as the caller names it."""
    path = pair.event.path
    callee = path[-1].function
    if len(path) != 2 or callee is None or callee.kind == "func_literal":
        return None
    return translated(pair.file, path[0], callee, lock)


def needed_by_given(pair: Pair, launched: Node) -> Node | None:
    """Return where a callee's goroutine calls a function that the caller gave it, with the lock.

    `s.each(func(d disk) { …; s.count() })`, where `each` calls it in goroutines and waits.
    """
    path = pair.event.path
    callee = path[-1].function
    if len(path) != 2 or callee is None or launched.function is not callee:
        return None
    for call in launched.find("call_expression"):
        name = call["function"]
        given = resolve_local(name) if name.kind == "identifier" else None
        if given is None or given.kind != "parameter" or given.scope is not callee:
            continue
        value = argument_of(path[0], callee, given)
        body = bodies_of_value(pair.file, value).certain if value is not None else None
        if body is None or value is None or value.kind != "func_literal":
            continue
        for event in effects_of(body):
            both_read = pair.held.mode == "read" and event.mode == "read"
            if event.kind == "acquire" and event.sure and not both_read:
                if event.access == pair.held.access:
                    return event.path[0]
    return None


def _as_waited_for(pair: Pair, lock: Access, other: Access | None) -> Access | None:
    """Return the other side's lock in the terms of who waits: `s.owner.mu` is that of the owner."""
    waited = pair.event.access
    if waited is None or other is None or lock.root != other.root or not other.steps:
        return None
    if waited.steps[-len(other.steps) :] != other.steps:
        return None
    steps = waited.steps[: -len(other.steps)] + lock.steps
    return homeward(pair.file, Access(waited.root, steps))


def is_foreign(lock: Access | None, function: Node) -> bool:
    """Return whether a lock is a variable that a function value brought along from elsewhere.

    `k.expired = func() { s.mu.Lock(); … }`, called by the goroutine of `k`: which `s` it is,
    the code that stored it knows. The class has to do.
    """
    root = lock.root if lock is not None else None
    if lock is not None and any(map(is_kept_step, lock.steps)):
        return True
    if not isinstance(root, Binding):
        return False
    return not (root.scope.contains(function) or function.contains(root.scope))


Relation = tuple[tuple[str, ...], tuple[str, ...]]


def _given_together(pair: Pair, wanted: Relation, lock: Access, other: Access | None) -> bool:
    """Return whether every caller gives a lock's owner and a channel that belong together so.

    `go watch(c, c.health.stopped())`, where `watch(c, stop)` takes c.mu and receives from stop.
    """
    if other is None or not isinstance(lock.root, Binding) or not isinstance(other.root, Binding):
        return False
    function = lock.root.scope
    if lock.root is other.root or other.root.scope is not function or other.steps:
        return False
    if lock.root.kind != "parameter" or other.root.kind != "parameter":
        return False
    file = pair.file.package.workspace.file_of(function)
    decl = declaration_of(file, function)
    if decl is None or not is_assigned_once(other.root):
        return False
    sites = callers(decl)
    for site in sites:
        given = argument_of(site.call, function, other.root) if site.call is not None else None
        if given is None:
            return False
        place = translated(site.file, site.call, function, lock)
        if place is None or _relation(place, _shown(site.file, given)) != wanted:
            return False
    return bool(sites)


def _shown(file: GoFile, channel: Node) -> Access | None:
    """Return the path of a channel, also of one that a getter hands out."""
    if channel.kind == "identifier":
        binding = file.binding(channel)
        right = binding.declaration.get("right") if binding is not None else None
        if binding is not None and right is not None and is_assigned_once(binding):
            if binding.index < len(right.children):
                channel = right.children[binding.index]
    if channel.kind != "call_expression":
        return access_of(file, channel)
    returned = returned_field(file, channel)
    if returned is None:
        return None
    where, field = returned
    body = field.function
    return translated(file, channel, body, access_of(where, field)) if body is not None else None


def _relation(lock: Access, other: Access | None) -> Relation | None:
    if other is None or lock.root != other.root:
        return None
    common = 0
    for one, two in zip(lock.steps, other.steps, strict=False):
        if one != two:
            break
        common += 1
    return lock.steps[common:], other.steps[common:]
