"""A lock that each round of a loop takes and only the code behind the loop gives back.

for i := 0; i < 3; i++ {              for i := 0; i < 3; i++ {
    r.mu.Lock()                           r.mu.Lock()
    if dial() != nil {                    if dial() != nil {
        continue                              r.mu.Unlock()
    }                                         continue
    break                       →         }
}                                         r.mu.Unlock()
r.mu.Unlock()                             break
                                      }
"""

from __future__ import annotations

from threadmend.golang.builders import BuilderError, delete, insert_at_end, insert_before
from threadmend.golang.flow import Point
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import LockOperation, Locks
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Fix, Safety

__all__ = ["released_in_rounds"]

_JUMPS = frozenset({"continue_statement", "break_statement"})


def released_in_rounds(locks: Locks, lock: LockOperation, unlock: str) -> Fix:
    """Move the release from behind the loop to every way out of a round.

    Sound: where a round ends, the lock is certainly held or certainly not. Raises BuilderError
    when that cannot be told. Unsafe: where every round went on, the code locked twice before.
    """
    loop = innermost_loop(lock.call)
    releases = [o for o in locks.operations if o.releases and o.access == lock.access]
    release = releases[0].call.parent if len(releases) == 1 else None
    if loop is None or release is None or release.kind != "expression_statement":
        raise BuilderError("the release after the loop would run without the lock")
    if loop.next is not release or releases[0].deferred is not None:
        raise BuilderError("the release after the loop would run without the lock")
    edits: list[Edit] = [*delete(release)]
    for point in _ends(locks, loop):
        if not _follows(locks, lock, point):
            continue
        if not any(h.access == lock.access for h in locks.held_before(point.node)):
            raise BuilderError("the lock is held at the end of a round on some paths only")
        if point.node.kind not in _JUMPS:
            raise BuilderError("a round leaves the function with the lock held")
        edits += insert_before(point.node, unlock)
    if _falls_through(locks, lock, loop):
        edits += insert_at_end(loop["body"], unlock)
    title = f"Call {unlock.removesuffix('()')} in each round"
    return Fix(title, tuple(edits), Safety.UNSAFE, "the rounds run one after the other again")


def _ends(locks: Locks, loop: Node) -> list[Point]:
    """Return the statements that end a round or leave the loop, in source order."""
    found = [p for p in locks.flow.points if p.live and _is_end(p.node, loop)]
    return sorted(found, key=lambda p: p.node.start)


def _is_end(node: Node, loop: Node) -> bool:
    """Return whether a node leaves a loop or goes on with it, by a jump of its own."""
    if not loop["body"].contains(node):
        return False
    if node.kind == "return_statement":
        return True
    if node.kind not in _JUMPS:
        return False
    if node.children and node.children[-1].kind == "label_name":
        raise BuilderError("the jump has a label")
    inner = _LOOPS if node.kind == "continue_statement" else (*_LOOPS, *_SWITCHES)
    return node.up(*inner) is loop


_LOOPS = ("for_statement",)
_SWITCHES = ("expression_switch_statement", "type_switch_statement", "select_statement")


def _follows(locks: Locks, lock: LockOperation, point: Point) -> bool:
    start = locks.flow.point_of(lock.call)
    return start is not None and point in locks.flow.reachable(start)


def _falls_through(locks: Locks, lock: LockOperation, loop: Node) -> bool:
    """Return whether rounds end at the end of the body, with the lock held."""
    body, held = loop["body"], []
    for point in locks.flow.points:
        if not point.live or not body.contains(point.node) or _is_end(point.node, loop):
            continue
        if any(loop.contains(s.node) and not body.contains(s.node) for s in point.successors):
            mine = point is locks.flow.point_of(lock.call)
            held.append(mine or any(h.access == lock.access for h in locks.held_before(point.node)))
    if held and not all(held):
        raise BuilderError("the lock is held at the end of a round on some paths only")
    return bool(held)
