"""Sends through a method, `r.printf(…)`, before the only goroutine that receives is launched."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import BuilderError, delete, insert_before, or_reason
from threadmend.golang.channel_index import behind, operand_of
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, launches
from threadmend.golang.syntax import Node
from threadmend.model import Finding, Fix, Related, Safety

from ._calls_after import send_of

__all__ = ["above_launch", "sent_too_early"]


def sent_too_early(file: GoFile) -> Iterator[Finding]:
    """Yield the calls that send to a new object's goroutine above its launch."""
    for launch in launches(file):
        made = _made(file, launch)
        receive = _receive(launch) if made is not None else None
        if made is None or receive is None:
            continue
        for statement in made.following:
            if statement is launch.node:
                break
            send = _sends(file, launch, receive, statement)
            if send is not None:
                yield above_launch(launch, statement, send, _fix(launch, statement))
                break


def _made(file: GoFile, launch: Launch) -> Node | None:
    """Return the statement, in the block of the launch, that makes the launched method's object."""
    call = launch.call
    if launch.kind != "go" or call is None or call["arguments"].children:
        return None
    operand = call["function"].get("operand")
    binding = file.binding(operand) if operand is not None else None
    if binding is None or binding.declaration.kind != "short_var_declaration":
        return None
    made = binding.node.statement
    if made is None or made.parent is not launch.node.parent:
        return None
    later = (u for u in binding.uses if made.end <= u.start < launch.node.start)
    plain = all(u.parent is not None and u.parent.kind == "selector_expression" for u in later)
    return made if plain else None


def _receive(launch: Launch) -> Node | None:
    """Return the operation by which the goroutine, and nothing else, receives."""
    body = launch.body
    if body is None or launch.decl is None or body.kind != "method_declaration":
        return None
    for node in body.find("range_clause", "unary_expression"):
        if node.kind == "unary_expression" and node["operator"].kind != "<-":
            continue
        if operand_of(node).kind != "selector_expression" or node.function is not body:
            continue
        channel = behind(launch.decl.file, node)
        shared = channel.shared
        if shared is None or not shared.is_field or not channel.known or not channel.unbuffered:
            continue
        if all(r.node.function is body for r in shared.of("receive", "range")):
            return node
    return None


def _sends(file: GoFile, launch: Launch, receive: Node, statement: Node) -> Node | None:
    """Return the send that a statement certainly makes, on the channel of the new object."""
    call = statement.children[0] if statement.kind == "expression_statement" else None
    if call is None or call.kind != "call_expression" or launch.call is None:
        return None
    function = call["function"]
    if function.kind != "selector_expression":
        return None
    if function["operand"].text != launch.call["function"]["operand"].text:
        return None
    return send_of(file, call, operand_of(receive)["field"].name)


def above_launch(launch: Launch, call: Node, send: Node, fix: Fix | str) -> Finding:
    """Return the finding for a call that sends to the goroutine which is launched below it."""
    name, node = send["channel"].name, launch.node
    return Finding(
        path=call.path,
        start=call.start,
        end=call.end,
        message=f"the call waits for ever in its send to {name}: its receiver is launched below",
        fixes=(fix,) if isinstance(fix, Fix) else (),
        related=(
            Related(send.path, send.start, send.end, "sent here"),
            Related(node.path, node.start, node.end, "launched here"),
        ),
        reason=fix if isinstance(fix, str) else "",
    )


@or_reason
def _fix(launch: Launch, statement: Node) -> Fix:
    """Launch the receiver before the first send.

    Sound: execution never got from the send to the launch, and nothing in between prepares
    what the goroutine needs.
    """
    for between in (statement, *statement.following):
        if between is launch.node:
            break
        if between.kind != "expression_statement":
            raise BuilderError(
                "what stands between the send and the launch may be for the goroutine"
            )
    edits = (*insert_before(statement, launch.node.name), *delete(launch.node))
    title = "Launch the receiver before the first send"
    return Fix(title, edits, Safety.UNSAFE, "the goroutine starts earlier")
