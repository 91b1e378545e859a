"""What a failed wait undoes of the guarded object, under the lock again.

if err := b.enqueue(job); err != nil {
    delete(b.status, job.ID)  // between b.mu.Lock() and b.mu.Unlock(), once the wait has neither
    return err
}
"""

from __future__ import annotations

from itertools import groupby

from threadmend.golang.access import Access
from threadmend.golang.builders import insert_after, insert_before
from threadmend.golang.file import GoFile
from threadmend.golang.lock_calls import lock_calls
from threadmend.golang.mutations import mutated_argument
from threadmend.golang.node import bare
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["changed", "under_lock", "undone"]

_SIMPLE = frozenset({"assignment_statement", "inc_statement", "dec_statement"})


def changed(file: GoFile, place: Node) -> bool:
    """Return whether a place, or what it holds, is changed or its address taken where it is named.

    `b.status[id] = s`, `delete(b.status, id)`, `&b.last`: a copy would be changed instead.
    """
    node = place
    while (outer := node.parent) is not None:
        if outer.kind in {"inc_statement", "dec_statement"} or outer.field == "left":
            return True
        if outer.kind == "unary_expression":
            return outer["operator"].kind == "&"
        if outer.kind == "argument_list":
            call = outer.parent
            argument = mutated_argument(file, call) if call is not None else None
            return argument is not None and argument.contains(place)
        steps = {"selector_expression", "index_expression", "slice_expression"}
        if outer.kind not in {*steps, "parenthesized_expression"}:
            return False
        if outer.kind in steps and node.field != "operand":
            return False
        node = outer
    return False


def undone(file: GoFile, statement: Node) -> list[Node]:
    """Return what is done where a wait has failed: simple statements of a branch that returns."""
    if statement.kind != "if_statement" or statement.get("initializer") is None:
        return []
    steps = statement["consequence"].statements
    if statement.get("alternative") is not None or not steps:
        return []
    if steps[-1].kind != "return_statement":
        return []
    return [s for s in steps[:-1] if _is_simple(file, s)]


def _is_simple(file: GoFile, statement: Node) -> bool:
    """Return whether a statement runs nothing that may take a lock itself, or wait."""
    calls = list(statement.find("call_expression"))
    if statement.kind == "expression_statement":
        call = bare(statement.children[0])
        return calls == [call] and mutated_argument(file, call) is not None
    return statement.kind in _SIMPLE and not calls and not list(statement.find("func_literal"))


def under_lock(file: GoFile, access: Access, steps: list[Node]) -> list[Edit] | None:
    """Return the edits that put a lock around statements of one block, None if it is not known."""
    if not steps:
        return []
    function = steps[0].function
    taken = [
        o.call.name
        for o in (lock_calls(file, function) if function is not None else ())
        if o.access == access and o.acquires and o.mode == "write" and o.method == "Lock"
    ]
    if len(set(taken)) != 1 or not taken[0].endswith("Lock()"):
        return None
    block = steps[0].parent
    assert block is not None
    edits: list[Edit] = []
    for together, run in groupby(block.statements, lambda s: s in steps):
        inside = list(run)
        if together:
            edits += insert_before(inside[0], taken[0])
            edits += insert_after(inside[-1], f"{taken[0].removesuffix('Lock()')}Unlock()")
    return edits
