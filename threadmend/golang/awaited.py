"""Awaited: goroutines whose launcher holds a lock until they are done.

s.mu.Lock()                          s.pool is guarded inside of the goroutines as well: who
defer s.mu.Unlock()                  else wants it waits for the lock, until Wait is over.
for i := range s.pool {              To take the lock in there would be a deadlock.
    g.Go(func() error { … s.pool[i] = nil … })
}
return g.Wait()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.locks import held_at
from threadmend.golang.pauses import pauses
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["awaited_under"]


def awaited_under(file: GoFile, node: Node, lock_class: str) -> bool:
    """Return whether a node runs in goroutines that are awaited with a lock of a class held.

    The node stands in the goroutine's literal, at any depth, or is what launches it.
    """
    at = node
    while at.function is not None:
        if _waits_behind(file, at, lock_class):
            return True
        at = at.function
    return False


def _waits_behind(file: GoFile, launch: Node, lock_class: str) -> bool:
    function = launch.function
    assert function is not None
    if not _holds(file, launch, lock_class):
        return False
    ends = [p.node for p in pauses(file, function)]
    ends += [
        call
        for call in function.own()
        if call.kind == "call_expression" and call["function"].name.endswith(".Wait")
    ]
    return any(end.start > launch.end and _holds(file, end, lock_class) for end in ends)


def _holds(file: GoFile, node: Node, lock_class: str) -> bool:
    return any(held.lock_class == lock_class for held in held_at(file, node))
