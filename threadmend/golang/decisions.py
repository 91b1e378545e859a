"""Decisions: a value read in one critical section decides a write in a later one.

c.mu.Lock()                     The lock was free in between: another goroutine may have
_, ok := c.items[key]           taken the same decision, or changed what it was taken on.
c.mu.Unlock()
if !ok {
    c.mu.Lock()
    c.items[key] = value
    c.mu.Unlock()
}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.field_accesses import FieldAccess
from threadmend.golang.guards import guarded_places
from threadmend.golang.lock_calls import helped_locks
from threadmend.golang.locks import LockOperation, Locks
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.package import Package

__all__ = ["Decision", "decisions", "section_of"]

_LEAVES = frozenset({"return_statement", "continue_statement", "break_statement"})


@dataclass(frozen=True, slots=True)
class Decision:
    """A read and the write that it decides, with the operations that begin their sections.

    `by` is what connects them: the `if` statement, or the statement that writes a value
    computed from the one read.
    """

    read: FieldAccess
    write: FieldAccess
    by: Node
    locks: Locks
    first: LockOperation
    second: LockOperation


def decisions(package: Package) -> Iterator[Decision]:
    """Yield the decisions of a package that span two sections of one lock."""
    for accesses in guarded_places(package).values():
        by_function: dict[Node, list[FieldAccess]] = {}
        for access in accesses:
            function = access.node.function
            if function is not None and access.held_here and not access.fresh:
                by_function.setdefault(function, []).append(access)
        for function, own in by_function.items():
            if len(own) > 1 and any(a.writes for a in own) and not all(a.writes for a in own):
                yield from _in_function(function, own)


def _in_function(function: Node, accesses: list[FieldAccess]) -> Iterator[Decision]:
    file = accesses[0].file
    locks = helped_locks(file, function)
    if _runs_one_at_a_time(function):
        return
    if sum(o.acquires for o in locks.operations) < 2:
        return
    for write in accesses:
        begin = section_of(locks, write)
        if not write.writes or begin is None:
            continue
        if any(section_of(locks, a) is begin and _precedes(a, write) for a in accesses):
            continue  # looks again
        for read in accesses:
            first = section_of(locks, read)
            if read.writes or first is None or first is begin or first.access != begin.access:
                continue
            if read.node.start > begin.call.start or read.base != write.base:
                continue
            by = _decided_by(read, write)
            if by is not None and _asks_anew(read, write, begin):
                continue
            if by is not None and _follows(locks, read, write):
                yield Decision(read, write, by, locks, first, begin)
                break


def _runs_one_at_a_time(function: Node) -> bool:
    """Return whether a literal is handed to what runs it once at a time: `group.Do(key, func…)`.

    A singleflight group, or `once.Do`: who else asks for the key waits for the result.
    """
    arguments = function.parent
    call = arguments.parent if arguments is not None else None
    if function.kind != "func_literal" or call is None or call.kind != "call_expression":
        return False
    called = call["function"]
    if called.kind != "selector_expression":
        return False
    return called["field"].name in {"Do", "DoChan"} and function.field != "function"


def section_of(locks: Locks, access: FieldAccess) -> LockOperation | None:
    """Return the operation that began the critical section that an access is in."""
    best = None
    for operation in locks.operations:
        if operation.acquires and operation.call.end <= access.node.start:
            if any(h.access == operation.access for h in access.held_here):
                best = operation
    return best


def _precedes(access: FieldAccess, write: FieldAccess) -> bool:
    """Return whether an access looks at the place again, and decides the write anew."""
    if access is write or access.node.start > write.node.start:
        return False
    at: Node = access.node
    for outer in at.ancestors():
        if outer.kind in {"if_statement", "expression_switch_statement"}:
            if at.field in {"condition", "initializer", "value"}:
                return True
        at = outer
    if _condition_between(access, write, set(_results(access))) is not None:
        return True
    return _place(access) == _place(write) and _decided_by(access, write) is not None


def _asks_anew(read: FieldAccess, write: FieldAccess, begin: LockOperation) -> bool:
    """Return whether the write's own section looks at what the value that was read leads to.

    `e.users--; if e.users == 0 { delete(c.entries, key) }`, where `e` is the entry of before.
    """
    names = set(_results(read))
    for above in write.node.ancestors():
        if above.kind == "if_statement" and above.start > begin.call.start:
            for node in above["condition"].find("selector_expression"):
                if read.file.binding(node["operand"]) in names:
                    return True
    return False


def _place(access: FieldAccess) -> bytes:
    """Return the text of the very place that is read or written, an element with its key."""
    node: Node = access.node
    while node.parent is not None and node.parent.kind == "index_expression":
        if node.field != "operand":
            break
        node = node.parent
    return node.text


def _statement(access: FieldAccess) -> Node | None:
    return access.node.statement


def _follows(locks: Locks, read: FieldAccess, write: FieldAccess) -> bool:
    flow = locks.flow
    start, end = flow.point_of(read.node), flow.point_of(write.node)
    return start is not None and end is not None and end in flow.reachable(start)


def _decided_by(read: FieldAccess, write: FieldAccess) -> Node | None:
    """Return what makes the write depend on what was read into a local variable."""
    names = set(_results(read))
    if not names:
        return None
    statement = _statement(write)
    if statement is not None and statement.kind == "assignment_statement":
        if _mentions(read, statement["right"], names):
            return statement
    return _condition_between(read, write, names)


def _condition_between(read: FieldAccess, write: FieldAccess, names: set[Binding]) -> Node | None:
    """Return the `if` on one of these variables on which the write depends."""
    function = write.node.function
    for node in function.own() if function is not None else ():
        if node.kind != "if_statement" or node.start < read.node.end:
            continue
        if node.start > write.node.start:
            break
        condition = node.get("condition")
        if condition is None or not _mentions(read, condition, names):
            continue
        if node.contains(write.node) or _leaves(node.get("consequence")):
            return node
    return None


def _results(read: FieldAccess) -> Iterator[Binding]:
    """Yield the local variables that the statement of a read gives values to."""
    statement = _statement(read)
    if statement is None or statement.kind not in {
        "short_var_declaration",
        "assignment_statement",
    }:
        return
    if not statement["right"].contains(read.node):
        return
    for target in statement["left"].children:
        binding = read.file.binding(target)
        if binding is not None:
            yield binding


def _mentions(read: FieldAccess, node: Node, names: set[Binding]) -> bool:
    return any(
        n.kind == "identifier" and read.file.binding(n) in names for n in node.find("identifier")
    )


def _leaves(block: Node | None) -> bool:
    statements = block.statements if block is not None else []
    return bool(statements) and statements[-1].kind in _LEAVES
