"""Accesses of what nobody changes in a guarded field: its reference, its length, a lock in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.callers_locks import taken_in
from threadmend.golang.locks import locks_of
from threadmend.golang.types import Array, Map, Pointer, Slice

if TYPE_CHECKING:
    from threadmend.golang.field_accesses import FieldAccess
    from threadmend.golang.guards import Guard
    from threadmend.golang.syntax import Node

__all__ = ["is_length_only", "is_reference_only", "leads_to_lock"]

_LENGTHS = frozenset({"len", "cap"})


def is_reference_only(access: FieldAccess, guard: Guard) -> bool:
    """Return whether a map or pointer that never changes is only given another name.

    `cache := t.fromTun` and then the lock: what the field holds is the same ever after. So does
    a literal that is made before the lock is taken: `page{Items: root.items}`, and a function that
    takes the lock itself for what it is given.
    """
    if not isinstance(access.file.underlying(access.file.type_of(access.node)), Map | Pointer):
        return False
    values = access.node.parent
    if access.kind != "read" or values is None:
        return False
    if values.kind == "argument_list":
        call = values.parent
        decl = access.file.callee(call) if call is not None else None
        locks_itself = decl is not None and decl.has_body and guard.lock_class in taken_in(decl)
        return locks_itself and _is_never_set(guard)
    if values.kind in {"keyed_element", "literal_element"}:
        return _locks_after(access, guard) and _is_never_set(guard)
    if (
        values.kind != "expression_list"
        or values.field == "left"
        or values.parent is None
        or "return" in values.parent.kind
    ):
        return False
    return _is_never_set(guard)


def _locks_after(access: FieldAccess, guard: Guard) -> bool:
    """Return whether the function takes the guard behind an access."""
    function = access.node.function
    operations = locks_of(access.file, function).operations if function is not None else ()
    return any(
        o.acquires and o.lock_class == guard.lock_class and o.call.start > access.node.end
        for o in operations
    )


def is_length_only(access: FieldAccess, guard: Guard) -> bool:
    """Return whether only the length of a slice is asked for that nobody puts another one for.

    Whoever writes an element leaves it alone.
    """
    call = access.node.parent.parent if access.node.parent is not None else None
    if call is None or call.kind != "call_expression" or call["function"].name not in _LENGTHS:
        return False
    if not isinstance(access.file.underlying(access.file.type_of(access.node)), Slice | Array):
        return False
    return _is_never_set(guard)


def _is_never_set(guard: Guard) -> bool:
    """Return whether nobody puts another value into a field once it is set up."""
    every = (*guard.locked, *guard.unlocked)
    return not any(a.kind in {"write", "update"} and not a.setup for a in every)


def leads_to_lock(access: FieldAccess) -> bool:
    """Return whether the access is a part of `s.inner.mu.Lock()`."""
    node: Node | None = access.node.parent if access.node.field == "operand" else access.node
    while node is not None and node.kind in {"selector_expression", "parenthesized_expression"}:
        if node.field == "function" and node.kind == "selector_expression":
            return node["field"].name in {"Lock", "Unlock", "RLock", "RUnlock"}
        node = node.parent
    return False
