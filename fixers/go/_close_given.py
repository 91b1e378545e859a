"""Second closes of a channel that a function is given: a parameter, or a field of one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import delete
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Flow, flow_of
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.plain import is_plain
from threadmend.golang.syntax import Node
from threadmend.model import Finding, Fix, Related

__all__ = ["closed_again", "gives_up", "is_part_of"]


def closed_again(file: GoFile, function: Node) -> Iterator[Finding]:
    """Yield second closes of a parameter's or field's channel in one function."""
    closes = [
        node
        for node in function.own()
        if node.kind == "call_expression" and node["function"].text == b"close"
    ]
    for first in closes if len(closes) > 1 else ():
        operand = first["arguments"].children[0] if first["arguments"].children else None
        statement = first.parent
        if operand is None or statement is None or statement.kind != "expression_statement":
            continue
        if file.resolve(first["function"]) is not None or not _is_given(file, function, operand):
            continue
        flow = flow_of(function)
        start = flow.point_of(first)
        if start is None or not flow.complete or gives_up(ChannelOperation("close", first, file)):
            continue
        deferred = _deferred_close(flow, first, closes)
        if deferred is not None:
            yield _at_the_end(first, deferred, operand.name)
            return
        after = flow.reachable(start)
        for second in closes:
            point = flow.point_of(second)
            same = second["arguments"].text == first["arguments"].text
            if second is first or not same or point is None or point not in after:
                continue
            loop = innermost_loop(first)
            if loop is not None and loop is innermost_loop(second):
                if not flow.dominates(start, point):
                    continue  # each round may have a channel of its own
            yield _second(flow, first, second, operand.name)
            return


def _deferred_close(flow: Flow, first: Node, closes: list[Node]) -> Node | None:
    """Return the deferred close of the same channel that certainly follows an explicit one."""
    start = flow.point_of(first)
    for second in closes:
        statement = second.parent
        if statement is None or statement.kind != "defer_statement":
            continue
        if second["arguments"].text == first["arguments"].text:
            point = flow.point_of(statement)
            if point is not None and start is not None and flow.dominates(point, start):
                return second
    return None


def _at_the_end(first: Node, deferred: Node, name: str) -> Finding:
    """Build the finding; the fix leaves the channel to the deferred close.

    Sound: it ran right after the explicit one, and panicked.
    """
    statement = first.parent
    after = statement.next if statement is not None else None
    fix, reason = None, "something runs between the two closes"
    plain = after is not None and after.kind == "return_statement" and is_plain(after)
    if statement is not None and plain:
        fix, reason = Fix(f"Leave {name} to the deferred close", delete(statement)), ""
    return Finding(
        path=first.path,
        start=first.start,
        end=first.end,
        message=f"{name} may be closed twice: when the deferred close runs",
        fixes=(fix,) if fix else (),
        related=(Related(deferred.path, deferred.start, deferred.end, "closed here too"),),
        reason=reason,
    )


def _is_given(file: GoFile, function: Node, operand: Node) -> bool:
    """Return whether an operand is a parameter, or a field, that stays the same channel."""
    if operand.kind not in {"identifier", "selector_expression"}:
        return False
    root = operand
    while root.kind == "selector_expression":
        root = root["operand"]
    binding = file.binding(root)
    if (
        binding is None
        or not is_assigned_once(binding)
        or binding.declaration.kind != ("parameter_declaration")
    ):
        return False
    return not any(
        is_part_of(operand, left)
        for node in function.find("assignment_statement")
        for left in node["left"].children
    )


def is_part_of(operand: Node, place: Node) -> bool:
    """Return whether an expression is a place, or a field further in: `l.tail.ch` of `l.tail`."""
    return operand.text == place.text or operand.text.startswith(place.text + b".")


def _second(flow: Flow, first: Node, second: Node, name: str) -> Finding:
    fix, reason = None, "which of the two closes is right depends on the path"
    start, end = flow.point_of(first), flow.point_of(second)
    statement = second.parent
    if start and end and statement is not None and flow.dominates(start, end):
        if statement.kind == "expression_statement":
            fix, reason = Fix(f"Drop the second close of {name}", delete(statement)), ""
    return Finding(
        path=second.path,
        start=second.start,
        end=second.end,
        message=f"{name} may be closed twice: it was closed further up",
        fixes=(fix,) if fix else (),
        related=(Related(first.path, first.start, first.end, "closed here too"),),
        reason=reason,
    )


_GIVES_UP = re.compile(rb"(?i)(?:fatal|fail|panic|exit)\w*\(")


def gives_up(close: ChannelOperation) -> bool:
    """Return whether what follows a close, by its name, never returns."""
    statement = close.anchor.statement
    following = statement.following if statement is not None else []
    return any(s.kind == "expression_statement" and _GIVES_UP.search(s.text) for s in following)
