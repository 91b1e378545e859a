"""A send or receive that waits for a stop too: who has left, and the edits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from threadmend.golang.branches import decisions, spelt_out
from threadmend.golang.builders import BuilderError, at_margin, delete, insert_after, replace
from threadmend.golang.builders.spelling import spelled
from threadmend.golang.channel_index import Behind, behind, operand_of
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.ended import may_have_ended
from threadmend.golang.file import GoFile
from threadmend.golang.functions import result_nodes
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.leaving import Leave, leave_at, zero_value
from threadmend.golang.locks import held_at
from threadmend.golang.stops import Stop, leaves_loop, listens, stops_at, ways_out
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan
from threadmend.model import Confidence, Edit, Finding, Fix, Safety

from ._cancelled_before import cancel_above

__all__ = [
    "deserted",
    "deserted_by",
    "finding",
    "in_select",
    "leaves_on",
    "leaving_cases",
    "name_of",
    "partners_too",
    "takes_until_closed",
]


def finding(file: GoFile, at: Node, message: str, fix: Fix | str) -> Finding:
    """Return a finding with its fix, or with the reason why there is none."""
    return Finding(
        path=file.path,
        start=at.start,
        end=at.end,
        message=message,
        fixes=(fix,) if isinstance(fix, Fix) else (),
        reason="" if isinstance(fix, Fix) else fix,
        confidence=Confidence.MEDIUM if file.is_test else Confidence.HIGH,
    )


# -- who has left --------------------------------------------------------------------------


def deserted_by(
    file: GoFile, operation: Node, channel: Behind, kinds: tuple[str, ...]
) -> str | None:
    """Return the stop on which everybody at the other end of a field's channel leaves.

    The last name of its expression: `quit` of `<-s.quit`, `ctx` of `<-s.ctx.Done()`; sooner
    a channel that they themselves close then. None when somebody stays, or when not every
    operation is visible.
    """
    if channel.shared is None or not channel.shared.is_field or channel.shared.escapes:
        return None
    if channel.shared.copies:
        return None  # a stop of another object may have the same name
    if file.is_test and not channel.shared.decl.file.is_test:
        return None  # a test knows what it does to the insides
    partners = channel.of(*kinds)
    if not partners or any(p.node.function is operation.function for p in partners):
        return None
    common: set[str] | None = None
    told: set[str] = set()
    for partner in partners:
        if partner.file.is_test:
            continue
        closed = _closed_by(partner)
        left = leaves_on(partner) | closed
        told |= closed
        common = left if common is None else common & left
        if not common:
            return None
    return min(common, key=lambda name: (name not in told, name)) if common else None


def _closed_by(operation: ChannelOperation) -> set[str]:
    """Return the fields that the function around a looping operation closes as it leaves."""
    function, loop = operation.node.function, innermost_loop(operation.node)
    if function is None or loop is None:
        return set()
    # Once the channel is closed nobody sends any more.
    if all(_is_at_end(operation, way) for way in ways_out(loop)):
        return set()
    found = re.findall(rb"\bclose\(\w+\.(\w+)\)", function.text)
    own = operand_of(operation.node).name.rpartition(".")[2]
    return {name.decode() for name in found} - {own}


def _is_at_end(operation: ChannelOperation, way: Node) -> bool:
    """Return whether a loop is left where a receive found its channel closed: `if !ok`."""
    statement = operation.node.up("receive_statement", "short_var_declaration")
    return statement is not None and _found_closed(operation.file, statement, way)


def _found_closed(file: GoFile, statement: Node, way: Node) -> bool:
    """Return whether a place is reached when `v, ok := <-ch` has found that nothing comes."""
    left = statement.get("left")
    if left is None or len(left.children) != 2:
        return False
    closed = b"!" + left.children[1].text
    return any(d.holds and spelt_out(file, d.condition) == closed for d in decisions(way))


def takes_until_closed(file: GoFile, loop: Node) -> bool:
    """Return whether a loop begins with `v, ok := <-ch`, and is left when that is closed."""
    first = next(iter(loop["body"].statements), None)
    if first is None or first.kind != "short_var_declaration" or b"<-" not in first["right"].text:
        return False
    return any(_found_closed(file, first, way) for way in ways_out(loop))


def leaves_on(operation: ChannelOperation) -> set[str]:
    """Return the last names of what ends the loop of a select around an operation."""
    return {
        node["operand"].name.removesuffix(".Done()").rpartition(".")[2]
        for case in leaving_cases(operation)
        if listens(operation.file, case["communication"])
        for node in case["communication"].find("unary_expression")
    }


def leaving_cases(operation: ChannelOperation) -> Iterator[Node]:
    """Yield the other cases of a select around an operation that end the loop around it."""
    select = operation.select
    for case in select.children if select is not None else ():
        communication = case.get("communication")
        if communication is not None and case is not operation.case and case.statements:
            if _leaves(case):
                yield case


def _leaves(case: Node) -> bool:
    last = case.statements[-1]
    if last.kind in {"return_statement", "goto_statement"}:
        return True
    if last.kind == "break_statement" and len(last.children) > 1:
        return True
    loop = case.up("for_statement")
    return loop is not None and last.kind == "block" and leaves_loop(loop)


def name_of(stop: Stop) -> str:
    """Return the last name of a stop, as `deserted_by` gives it."""
    return stop.receive.removesuffix(".Done()").rpartition(".")[2]


def partners_too(channel: Behind, stop: Stop, kind: str) -> tuple[Edit, ...]:
    """Return the edits by which the other end of a field's channel listens to a stop too.

    For a goroutine that learns to leave on it: who sends to it (`kind` is `send`), or receives
    from it, must not wait for it afterwards.
    """
    edits: tuple[Edit, ...] = ()
    if channel.shared is None or (kind == "send" and not channel.unbuffered):
        return edits
    for operation in channel.of(kind):
        node = operation.node
        operand = operand_of(node)
        if operation.select is not None or operand.kind != "selector_expression":
            continue
        if operation.file.is_test or held_at(operation.file, node):
            continue
        owner = operand["operand"].name
        for own in stops_at(operation.file, node):
            if name_of(own) == name_of(stop) and own.receive.startswith(f"{owner}."):
                fix = in_select(operation.file, node, own, "")
                edits += fix.edits if isinstance(fix, Fix) else ()
                break
    return edits


def deserted(file: GoFile, select: Node, stop: Stop) -> tuple[Edit, ...]:
    """Return the edits by which the other ends of what a select waits for leave with it."""
    edits: tuple[Edit, ...] = ()
    for case in select.children:
        communication = case.get("communication")
        if communication is None:
            continue
        for node in communication.find("send_statement", "unary_expression"):
            if node.kind == "send_statement":
                edits += partners_too(behind(file, node), stop, "receive")
            elif node["operator"].kind == "<-" and node["operand"].kind == "selector_expression":
                edits += partners_too(behind(file, node), stop, "send")
    return edits


# -- the edits -----------------------------------------------------------------------------


def in_select(
    file: GoFile, operation: Node, stop: Stop, reason: str, *, leave: Leave | str | None = None
) -> Fix | str:
    """Wait in a select for the operation or the stop.

    Sound: until the stop is ready the same operation is waited for. `leave` is how the function
    is left then, when the caller knows.
    """
    statement = operation.statement
    if statement is None:
        return "it is not a statement"
    early = cancel_above(file, operation, stop)
    if early is None and may_have_ended(file, operation, stop):
        return f"{stop.receive} may be ready there already"
    leave = leave or leave_at(file, operation, stop)
    if isinstance(leave, str):
        leave = _as_closed(file, statement, operation) or leave
    if isinstance(leave, str):
        return leave
    clauses = _clauses(file, statement, operation)
    if clauses is None:
        return "the value is used where it is received"
    before, communication, body = clauses
    code = before + f"select {{\ncase {communication}:\n{body}"
    code += f"case <-{stop.receive}:\n" + (f"\t{leave.code}\n}}" if leave.code else "}")
    title = f"Wait for {stop.receive} too"
    try:
        edits: tuple[Edit, ...] = leave.edits + replace(statement, code)
        if early is not None:
            edits += delete(early) + insert_after(statement, early.name)
            title += f", and call {early.name} after it"
    except BuilderError as error:
        return str(error)
    return Fix(title, edits, Safety.UNSAFE, reason)


def _as_closed(file: GoFile, statement: Node, operation: Node) -> Leave | None:
    """Return how `return <-ch` leaves: with the zero value, as when the channel is closed.

    So does `requests <- reply` when `return <-reply` follows.
    """
    function = operation.function
    answer = statement
    if statement.kind == "send_statement" and function is not None:
        answer = function["body"].statements[-1]
        if answer.text != b"return <-" + statement["value"].text:
            return None
    if answer.kind != "return_statement" or function is None:
        return None
    results = result_nodes(function)
    zero = zero_value(file, results[0]) if len(results) == 1 else None
    return Leave(f"return {zero}") if zero is not None else None


def _clauses(file: GoFile, statement: Node, operation: Node) -> tuple[str, str, str] | None:
    """Return what comes before the select, the communication and its clause's body."""
    if statement is operation:
        return "", at_margin(statement), ""
    if statement.kind == "expression_statement" and statement.children[0] is operation:
        return "", at_margin(operation), ""
    if statement.kind == "return_statement":
        return _returned(statement.children[-1].children, operation)
    if statement.kind not in {"short_var_declaration", "assignment_statement"}:
        return None
    right, left = statement["right"].children, statement["left"].children
    if len(right) != 1 or right[0] is not operation:
        return None
    targets = ", ".join(node.name for node in left)
    if statement.kind == "assignment_statement":
        return ("", f"{targets} = {operation.name}", "") if _plain(statement) else None
    channel = file.underlying(file.type_of(operation["operand"]))
    type_ = spelled(file, channel.elem) if isinstance(channel, Chan) else None
    if type_ is None or any(node.name == "_" for node in left) or not _fresh(file, left):
        return None
    before = f"var {left[0].name} {type_}\n"
    if len(left) == 2:
        before += f"var {left[1].name} bool\n"
    return before, f"{targets} = {operation.name}", ""


_SETTLED = frozenset({"identifier", "nil", "true", "false", "int_literal"})


def _returned(values: Sequence[Node], operation: Node) -> tuple[str, str, str] | None:
    """Return the clause of `return <-ch, nil`, where the rest needs no evaluation."""
    others = [value for value in values if value is not operation]
    if len(others) == len(values) or any(v.kind not in _SETTLED for v in others):
        return None
    name = "received" if any(v.name == "v" for v in others) else "v"
    results = ", ".join(name if v is operation else v.name for v in values)
    return "", f"{name} := {operation.name}", f"\treturn {results}\n"


def _plain(statement: Node) -> bool:
    return statement["operator"].kind == "="


def _fresh(file: GoFile, names: list[Node]) -> bool:
    """Return whether a short declaration declares all of its names."""
    bindings = [file.binding(name) for name in names]
    return all(b is not None and b.node is n for b, n in zip(bindings, names, strict=True))
