"""Own sections: what a function says of an access by taking the lock itself, elsewhere.

A function that takes the lock of an object is not entered with it, and runs beside others: its
author says so. What it does to the object outside of its sections has no excuse that rests on
who calls it. A method that does nothing but read or set a place under the lock says as much of
the place: it is there for those who run beside.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.functions import outer_function
from threadmend.golang.lock_operations import Held
from threadmend.golang.locks import locks_of

if TYPE_CHECKING:
    from threadmend.golang.field_accesses import FieldAccess
    from threadmend.golang.guards import Guard

__all__ = ["has_accessor", "is_in_use", "takes_guard"]


def takes_guard(access: FieldAccess, lock_class: str) -> bool:
    """Return whether the function of an access takes the lock of the same object, elsewhere.

    One that gives it back first was entered with it.
    """
    function = access.node.function
    if function is None:
        return False
    ours = [o for o in locks_of(access.file, function).operations if o.lock_class == lock_class]
    if not ours or not min(ours, key=lambda o: o.call.start).acquires:
        return False
    return any(
        o.acquires and o.access is not None and access.belongs(Held(o.access, o.mode, o.lock_class))
        for o in ours
    )


_IN_USE = re.compile(
    r"(?:[Cc]lose|[Ss]top|[Ss]hutdown|[Tt]eardown|[Dd]estroy|[Cc]leanup|[Ss]et[Uu]p)(?![a-z])"
)


_WAITS = re.compile(rb"Wait\w*\(|<-|\b[Jj]oin\w*\(")


def is_in_use(access: FieldAccess, lock_class: str) -> bool:
    """Return whether a method that begins or ends some work has others beside it, all the same.

    By its name it sets up or tears down, but it takes the lock of its object, and has waited for
    nobody.
    """
    function = outer_function(access.node)
    return (
        function is not None
        and function.get("receiver") is not None
        and _IN_USE.match(function["name"].name) is not None
        and _WAITS.search(access.file.data, function.start, access.node.start) is None
        and takes_guard(access, lock_class)
    )


def has_accessor(guard: Guard) -> bool:
    """Return whether some method does nothing but read or set the place under the lock."""
    return any(_is_accessor(a) for a in guard.locked)


def _is_accessor(access: FieldAccess) -> bool:
    function = access.node.function
    body = function.get("body") if function is not None else None
    if body is None or function is None or function.get("receiver") is None:
        return False
    if len(body.statements) > _FEW:
        return False
    calls = [n["function"] for n in body.find("call_expression")]
    return all(f.kind == "selector_expression" and f["field"].name in _LOCKING for f in calls)


_FEW = 4
_LOCKING = frozenset({"Lock", "RLock", "Unlock", "RUnlock"})
