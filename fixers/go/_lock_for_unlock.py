"""A second Lock that was meant to be an Unlock: for `self-deadlock` and its siblings."""

from __future__ import annotations

from threadmend.golang.builders import BuilderError, insert_at_end, insert_before
from threadmend.golang.effects import Pair
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.lock_calls import spelled
from threadmend.golang.locks import LockOperation
from threadmend.golang.releases import net_releases
from threadmend.model import Edit

__all__ = ["lock_for_unlock"]


def lock_for_unlock(file: GoFile, pair: Pair, inner: LockOperation) -> list[Edit]:
    """Return the edits for a function that locks twice and releases nowhere.

    The second Lock becomes an Unlock, and the other ways out get one. The edit of the second
    Lock comes last.
    """
    return [*_released_elsewhere(file, pair, inner), _released_instead(file, pair, inner)]


def _released_elsewhere(file: GoFile, pair: Pair, inner: LockOperation) -> list[Edit]:
    """Release the lock on the ways out that do not pass the second Lock.

    Sound: nobody else releases it there, and what is returned does not need it.
    """
    for released in net_releases(pair.file.package).values():
        if pair.held.lock_class in released:
            raise BuilderError("another function releases the lock")
    outer, flow = pair.taken_at, flow_of(pair.function)
    start = flow.point_of(outer) if outer is not None else None
    if outer is None or start is None:
        raise BuilderError("where the lock is taken is not clear")
    release = spelled(file, inner, "RUnlock" if pair.held.mode == "read" else "Unlock")
    meant = flow.point_of(inner.call)
    edits: list[Edit] = []
    for exit_ in flow.exits_from(start, stop=lambda p: p is meant):
        if exit_.kind == "end":
            edits += insert_at_end(pair.function["body"], release)
        elif exit_.kind != "return" or any(exit_.node.find("call_expression")):
            raise BuilderError("a path leaves in another way")
        else:
            edits += insert_before(exit_.node, release)
    return edits


def _released_instead(file: GoFile, pair: Pair, inner: LockOperation) -> Edit:
    """Make the second Lock the Unlock that is missing: nothing in the function releases."""
    function = pair.function
    if any(n.kind == "func_literal" and b"nlock" in n.text for n in function.own()):
        raise BuilderError("a closure releases the lock")
    release = spelled(file, inner, "RUnlock" if pair.held.mode == "read" else "Unlock")
    return Edit(inner.call.path, inner.call.start, inner.call.end, release.encode())
