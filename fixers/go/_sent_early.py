"""A send that stands above the statement which launches its receiver, and where it can go."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import Access, access_of
from threadmend.golang.builders import move_after, with_reason
from threadmend.golang.channel_index import behind, operand_of
from threadmend.golang.evidence import nodes_at
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop, launches_in
from threadmend.golang.syntax import Node
from threadmend.model import Finding, Fix, Related, Safety

__all__ = ["sent_too_early"]


def sent_too_early(file: GoFile, line: int) -> Iterator[Finding]:
    """Yield the send of a line whose receiver is only launched further down in its block."""
    for send in nodes_at(file, line, "send_statement"):
        channel = access_of(file, send["channel"])
        if channel is None or send.parent is None or send.parent.kind != "block":
            continue
        after: Node | None = send.next
        while after is not None:
            if _launches_receiver(file, send, channel, after):
                yield _moved(file, send, after)
                return
            if _belongs_before(send, after):
                return
            after = after.next


def _launches_receiver(file: GoFile, send: Node, channel: Access, statement: Node) -> bool:
    """Return whether a statement launches, or hands to a call, a function that receives.

    A function that only takes a value out again, once, gives a token of a semaphore back, where
    the channel may have a buffer: the send above it waits for its turn, as it should.
    """
    if statement.kind == "defer_statement":
        return False
    unbuffered = behind(file, send).unbuffered
    for receive in _receives(file, send, channel, statement):
        dropped = receive.parent is not None and receive.parent.kind == "expression_statement"
        if unbuffered or not dropped or innermost_loop(receive) is not None:
            return True
    return False


def _receives(file: GoFile, send: Node, channel: Access, statement: Node) -> Iterator[Node]:
    """Yield the receives from a channel in what a statement launches."""
    for literal in statement.find("func_literal"):
        for node in literal.own():
            if node.kind == "range_clause" or _is_receive(node):
                if access_of(file, operand_of(node)) == channel:
                    yield node
    owner = send["channel"].name.rpartition(".")[0]
    for launch in launches_in(file, statement):
        if launch.body is None or launch.literal is not None or launch.call is None:
            continue
        around = launch.statement.parent
        if launch.statement is not statement and (
            around is None or around.parent is not statement or statement.kind != "for_statement"
        ):
            continue
        called = launch.call["function"].name.rpartition(".")[0]
        for operation in behind(file, send).of("receive", "range"):
            if operation.function is launch.body and (operation.calls or called == owner):
                yield operation.node


def _is_receive(node: Node) -> bool:
    return node.kind == "unary_expression" and node["operator"].kind == "<-"


def _belongs_before(send: Node, statement: Node) -> bool:
    """Return whether a send cannot move below a statement: it may leave, or change the value."""
    value = send["value"]
    if any(n.kind == "call_expression" or _is_receive(n) for n in value.walk()):
        return True
    names = {n.text for n in value.walk() if n.kind == "identifier"}
    for node in statement.own():
        if node.kind in {"return_statement", "send_statement", "goto_statement"}:
            return True
        if node.kind in {"inc_statement", "dec_statement"}:
            changed = list(node.walk())
        elif node.kind in {"assignment_statement", "short_var_declaration"}:
            changed = list(node["left"].walk())
        else:
            continue
        if any(n.kind == "identifier" and n.text in names for n in changed):
            return True
    return False


def _moved(file: GoFile, send: Node, launch: Node) -> Finding:
    name = send["channel"].name
    fix, why = _fix(send, launch)
    return Finding(
        path=file.path,
        start=send.start,
        end=send.end,
        message=f"the send to {name} was seen to wait: its receiver is launched below",
        fixes=(fix,) if fix else (),
        related=(Related(file.path, launch.start, launch.start + 1, "launched here"),),
        reason=why,
    )


@with_reason
def _fix(send: Node, launch: Node) -> Fix:
    reason = "what the launch does happens before the send now"
    title = f"Send to {send['channel'].name} after its receiver is launched"
    return Fix(title, move_after(send, launch), Safety.UNSAFE, reason)
