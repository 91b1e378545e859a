"""Locks that one loop takes and another one releases, as often."""

from __future__ import annotations

from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import LockOperation, Locks
from threadmend.golang.scope import Binding

__all__ = ["in_another_loop", "in_twin_loop"]


def in_another_loop(lock: LockOperation, releases: list[LockOperation]) -> bool:
    loop = innermost_loop(lock.call)
    if loop is None or any(loop.contains(r.call) for r in releases):
        return False
    return any(innermost_loop(r.call) is not None for r in releases)


def in_twin_loop(locks: Locks, lock: LockOperation) -> bool:
    """Return whether a second loop over the same locks releases each that the first has taken.

    `for c := range clusters { c.Lock() }; …; for c := range clusters { c.Unlock() }`
    """
    mine = _ranged(lock)
    return mine is not None and any(
        other.releases and other is not lock and _ranged(other) == mine
        for other in locks.operations
    )


def _ranged(operation: LockOperation) -> tuple[bytes, int, tuple[str, ...]] | None:
    """Return over what the loop runs whose variable's lock is meant, and how that is come to."""
    access = operation.access
    root = access.root if access is not None else None
    if access is None or not isinstance(root, Binding) or root.declaration.kind != "range_clause":
        return None
    return root.declaration["right"].text, root.index, tuple(access.steps)
