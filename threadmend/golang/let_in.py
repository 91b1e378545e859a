"""Let in: whether a section that has ended decided which goroutine comes to a place.

mu.Lock()                       mu.Lock()
if taken {                      a = append(a, x)
    mu.Unlock()                 mu.Unlock()
    return                      b = append(b, x)     // whoever comes here comes beside others
}
taken = true
mu.Unlock()
b = append(b, x)                // only the first one comes here

What was read under the lock has to decide, and the section has to change it: else all of them read
the same. Likewise what a `sync.Once` runs for the first one alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of
from threadmend.golang.flow import flow_of
from threadmend.golang.iterations import point_in
from threadmend.golang.launched import literal_of
from threadmend.golang.lock_operations import LockOperation, lock_operation
from threadmend.golang.locks import held_inside, locks_of
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.signals import Signal

__all__ = ["is_held_there", "lets_one_in"]

_ASSIGN = frozenset({"assignment_statement", "short_var_declaration"})
_LEAVES = frozenset({"return_statement", "continue_statement", "break_statement", "goto_statement"})
_ELEMENTS = frozenset({"index_expression", "selector_expression"})


def lets_one_in(file: GoFile, signal: Signal, function: Node, node: Node) -> bool:
    """Return whether a lock or Once before a node of a function may keep others away from it.

    As long as it lasts, or when what was found out in it decides who goes on. What cannot be
    told does.
    """
    if signal.kind == "once":
        call = signal.node
        return _lasts_around(call, node) or _is_decided(
            file, function, node, call, list(call.walk())
        )
    operation = lock_operation(file, signal.node)
    if signal.name in {"Signal", "Broadcast"}:
        return False
    if operation is None or operation.access is None or operation.tries:
        return True
    if operation.releases:
        return False  # the section that it ends has begun before
    inner = signal.node.function
    if inner is None or inner is function:
        section = _section(file, function, operation, node)
        return section is None or _is_decided(file, function, node, operation.call, section)
    if not any(
        o.releases and o.access == operation.access for o in locks_of(file, inner).operations
    ):
        return True
    body = list(inner["body"].walk())
    if function.contains(inner):
        return _is_decided(file, function, node, inner, body)
    calls = [c for c in function.own() if _calls(file, c, inner) and c.end <= node.start]
    return any(_is_decided(file, function, node, call, body) for call in calls)


def is_held_there(file: GoFile, signal: Signal, node: Node) -> bool:
    """Return whether a signal takes a lock that is certainly held at a node behind it."""
    operation = lock_operation(file, signal.node) if signal.kind == "lock" else None
    if operation is None or operation.access is None or not operation.acquires:
        return False
    return any(h.access == operation.access for h in held_inside(file, node))


def _lasts_around(call: Node, node: Node) -> bool:
    return call.start <= node.start and node.end <= call.end


def _calls(file: GoFile, call: Node, literal: Node) -> bool:
    called = call["function"] if call.kind == "call_expression" else None
    return (
        called is not None and called.kind == "identifier" and literal_of(file, called) is literal
    )


def _section(
    file: GoFile, function: Node, operation: LockOperation, node: Node
) -> list[Node] | None:
    """Return what runs under a lock that is given back before a node; None where it may last."""
    flow = flow_of(function)
    start, end = flow.point_of(operation.call), point_in(flow, node)
    if start is None or end is None or not flow.complete:
        return None
    given = {
        flow.point_of(o.call)
        for o in locks_of(file, function).operations
        if o.releases and o.access == operation.access and o.deferred is None
    }
    given.discard(end)
    inside = flow.reachable(start, stop=given.__contains__)
    return None if end in inside else [n for point in inside for n in point.own()]


# -- what decides ----------------------------------------------------------------------


def _is_decided(file: GoFile, function: Node, node: Node, taken: Node, section: list[Node]) -> bool:
    """Return whether a test of what a section changes decides whether a node is reached.

    `taken` is where the section begins: it may be a call whose result is tested.
    """
    changed = {*_changed(file, section)}
    if not changed:
        return False
    for outer in section:
        if outer.kind in _ASSIGN and _reads(file, outer["right"], changed):
            changed.update(a for t in outer["left"].children if (a := access_of(file, t)))
    results = _results(file, taken)
    return any(
        test.contains(taken) or _reads(file, test, changed | results)
        for test in _tests(function, node)
        if test.end > taken.start
    )


def _changed(file: GoFile, section: list[Node]) -> Iterator[Access]:
    """Yield what the statements of a section assign, local names of its own left out."""
    for node in section:
        if node.kind == "assignment_statement":
            targets = node["left"].children
        elif node.kind in {"inc_statement", "dec_statement"}:
            targets = node.children[:1]
        elif node.kind == "call_expression" and node["function"].text in {b"delete", b"clear"}:
            targets = node["arguments"].children[:1]
        else:
            continue
        yield from (access for target in targets if (access := access_of(file, target)))


def _results(file: GoFile, taken: Node) -> set[Access]:
    """Return the variables that get what a call returns."""
    statement = taken.statement if taken.kind == "call_expression" else None
    if statement is None or statement.kind not in _ASSIGN or not statement["right"].contains(taken):
        return set()
    return {a for t in statement["left"].children if (a := access_of(file, t))}


def _reads(file: GoFile, node: Node, places: set[Access]) -> bool:
    """Return whether an expression looks at one of some places, at a part of it or around it."""
    for inner in node.walk():
        if inner.kind == "identifier" or inner.kind in _ELEMENTS:
            access = access_of(file, inner)
            if access is not None and any(access.under(p) or p.under(access) for p in places):
                if inner.kind != "identifier" or access in places or not _leads_on(inner):
                    return True
    return False


def _leads_on(name: Node) -> bool:
    """Return whether a name is only the beginning of a path: `s` of `s.taken`."""
    return name.field == "operand" and name.parent is not None and name.parent.kind in _ELEMENTS


def _tests(function: Node, node: Node) -> Iterator[Node]:
    """Yield what decides on the way to a node: the tests around it, and those before that leave."""
    for outer in function["body"].own():
        if outer.start >= node.start:
            return
        around = outer.contains(node)
        if outer.kind == "if_statement":
            ends = [outer.get("consequence"), outer.get("alternative")]
            if around or any(b is not None and _leaves(b) for b in ends):
                yield from _parts(outer, "initializer", "condition")
        elif outer.kind == "for_statement" and around:
            yield from (c for c in outer.children if c.field != "body")
        elif outer.kind in {"expression_switch_statement", "type_switch_statement"}:
            if around or any(_leaves(c) for c in outer.children if c.kind.endswith("_case")):
                yield from _parts(outer, "initializer", "value")
                for case in outer.children:
                    yield from _parts(case, "value")


def _parts(node: Node, *fields: str) -> Iterator[Node]:
    yield from (part for f in fields if (part := node.get(f)) is not None)


def _leaves(block: Node) -> bool:
    if block.kind == "if_statement":
        return any(_leaves(b) for f in ("consequence", "alternative") if (b := block.get(f)))
    last = block.statements[-1:]
    return bool(last) and (last[0].kind in _LEAVES or b"panic(" in last[0].text)
