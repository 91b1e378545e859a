"""Locks of others: shared by a pointer, or part of a struct that is not the one it seems to guard.

iface := &iface{mu: srv.mu}    // who holds srv.mu holds iface.mu
config.Lock()                  // guards what is in config; app.stats is only looked at
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.access import access_of, lock_class
from threadmend.golang.callers_locks import caller_classes
from threadmend.golang.functions import outer_function
from threadmend.golang.scope import Binding
from threadmend.golang.targets import stored_values
from threadmend.golang.types import Named, Pointer, Struct, deref

if TYPE_CHECKING:
    from threadmend.golang.field_accesses import FieldAccess
    from threadmend.golang.file import GoFile
    from threadmend.golang.guards import Guard
    from threadmend.golang.locks import Held
    from threadmend.golang.package import Package
    from threadmend.golang.syntax import Node

__all__ = ["is_borrowed", "is_of_another_struct", "may_share_lock"]


def may_share_lock(access: FieldAccess, guard: Guard) -> bool:
    """Return whether some caller holds the lock of another struct that the guard points to."""
    package, function = access.file.package, outer_function(access.node)
    held = caller_classes(access.file, function) if function is not None else frozenset()
    return bool(held) and any(shared in held for shared in _given(package, guard.lock_class))


def _given(package: Package, guard_class: str) -> Iterator[str | None]:
    """Yield the classes of the locks that a field is given."""
    owner, _, field = guard_class.rpartition(".")
    name = owner.removeprefix(f"{package.key}.")
    decl = package.lookup(name)
    if decl is not None and decl.kind == "type":
        for file, value in stored_values(package, Named(package.key, name), field):
            yield lock_class(file, value)


def is_borrowed(access: FieldAccess, held: Held) -> bool:
    """Return whether the lock that is held at an access is that of what the object only leads to.

    `tx.db.closing` while `tx.closed` is written, or a lock that the object was handed: many
    objects have it, and it need not be for what each of them has for itself.
    """
    function = access.node.function
    for node in function.find("selector_expression") if function is not None else ():
        if access_of(access.file, node) == held.access:
            return _leads_away(access.file, node)
    return False


def _leads_away(file: GoFile, lock: Node) -> bool:
    """Return whether a path to a lock goes through a pointer, or the lock itself is handed over."""
    node = lock["operand"]
    while node.kind == "selector_expression":
        if isinstance(file.underlying(file.type_of(node)), Pointer):
            return True
        node = node["operand"]
    selection = file.selection(lock)
    if selection is None or selection.owner is None:
        return False
    if not isinstance(file.underlying(file.type_of(lock)), Pointer):
        return False
    values = stored_values(file.package, selection.owner, selection.name)
    return any(
        value.kind in {"identifier", "selector_expression"} or _names(value) for _, value in values
    )


def _names(value: Node) -> bool:
    """Return whether a value is the address of a lock that is there: `&b.mu`."""
    return value.kind == "unary_expression" and value["operand"].kind != "composite_literal"


def is_of_another_struct(first: FieldAccess, guard_class: str) -> bool:
    """Return whether a package variable is a struct, and the lock a field of some other struct.

    What is in there has its own locks, or none.
    """
    package = first.file.package
    owner = guard_class.rpartition(".")[0].removeprefix(f"{package.key}.")
    decl = package.lookup(owner)
    if decl is None or decl.kind != "type":
        return False
    if first.base is not None:
        of_field = (first.place or "").rpartition(".")[0].removeprefix(f"{package.key}.")
        return not isinstance(first.base.root, Binding) and of_field != owner
    type_ = deref(first.file.type_of(first.node))
    return (
        isinstance(first.file.underlying(type_), Struct) and str(type_) != f"{package.key}.{owner}"
    )
