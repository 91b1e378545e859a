"""A worker that takes what is left before it leaves early, so that its feeder comes to an end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from threadmend.golang.builders import BuilderError, insert_before
from threadmend.golang.channel_fields import SharedChannel
from threadmend.golang.channel_index import behind, operand_of
from threadmend.golang.channels import Channel, ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.locks import held_at
from threadmend.golang.repeats import only_workers
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Fix, Safety

__all__ = ["drained", "fed_through_fields"]


def drained(
    channel: Channel | SharedChannel,
    receive: ChannelOperation,
    exits: Sequence[Node],
    send: Node,
    feeding: Node | None = None,
) -> Fix | None:
    """Receive the rest before each early exit, when the feeder closes after its loop.

    Or after `feeding`, the call of a function that has the loop.
    Sound: the feeder comes to its end as if the worker had gone on, and its close ends the
    draining loop. Before a send of the worker's own, because the feeder may receive later.
    """
    if receive.kind != "range":
        return None
    own = innermost_loop(send)
    if not (_closes_behind(channel, feeding or own) or _closes_itself(channel, send, own)):
        return None
    name = operand_of(receive.node).name
    edits: tuple[Edit, ...] = ()
    try:
        for exit_ in exits:
            edits += insert_before(_place(exit_), f"for range {name} {{\n}}")
    except BuilderError:
        return None
    title = f"Take what is left on {name} before leaving"
    return Fix(title, edits, Safety.UNSAFE, "the worker leaves when its feeder has ended")


def _closes_behind(channel: Channel | SharedChannel, loop: Node | None) -> bool:
    """Return whether the feeder itself closes after its loop, before it waits for anybody."""
    for close in channel.of("close"):
        statement = close.anchor.statement if close.calls else close.node.parent
        if statement is None or loop is None or (close.calls and not _closes_first(close)):
            continue
        if statement.kind == "defer_statement" and statement.parent is loop.parent:
            if (
                statement.end <= loop.start
                and _is_launched(loop)
                and not any(_waits(s) for s in loop.following)
            ):
                return True
        if statement.kind not in (_CALLS if close.calls else _CALLS[:1]):
            continue
        if statement.parent is not loop.parent or statement.start < loop.end:
            continue
        between = [s for s in loop.following if s.end <= statement.start]
        return not any(map(_waits, between))
    return False


_CALLS = (
    *("expression_statement", "return_statement", "short_var_declaration"),
    "assignment_statement",
)


def _closes_itself(channel: Channel | SharedChannel, send: Node, loop: Node | None) -> bool:
    """Return whether a function that sends in a loop closes behind it, or as it ends:
    `l.feed(cars)`.
    """
    for close in channel.of("close"):
        statement = close.node.parent
        if close.function is send.function and statement is not None and loop is not None:
            if statement.kind == "expression_statement" and statement in loop.following:
                return not any(_waits(s) for s in loop.following if s.end <= statement.start)
            if statement.kind == "defer_statement" and statement.parent is loop.parent:
                return statement.end <= loop.start and not any(map(_waits, loop.following))
    return False


def _closes_first(close: ChannelOperation) -> bool:
    """Return whether a call closes before all else: `b.end()`, which does `close(b.stones)`."""
    function, statement = close.function, close.node.parent
    body = function.get("body") if function is not None else None
    return len(close.calls) == 1 and body is not None and body.statements[:1] == [statement]


def _is_launched(loop: Node) -> bool:
    """Return whether a loop is a statement of a literal that a `go` statement runs itself."""
    function = loop.function
    if function is None or function.kind != "func_literal" or loop.parent is not function["body"]:
        return False
    call = function.parent
    return call is not None and call.is_launched


def _waits(statement: Node) -> bool:
    return b"<-" in statement.text or b".Wait(" in statement.text


def _place(exit_: Node) -> Node:
    """Return the exit, or the first statement of its block that sends."""
    block = exit_.parent
    for statement in block.statements if block is not None else ():
        if statement.kind == "send_statement" and statement.start < exit_.start:
            return statement
    return exit_


def fed_through_fields(file: GoFile) -> Iterator[tuple[SharedChannel, ChannelOperation, Node]]:
    """Yield a field's channel, the loop of its only worker, and the plain send that feeds it.

    The worker is a method that one `go` statement launches for an object; the sends are all
    visible, and each of the channels has little room.
    """
    for launch, body in only_workers(file):
        for clause in body.find("range_clause"):
            channel = _of_the_worker(file, launch, body, clause)
            receive = channel.of("range")[0] if channel is not None else None
            send = _feeding(channel, body) if channel is not None else None
            if channel is not None and receive is not None and send is not None:
                yield channel, receive, send


def _of_the_worker(file: GoFile, launch: Launch, body: Node, clause: Node) -> SharedChannel | None:
    """Return the channel of a field that a clause ranges over, and nothing else receives from."""
    if clause.function is not body or clause["right"].kind != "selector_expression":
        return None
    found = behind(file, clause)
    shared = found.shared
    if shared is None or not shared.is_field or not found.known:
        return None
    if len(shared.of("receive", "range")) != 1 or shared.of("len", "compare"):
        return None
    if launch.function is None or any(not _small(m.capacity) for m in shared.makes):
        return None
    return shared


def _small(capacity: Node | None) -> bool:
    return capacity is None or capacity.kind == "int_literal"


def _feeding(channel: SharedChannel, body: Node) -> Node | None:
    for operation in channel.of("send"):
        send = operation.node
        if operation.calls or operation.file.is_test or send.function is body:
            return None
        if operation.select is not None or held_at(operation.file, send):
            return None
    return next((o.node for o in channel.of("send") if innermost_loop(o.node) is not None), None)
