"""Whether callers are told by what they get that a function has returned with a lock held.

func (d *deck) Hold(seat string) error {    func (t *table) Begin() error {
    d.mu.Lock()                                 t.mu.Lock()
    if d.held(seat) {                           if t.closed {
        return nil    // still locked               t.mu.Unlock()
    }                                               return errClosed
    d.take(seat)                                }
    d.mu.Unlock()                               return nil    // locked, says the nil
    return nil                              }
}
"""

from __future__ import annotations

from collections.abc import Iterable

from threadmend.golang.flow import Exit, Point
from threadmend.golang.locks import Locks

__all__ = ["tells_apart"]


def tells_apart(locks: Locks, releases: Iterable[Point], held: Iterable[Exit]) -> bool:
    """Return whether no exit behind a release gives callers what one with the lock held gives."""
    flow = locks.flow
    released = {_said_by(locks, e) for p in releases for e in flow.exits_from(p)} - {None}
    return not any(_said_by(locks, e) in released for e in held)


def _said_by(locks: Locks, exit_: Exit) -> str | None:
    """Return what an exit says to callers where that is written out: `nil`, `true` or nothing."""
    node = exit_.node
    if locks.function.get("result") is None:
        return ""
    if node is None or node.kind != "return_statement" or not node.children:
        return None
    values = node.children[-1].children
    return node.children[-1].name if values and all(v.kind in _WRITTEN for v in values) else None


_WRITTEN = frozenset({"nil", "true", "false", "int_literal", "interpreted_string_literal"})
