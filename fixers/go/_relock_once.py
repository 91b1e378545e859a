"""A lock that a function takes twice itself: the inner Lock and its Unlock are taken away."""

from __future__ import annotations

from threadmend.golang.builders import BuilderError, delete_calls
from threadmend.golang.effects import Pair
from threadmend.golang.file import GoFile
from threadmend.golang.lock_calls import lock_call, lock_calls
from threadmend.golang.locks import LockOperation
from threadmend.golang.syntax import Node
from threadmend.model import Edit

from ._lock_for_unlock import lock_for_unlock
from ._locked import without_lock

__all__ = ["dropped"]


def dropped(file: GoFile, pair: Pair, node: Node) -> list[Edit]:
    """Return the edits that take an inner Lock (or a helper's call) and its Unlock away."""
    owner = file.package.workspace.file_of(node)
    function = node.function
    if function is None:
        raise BuilderError("the lock is taken outside of a function")
    operation = lock_call(owner, node)
    if operation is None or operation.access is None:
        raise BuilderError("the lock is taken through a helper")
    if function is not pair.function:
        return list(without_lock(owner, function, operation.access))
    return _inner_pair(owner, pair, operation)


def _inner_pair(file: GoFile, pair: Pair, inner: LockOperation) -> list[Edit]:
    """Remove a Lock inside a critical section and the Unlock in its own block that ends it.

    Another release has to follow for the outer Lock, or to be deferred.
    """
    same = [o for o in lock_calls(file, pair.function) if o.access == inner.access]
    statement = inner.call.parent
    outer = pair.taken_at
    releases = [o for o in same if o.releases]
    if statement is not None and len(same) - len(releases) == 2 and not inner.tries:
        if not releases and statement.kind == "expression_statement":
            return lock_for_unlock(file, pair, inner)
        if len(releases) == 1 and _ends_outer(releases[0], pair, inner):
            return [*delete_calls([statement])]
    if statement is None or statement.kind != "expression_statement" or outer is None:
        raise BuilderError("the inner Lock is part of another statement")
    block = statement.parent
    ends = [
        o for o in same if o.releases and o.call.start > inner.call.start and _stands_in(o) is block
    ]
    if not ends:
        raise BuilderError("which Unlock belongs to the inner Lock is not clear")
    end = ends[0]
    between = [o for o in same if inner.call.end < o.call.start < end.call.start]
    others = [o for o in same if o.releases and o is not end]
    if between or not any(o.deferred or o.call.start > end.call.end for o in others):
        raise BuilderError("which Unlock belongs to the inner Lock is not clear")
    release = end.deferred or end.call.parent
    if release is None:
        raise BuilderError("which Unlock belongs to the inner Lock is not clear")
    return [*delete_calls([statement, release])]


def _ends_outer(release: LockOperation, pair: Pair, inner: LockOperation) -> bool:
    """Return whether the only release gives back what the outer Lock took."""
    if release.mode != pair.held.mode:
        return False
    return release.deferred is not None or release.call.start > inner.call.end


def _stands_in(operation: LockOperation) -> Node | None:
    statement = operation.deferred or operation.call.parent
    return statement.parent if statement is not None else None
