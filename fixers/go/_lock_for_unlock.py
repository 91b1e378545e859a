"""A second Lock that was meant to be an Unlock: for `self-deadlock` and its siblings."""

from __future__ import annotations

from threadmend.golang.builders import BuilderError, insert_at_end, insert_before
from threadmend.golang.effects import Pair
from threadmend.golang.flow import flow_of
from threadmend.golang.locks import LockOperation
from threadmend.golang.releases import net_releases
from threadmend.model import Edit

__all__ = ["lock_for_unlock"]


def lock_for_unlock(pair: Pair, inner: LockOperation) -> list[Edit]:
    """Return the edits for a function that locks twice and releases nowhere.

    The second Lock becomes an Unlock, and the other ways out get one. The edit of the second
    Lock comes last.
    """
    return [*_released_elsewhere(pair, inner), _released_instead(pair, inner)]


def _released_elsewhere(pair: Pair, inner: LockOperation) -> list[Edit]:
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
    release = f"{inner.lock.name}.{'RUnlock' if pair.held.mode == 'read' else 'Unlock'}()"
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


def _released_instead(pair: Pair, inner: LockOperation) -> Edit:
    """Make the second Lock the Unlock that is missing: nothing in the function releases."""
    function = pair.function
    if any(n.kind == "func_literal" and b"nlock" in n.text for n in function.own()):
        raise BuilderError("a closure releases the lock")
    word = inner.call["function"]["field"]
    release = b"RUnlock" if pair.held.mode == "read" else b"Unlock"
    return Edit(word.path, word.start, word.end, release)
