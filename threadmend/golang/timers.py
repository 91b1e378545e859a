"""Timers that `time.After` makes in a loop: where, and how often another one follows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.access import uses_of
from threadmend.golang.flow import Flow, flow_of
from threadmend.golang.goroutines import outermost_loop
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["Waiting", "time_afters", "waits_in_loops", "waits_on"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """One `time.After(d)`, or call of a function that returns it, that a select in a loop waits on.

    `select` is the statement that waits, `case` its clause for the timer. `variable` is the
    channel's name where the call stands in a `:=` of the loop instead of in the case.
    """

    call: Node
    select: Node
    case: Node
    variable: Binding | None = None

    @property
    def duration(self) -> Node:
        """Return the argument."""
        return self.call["arguments"].children[0]

    @property
    def statement(self) -> Node:
        """Return the statement at which the timer starts."""
        return self.select if self.variable is None else self.variable.declaration

    @property
    def others(self) -> list[Node]:
        """Return the other clauses of the select, in order."""
        return [c for c in self.select.children if c is not self.case and c.kind in _CLAUSES]

    def repeats(self) -> bool:
        """Return whether the timer can start again in the same run of the function."""
        flow = _flow(self.call)
        point = flow.point_of(self.statement)
        return point is not None and flow.in_loop(point)

    def abandons(self) -> bool:
        """Return whether the loop can go on by another case, the timer still running."""
        flow = _flow(self.call)
        start = flow.point_of(self.statement)
        for clause in self.others:
            first = clause.get("communication") or next(iter(clause.statements), None)
            point = flow.point_of(first) if first is not None else flow.point_of(self.select)
            if point is not None and start in flow.reachable(point):
                return True
        return False


_CLAUSES = frozenset({"communication_case", "default_case"})


def _flow(node: Node) -> Flow:
    function = node.function
    assert function is not None
    return flow_of(function)


def waits_in_loops(file: GoFile) -> Iterator[Waiting]:
    """Yield the `time.After` calls that a select in a loop waits on, again and again."""
    for call in time_afters(file):
        waiting = _in_case(call) or _in_variable(file, call) if outermost_loop(call) else None
        if waiting is not None and waiting.repeats():
            yield waiting


def time_afters(file: GoFile) -> Iterator[Node]:
    """Yield the calls of `time.After`."""
    for call in file.calls("After"):
        function = call["function"]
        if function.kind == "selector_expression" and _is_time(file, function["operand"]):
            if len(call["arguments"].children) == 1:
                yield call


def waits_on(call: Node) -> Waiting | None:
    """Return the wait of a select in a loop, again and again, on the timer that a call returns."""
    waiting = _in_case(call) if outermost_loop(call) is not None else None
    return waiting if waiting is not None and waiting.repeats() else None


def _is_time(file: GoFile, operand: Node) -> bool:
    return (
        operand.kind == "identifier"
        and file.imported(operand.name) == "time"
        and file.binding(operand) is None
    )


def _received_by(channel: Node) -> Node | None:
    """Return the clause of a select that receives from a channel expression."""
    receive = channel.parent
    if receive is None or receive.kind != "unary_expression":
        return None
    if receive["operator"].kind != "<-":
        return None
    for ancestor in receive.ancestors():
        if ancestor.kind == "communication_case":
            communication = ancestor.get("communication")
            inside = communication is not None and communication.contains(receive)
            return ancestor if inside else None
        if ancestor.kind not in {"receive_statement", "expression_statement"}:
            return None
    return None


def _in_case(call: Node) -> Waiting | None:
    case = _received_by(call)
    if case is None or case.parent is None:
        return None
    return Waiting(call, case.parent, case)


def _in_variable(file: GoFile, call: Node) -> Waiting | None:
    """Return the wait on `timeout := time.After(d)` where nothing else uses the channel."""
    declaration = call.parent.parent if call.parent is not None else None
    if declaration is None or declaration.kind != "short_var_declaration":
        return None
    names = declaration["left"].children
    binding = file.binding(names[0]) if len(names) == 1 else None
    if binding is None or binding.node is not names[0]:
        return None
    cases = []
    for use in uses_of(binding):
        if use.kind == "declare":
            continue
        case = _received_by(use.node)
        if case is None or use.function is not call.function:
            return None
        cases.append(case)
    if len(cases) != 1 or cases[0].parent is None:
        return None
    return Waiting(call, cases[0].parent, cases[0], binding)
