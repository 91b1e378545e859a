"""When values may be sent by a goroutine of their own; else the send moves below the launch.

p := &Planner{queue: make(chan Shift)}
p.preload(opening)    // sends; but others close the queue, or send to it, once p is returned:
go p.run()            // the send moves below the launch of who receives
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from threadmend.golang.builders import BuilderError, move_after
from threadmend.golang.channel_fields import shared_channel
from threadmend.golang.channels import Channel, runner_of
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.local_fields import FieldBinding
from threadmend.golang.syntax import Node
from threadmend.model import Fix, Safety

__all__ = ["behind_launch", "sent_alone"]

_COUNTS = re.compile(rb"\.Add\(\w+(?:\(\w+\))?\)$")


def sent_alone(file: GoFile, channel: Channel, moved: Sequence[Node]) -> bool:
    """Return whether only statements that move into a goroutine send to a channel, or close it.

    Whoever else closes it would not wait for the goroutine, which then panics; who else sends
    could come before it.
    """
    own = {o.node for o in channel.of("send", "close") if any(s.contains(o.anchor) for s in moved)}
    operations = list(channel.of("send", "close"))
    if channel.escapes:
        if not isinstance(channel.binding, FieldBinding):
            return False
        shared = shared_channel(file, channel.binding.node)
        if shared is None or not shared.is_field or shared.exported or shared.escapes:
            return False
        operations += shared.of("send", "close")
    return all(o.node in own for o in operations)


def behind_launch(channel: Channel, statement: Node) -> Fix:
    """Move what sends below the launch of the goroutine that receives.

    Sound: execution never got past the send; the goroutine receives all that is sent and waits
    for nothing else, and nothing in between, nor the goroutine, needs what the statement does.
    """
    launched = _receiver(channel, statement)
    if launched is None:
        raise BuilderError("others close the channel, or send to it as well")
    names = {n.text for n in statement.find("identifier")}
    for between in statement.following:
        if between is launched:
            break
        if not _is_apart(between, names):
            raise BuilderError("what stands between the send and the launch may need it")
    if any(_stores(node) for node in _executed(channel, statement)):
        raise BuilderError("the goroutine may need more than the values of the code that sends")
    edits = move_after(statement, launched)
    title = f"Send to {channel.binding.name} after the launch"
    return Fix(title, edits, Safety.UNSAFE, "the receiver is launched earlier")


def _receiver(channel: Channel, statement: Node) -> Node | None:
    """Return what, further down in the same block, launches goroutines that only receive."""
    function = channel.function
    for receive in channel.of("receive", "range"):
        launch = runner_of(receive, function) if function is not None else None
        if not isinstance(launch, Launch) or launch.body is None:
            continue
        launched = launch.statement
        if launch.loop is not None and all(_is_launch(s) for s in launch.loop["body"].statements):
            launched = launch.loop
        if launched not in statement.following:
            continue
        if receive.kind != "range" and innermost_loop(receive.node) is None:
            continue
        if receive.function is launch.body and not _waits_otherwise(launch.body, receive.node):
            return launched
    return None


def _is_launch(statement: Node) -> bool:
    """Return whether a statement only launches a goroutine, or counts it."""
    return statement.kind == "go_statement" or bool(_COUNTS.search(statement.text))


def _waits_otherwise(body: Node, receive: Node) -> bool:
    """Return whether a goroutine has other operations on channels than the one that receives."""
    for node in body.find("send_statement", "select_statement", "range_clause", "unary_expression"):
        if node.kind == "unary_expression" and node["operator"].kind != "<-":
            continue
        if not (node.contains(receive) or receive.contains(node)):
            if node.kind != "range_clause":
                return True
    return bool(re.search(rb"\.Wait\(\)", body.text))


def _is_apart(statement: Node, names: set[bytes]) -> bool:
    """Return whether a statement has nothing to do with what is sent above it."""
    if statement.kind == "defer_statement" or _is_launch(statement):
        return True
    if statement.kind not in {"short_var_declaration", "var_declaration"}:
        return False
    if any(c["function"].text not in {b"make", b"new"} for c in statement.find("call_expression")):
        return False
    return not any(n.text in names for n in _declared(statement))


def _declared(statement: Node) -> Iterator[Node]:
    if statement.kind == "short_var_declaration":
        yield from statement["left"].find("identifier")
        return
    for spec in statement.find("var_spec"):
        yield from spec.all("name")


def _executed(channel: Channel, statement: Node) -> Iterator[Node]:
    """Yield the statement, and the functions that it calls in order to send."""
    yield statement
    for send in channel.of("send"):
        if statement.contains(send.anchor) and send.calls and send.function is not None:
            yield send.function


def _stores(root: Node) -> bool:
    """Return whether code changes what may be read elsewhere: a field, an element."""
    for node in root.find("assignment_statement", "inc_statement", "dec_statement"):
        targets = node["left"].children if node.kind == "assignment_statement" else node.children
        if any(t.kind != "identifier" for t in targets):
            return True
    return False
