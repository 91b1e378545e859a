"""Who else writes what a decision is about: nobody, or only under a lock that is held all along."""

from __future__ import annotations

from threadmend.golang.access import access_of
from threadmend.golang.crowds import crowds
from threadmend.golang.decisions import Decision
from threadmend.golang.field_accesses import FieldAccess, accesses_like
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.same_goroutine import run_together
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node

__all__ = ["is_of_one_goroutine", "is_one_at_a_time", "is_same_flag"]

_PICKS = frozenset({"index_expression", "call_expression", "type_assertion_expression"})


def is_of_one_goroutine(decision: Decision) -> bool:
    """Return whether the goroutine that decides makes all writes: nothing changes in between."""
    writes = _writes(decision)
    return run_together(decision.write, writes) or _is_loop_of_one(decision, writes)


def _is_loop_of_one(decision: Decision, writes: list[FieldAccess]) -> bool:
    """Return whether one endless loop decides and makes all writes: `for { m := <-in; … }`.

    One goroutine for each object runs such a loop, unless it is seen to be started more often.
    """
    function, loop = decision.write.node.function, innermost_loop(decision.write.node)
    if function is None or loop is None or any(w.node.function is not function for w in writes):
        return False
    endless = not any(c.kind in {"range_clause", "for_clause"} for c in loop.children)
    if not endless or loop.children[1].kind != "block" or not loop.contains(decision.read.node):
        return False
    return all(crowd.body is not function for crowd in crowds(decision.write.file.package))


def is_one_at_a_time(decision: Decision) -> bool:
    """Return whether another lock is held all along, by whoever else writes as well."""
    own = decision.first.access
    around = {h.access for h in decision.read.held if h.mode == "write" and h.access != own}
    held = [h for h in decision.write.held if h.access in around]
    if any(isinstance(h.access.root, Binding) and _is_picked(h.access.root) for h in held):
        return True
    classes = {h.lock_class for h in held}
    writes = _writes(decision)
    return any(all(w.holds(c) for w in writes) for c in classes if c is not None)


def _is_picked(root: Binding) -> bool:
    """Return whether a lock is one of many, for a key: `lock, ok := s.locks[key]`."""
    value = root.value
    return root.kind == "variable" and value is not None and value.kind in _PICKS


def is_same_flag(decision: Decision) -> bool:
    """Return whether a flag is set that may be set already, and nothing else is done about it.

    What the section asks for anew decides for itself: `if !c.running[key] { go c.run(key) }`.
    """
    store, function = decision.write.node.statement, decision.write.node.function
    if store is None or function is None or decision.by.kind != "if_statement":
        return False
    if store.kind != "assignment_statement" or len(store["right"].children) != 1:
        return False
    if store["right"].children[0].text not in {b"true", b"false", b"struct{}{}"}:
        return False
    if not decision.by.contains(store):
        return False
    operations = {o.call for o in decision.locks.operations}
    for statement in decision.by["consequence"].statements:
        call = statement.children[0] if statement.kind == "expression_statement" else None
        if statement is store or call in operations or _asks_anew(decision, statement):
            continue
        return False
    return True


def _asks_anew(decision: Decision, statement: Node) -> bool:
    """Return whether a statement of the section tests what the same object holds by then."""
    if statement.kind != "if_statement" or statement.start < decision.second.call.end:
        return False
    base = decision.write.base
    return base is not None and any(
        access_of(decision.write.file, n["operand"]) == base
        for n in statement["condition"].find("selector_expression")
    )


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
