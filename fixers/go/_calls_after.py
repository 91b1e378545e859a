"""Calls, below the close of a field's channel, of a method that sends on it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import BuilderError, delete, insert_after, insert_before, or_reason
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.syntax import Node
from threadmend.model import Finding, Fix, Related, Safety

__all__ = ["LEAVES", "WAITS", "called_after", "moved_behind", "send_of"]

WAITS = re.compile(rb"(?i)wait|<-")


def called_after(file: GoFile, close: Node) -> Iterator[Finding]:
    """Yield the call, on one straight path below a close, that sends on the closed channel."""
    statement, operand = close.parent, close["arguments"].children[:1]
    if statement is None or statement.kind != "expression_statement" or not operand:
        return
    if operand[0].kind != "selector_expression" or operand[0]["operand"].kind != "identifier":
        return
    for following in statement.following:
        if following.kind != "expression_statement":
            return
        call = following.children[0]
        send = None
        if call.kind == "call_expression" and _same_object(call, operand[0]):
            send = send_of(file, call, operand[0]["field"].name)
        if send is not None:
            yield _finding(close, statement, following, send)
            return


def _same_object(call: Node, operand: Node) -> bool:
    function = call["function"]
    if function.kind != "selector_expression":
        return False
    return bool(function["operand"].text == operand["operand"].text)


def send_of(file: GoFile, call: Node, field: str) -> Node | None:
    """Return the send that a called method always makes on a channel of its object."""
    decl = file.callee(call)
    receiver = decl.node.get("receiver") if decl is not None else None
    if decl is None or receiver is None or not decl.has_body:
        return None
    names = [n.name for d in receiver.children for n in d.all("name")]
    wanted = f"{names[0]}.{field}" if names else ""
    flow = flow_of(decl.node)
    for node in decl.node["body"].statements:
        if node.kind == "send_statement" and node["channel"].name == wanted:
            point = flow.point_of(node)
            early = flow.exits_from(flow.entry, stop={point}.__contains__)
            return node if flow.complete and not early else None
    return None


def _finding(close: Node, statement: Node, call: Node, send: Node) -> Finding:
    name = close["arguments"].children[0].name
    fix = _fix(statement, call)
    return Finding(
        path=call.path,
        start=call.start,
        end=call.end,
        message=f"the call sends on {name} after its close and panics",
        fixes=(fix,) if isinstance(fix, Fix) else (),
        related=(
            Related(close.path, close.start, close.end, "closed here"),
            Related(send.path, send.start, send.end, "sent here"),
        ),
        reason=fix if isinstance(fix, str) else "",
    )


@or_reason
def _fix(statement: Node, call: Node) -> Fix:
    """Make the call before the close.

    Sound: nothing in between waits for the close, and the call panicked where it stood.
    """
    if any(WAITS.search(s.text) for s in statement.following if s.start < call.start):
        raise BuilderError("something in between may wait for the close")
    edits = (*insert_before(statement, call.name), *delete(call))
    return Fix(
        "Make the call before the close", edits, Safety.UNSAFE, "the channel is closed later"
    )


@or_reason
def moved_behind(close: Node, send: Node) -> Fix:
    """Make the call that closes after the last one, further down in its block, that sends.

    Sound: nothing in between waits for the close or leaves, and what sends panicked before.
    """
    statement = close.parent
    if statement is None or statement.kind != "expression_statement":
        raise BuilderError("the call that closes is part of another statement")
    following = list(statement.following)
    first = next((s for s in following if s.contains(send)), None)
    if first is None or close.function is not send.function:
        raise BuilderError("the calls are in different blocks")
    last, behind = first, [s for s in following if s.start > first.start]
    for other in behind:
        if WAITS.search(other.text):
            break
        if any(c["function"].text == send["function"].text for c in other.find("call_expression")):
            last = other
    for between in (s for s in following if s.start <= last.start):
        if WAITS.search(between.text):
            raise BuilderError("something in between may wait for the close")
        if any(n.kind in LEAVES for n in between.own()):
            raise BuilderError("a path in between leaves")
    edits = (*delete(statement), *insert_after(last, close.name))
    title = f"Call {close['function'].name} after the last send"
    return Fix(title, edits, Safety.UNSAFE, "the channel is closed later")


LEAVES = frozenset({"return_statement", "goto_statement", "break_statement", "continue_statement"})
