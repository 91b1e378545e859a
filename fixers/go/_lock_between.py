"""The outer lock given back while the inner one is waited for, and taken again under it.

func (t *table) leave(name string) {          func (t *table) leave(name string) {
    t.mu.Lock()                                   t.mu.Lock()
    defer t.mu.Unlock()                           defer t.mu.Unlock()
    s := t.seats[name]                            s := t.seats[name]
    s.mu.Lock()                         →         t.mu.Unlock()
    defer s.mu.Unlock()                           s.mu.Lock()
    t.settle(s)                                   t.mu.Lock()
}                                                 defer s.mu.Unlock()
                                                  t.settle(s)
                                              }
"""

from __future__ import annotations

from threadmend.golang.builders import BuilderError, insert_after, insert_before
from threadmend.golang.effects import Pair
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import LockOperation, lock_operation, locks_of
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["waited_without"]


def waited_without(pair: Pair) -> tuple[Edit, ...]:
    """Return the edits after which a lock is waited for without the one that is held.

    Raises BuilderError when the function has changed something under the held lock by then, or
    waits in a loop, so that others would come in between two halves of a change.
    """
    taken, node = pair.taken_at, pair.node
    outer = lock_operation(pair.file, taken) if taken is not None else None
    inner = lock_operation(pair.file, node)
    if outer is None or inner is None or outer.call.function is not node.function:
        raise BuilderError("a lock is taken through a helper")
    first, statement = outer.call.parent, node.parent
    if first is None or statement is None or first.parent is not statement.parent:
        raise BuilderError("the second lock is taken in an inner block")
    if {first.kind, statement.kind} != {"expression_statement"} or innermost_loop(node):
        raise BuilderError("the second lock is taken in a loop")
    if any(_changes(s) for s in _between(first, statement)):
        raise BuilderError("something has changed under the first lock by then")
    _check_alone(pair, outer)
    release = "RUnlock" if outer.mode == "read" else "Unlock"
    lock = outer.lock.name
    return (
        *insert_before(statement, f"{lock}.{release}()"),
        *insert_after(statement, f"{lock}.{outer.method}()"),
    )


def _between(first: Node, last: Node) -> list[Node]:
    block = first.parent
    statements = block.statements if block is not None else []
    return [s for s in statements if first.end <= s.start and s.end <= last.start]


def _changes(statement: Node) -> bool:
    """Return whether a statement does more than look, declare, and leave."""
    for node in statement.own():
        if node.kind in {"inc_statement", "dec_statement", "send_statement", "go_statement"}:
            return True
        if node.kind == "assignment_statement":
            if any(left.kind != "identifier" for left in node["left"].children):
                return True
    return statement.kind == "expression_statement"


def _check_alone(pair: Pair, outer: LockOperation) -> None:
    """Raise when the function takes the outer lock in several places."""
    operations = locks_of(pair.file, pair.function).operations
    if sum(o.acquires and o.access == outer.access for o in operations) > 1:
        raise BuilderError("the first lock is taken more than once")
