"""Who else writes what a decision is about: nobody, or only under a lock that is held all along."""

from __future__ import annotations

from threadmend.golang.decisions import Decision
from threadmend.golang.field_accesses import FieldAccess, accesses_like
from threadmend.golang.same_goroutine import run_together
from threadmend.golang.syntax import Node

__all__ = ["is_of_one_goroutine", "is_one_at_a_time"]


def is_of_one_goroutine(decision: Decision) -> bool:
    """Return whether the goroutine that decides makes all writes: nothing changes in between."""
    return run_together(decision.write, _writes(decision))


def is_one_at_a_time(decision: Decision) -> bool:
    """Return whether another lock is held all along, by whoever else writes as well."""
    own = decision.first.access
    around = {h.access for h in decision.read.held if h.mode == "write" and h.access != own}
    classes = {h.lock_class for h in decision.write.held if h.access in around}
    writes = _writes(decision)
    return any(all(w.holds(c) for w in writes) for c in classes if c is not None)


def _writes(decision: Decision) -> list[FieldAccess]:
    """Return the writes that matter.

    Others may delete what a map does not have, and clear a field.
    """
    write = decision.write
    return [
        access
        for access in accesses_like(write.file.package, write.file, write.node)
        if access.writes and not access.setup
        if not (_is_element(write.node) and _is_deleted(access.node))
        if not _is_cleared(access.node)
    ]


def _is_element(node: Node) -> bool:
    return (
        node.field == "operand"
        and node.parent is not None
        and node.parent.kind == "index_expression"
    )


def _is_deleted(node: Node) -> bool:
    call = node.up("call_expression")
    return (
        call is not None and call["function"].text == b"delete" and call["arguments"].contains(node)
    )


def _is_cleared(node: Node) -> bool:
    """Return whether a statement sets a field to nil."""
    values = node.parent
    statement = values.parent if values is not None and values.field == "left" else None
    if statement is None or statement.kind != "assignment_statement" or values is None:
        return False
    right = statement["right"].children
    index = values.children.index(node)
    return len(right) == len(values.children) and right[index].text == b"nil"
