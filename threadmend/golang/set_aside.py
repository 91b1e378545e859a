"""Set aside: what a field leads to is left alone by others until who works on it clears it.

func (s *Store) rotate() {                        func (s *Store) save() {
    s.mu.Lock()                                       if !s.pending() { return }
    if s.frozen == nil {                              s.frozen.walk(s.disk)   // needs no lock
        s.frozen, s.live = s.live, newTable()         s.mu.Lock()
    }                                                 s.frozen = nil
    s.mu.Unlock()                                     s.mu.Unlock()
}                                                 }
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.functions import outer_function
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.field_accesses import FieldAccess
    from threadmend.golang.guards import Guard

__all__ = ["clears_what_is_aside", "is_set_aside"]


def is_set_aside(access: FieldAccess, guard: Guard) -> bool:
    """Return whether a read stands in the function that alone clears what it reads, further up."""
    function = outer_function(access.node)
    return (
        not access.writes
        and function is not None
        and access.node.function is function
        and clears_what_is_aside(function, guard)
        and all(
            access.node.end <= write.node.start
            for write in _writes(guard)
            if outer_function(write.node) is function
        )
    )


def clears_what_is_aside(function: Node, guard: Guard) -> bool:
    """Return whether a function sets a field to nil, and all others set it only when it is nil."""
    writes = list(_writes(guard))
    own = [w for w in writes if outer_function(w.node) is function]
    others = [w for w in writes if w not in own]
    return (
        bool(own and others)
        and all(w.held_here and _clears(w.node) for w in own)
        and all(_fills(w.node) for w in others)
    )


def _writes(guard: Guard) -> Iterator[FieldAccess]:
    return (a for a in (*guard.locked, *guard.unlocked) if a.writes and not a.setup)


def _clears(node: Node) -> bool:
    """Return whether an assignment sets a field to nil: `s.frozen = nil`."""
    statement = node.parent.parent if node.parent is not None else None
    if statement is None or statement.kind != "assignment_statement":
        return False
    targets, values = statement["left"].children, statement["right"].children
    return len(targets) == len(values) and any(
        target is node and value.kind == "nil"
        for target, value in zip(targets, values, strict=True)
    )


def _fills(node: Node) -> bool:
    """Return whether a field is set only where it was found to be nil."""
    inner = node
    for outer in node.ancestors():
        if outer.kind == "func_literal":
            return False
        if outer.kind == "if_statement" and inner.field == "consequence":
            if any(test == node.text for test in _found_nil(outer["condition"])):
                return True
        inner = outer
    return False


def _found_nil(condition: Node) -> Iterator[bytes]:
    """Yield what is nil where a condition holds."""
    if condition.kind != "binary_expression":
        return
    operator = condition["operator"].kind
    if operator == "&&":
        yield from _found_nil(condition["left"])
        yield from _found_nil(condition["right"])
    elif operator == "==" and condition["right"].kind == "nil":
        yield condition["left"].text
