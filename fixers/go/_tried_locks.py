"""Locks that the program itself only tries at times: a test may hold them off meanwhile."""

from __future__ import annotations

from threadmend.golang.file import GoFile
from threadmend.golang.locks import locks_of
from threadmend.golang.syntax import Node

__all__ = ["held_off_by_test"]


def held_off_by_test(file: GoFile, node: Node, lock_class: str | None) -> bool:
    """Return whether a test holds a lock for which the program has a `TryLock`.

    What finds it taken goes on without, and the test wants to see that.
    """
    if not node.path.endswith("_test.go") or lock_class is None:
        return False
    known: set[str] | None = file.package.facts.get("tried locks")
    if known is None:
        known = file.package.facts["tried locks"] = {
            operation.lock_class
            for other in file.package.files
            if not other.is_test and b".TryLock()" in other.data
            for call in other.calls("TryLock")
            if call.function is not None
            for operation in locks_of(other, call.function).operations
            if operation.tries and operation.lock_class is not None
        }
    return lock_class in known
