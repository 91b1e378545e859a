"""What go/write-under-rlock asks about a write whose read lock the callers took.

    func (c *cache) Get(k string) *entry {        func (c *cache) Get(k string) *entry {
        c.mu.RLock()                         →        c.mu.Lock()
        defer c.mu.RUnlock()                          defer c.mu.Unlock()
        return c.touch(k)                             return c.touch(k)

Followed while the object stays the receiver, or is a part of it, so that all of them mean one
lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from threadmend.golang.access import access_of
from threadmend.golang.calls import own_callers
from threadmend.golang.field_accesses import FieldAccess
from threadmend.golang.file import GoFile
from threadmend.golang.functions import outer_function
from threadmend.golang.given_constants import leaves_out
from threadmend.golang.lock_operations import ordered
from threadmend.golang.locks import LOCK_CALLS, Held, declaration_of, held_at, locks_of
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Interface, Named, Pointer, deref

__all__ = ["ReadLocked", "read_locked_callers"]

_DEPTH = 3


@dataclass(frozen=True, slots=True)
class ReadLocked:
    """A call under nothing but the read lock that leads to the write."""

    file: GoFile
    call: Node
    lock: Held


def read_locked_callers(access: FieldAccess) -> list[ReadLocked]:
    """Return the calls, some levels up, that reach a write of the receiver's under a read lock."""
    root = access.base.root if access.base is not None else None
    function = outer_function(access.node)
    if not isinstance(root, Binding) or root.kind != "receiver" or access.node.function is None:
        return []
    if function is None or access.node.function is not function:
        return []
    owner = (access.place or "").rpartition(".")[0]
    found = _above(access.file, access.node, owner, _DEPTH, {function})
    return sorted(found, key=lambda r: (r.file.path, r.call.start))


def _above(
    file: GoFile, node: Node, owner: str, depth: int, seen: set[Node]
) -> Iterator[ReadLocked]:
    function = outer_function(node)
    decl = declaration_of(file, function) if function is not None else None
    if function is None or decl is None or depth == 0 or locks_of(file, function).operations:
        return
    for site in own_callers(decl, LOCK_CALLS):
        call = site.call
        if call is None or site.launched or site.deferred or leaves_out(call, function, node):
            continue
        target = call["function"]
        selection = site.file.selection(target) if target.kind == "selector_expression" else None
        if selection is None:
            continue
        base = access_of(site.file, target["operand"], selection.via)
        if base is None or not isinstance(base.root, Binding):
            continue
        whole = _whole(site.file, base.root, base.steps) if base.steps else owner
        held = held_at(site.file, call)
        ours = [
            h
            for h in ordered(held)
            if h.access.root == base.root
            and (_owner(h) == whole or (_owner(h) == owner and h.access.under(base)))
        ]
        if any(h.mode == "write" for h in held):
            continue
        for lock in sorted(ours, key=lambda h: str(h.access)):
            yield ReadLocked(site.file, call, lock)
        if ours:
            continue
        if base.root.kind == "receiver" and not held:
            caller = site.node.function
            if caller is not None and caller not in seen:
                yield from _above(site.file, call, whole, depth - 1, seen | {caller})


def _whole(file: GoFile, root: Binding, steps: Iterable[str]) -> str:
    """Return the type of the object that another one is a part of, as locks' classes have it.

    What it only points to, or knows through an interface, is no part: others may have it as well.
    """
    whole = type_ = deref(file.type_of(root.node))
    for name in steps:
        member = file.package.workspace.inference.member(type_, name) if type_ else None
        type_ = member.type if member is not None else None
        if type_ is None or isinstance(file.underlying(type_), Pointer | Interface):
            return ""
    return f"{whole.package}.{whole.name}" if isinstance(whole, Named) else ""


def _owner(held: Held) -> str:
    return (held.lock_class or "").rpartition(".")[0]
