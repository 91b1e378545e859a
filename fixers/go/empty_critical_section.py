"""Keep a lock until what it guards has been used

`mu.Lock()` followed by `mu.Unlock()` guards nothing: the statements below, which were meant to
be guarded, run without the lock. A `defer` was probably forgotten.

Not reported: a Lock and Unlock as a barrier, with nothing guarded after them; statements that
take the lock again.

Unsafe: the lock is held until the function returns.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.empty_sections import empty_sections
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import LockOperation, locks_of
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

CATEGORY = "mutex"
ALSO = "staticcheck SA2001"
GATE = rb"\.R?Lock\(\)\s*;?\s*\w[\w.\[\]]*\.R?Unlock\(\)"


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the critical sections with nothing in them and guarded state below."""
    for section in empty_sections(file):
        yield _finding(file, section.lock, section.unlock, section.used)


def _finding(file: GoFile, lock: LockOperation, unlock: Node, used: Node) -> Finding:
    name = lock.lock.name
    fix, reason = _fix(file, lock, unlock)
    return Finding(
        path=lock.call.path,
        start=lock.call.start,
        end=unlock.end,
        message=f"{name} is released at once, and {used.name} is used without it",
        fixes=(fix,) if fix else (),
        related=(Related(used.path, used.start, used.end, "used here"),),
        reason=reason,
        # A test sees in this way that nobody holds the lock.
        confidence=Confidence.LOW if file.is_test else Confidence.HIGH,
    )


def _fix(file: GoFile, lock: LockOperation, unlock: Node) -> tuple[Fix | None, str]:
    """Defer the Unlock."""
    if innermost_loop(lock.call) is not None:
        return None, "in a loop a deferred Unlock would come too late"
    function = lock.call.function
    if function is None:
        return None, "the lock is taken outside of a function"
    point = flow_of(function).point_of(lock.call)
    later = flow_of(function).reachable(point) if point is not None else set()
    for other in locks_of(file, function).operations:
        if other.acquires and other.access == lock.access and other.call is not lock.call:
            if flow_of(function).point_of(other.call) in later:
                return None, "the lock is taken again further down"
    edit = Edit(unlock.path, unlock.start, unlock.start, b"defer ")
    reason = "the lock is held until the function returns"
    return Fix(f"Defer {unlock['function'].name}", (edit,), Safety.UNSAFE, reason), ""
