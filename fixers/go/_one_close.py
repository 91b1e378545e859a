"""Two closes of a channel that a function keeps: one goes, or both run through a Once."""

from __future__ import annotations

from dataclasses import dataclass

from threadmend.golang.builders import (
    BuilderError,
    delete,
    free_name,
    insert_after,
    names_around,
    reach_import,
    with_reason,
)
from threadmend.golang.channels import (
    Channel,
    ChannelOperation,
    runner_of,
)
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Flow, flow_of
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Fix, Safety

from ._closer import close_after, sync_name

__all__ = ["Pair", "fix_of", "is_deferred"]


@dataclass(slots=True)
class Pair:
    """Two closes that may both run; `second` is None when one of them runs again."""

    first: ChannelOperation
    second: ChannelOperation | None
    why: str


def is_deferred(close: ChannelOperation, function: Node) -> Node | None:
    """Return the defer statement of the function that runs a close at its end."""
    node: Node | None = close.anchor
    while node is not None and node is not function:
        if node.kind == "defer_statement" and node.function is function:
            return node
        node = node.parent
    return None


@with_reason
def fix_of(
    file: GoFile,
    function: Node,
    body: Node,
    channel: Channel,
    pair: Pair,
    closes: list[ChannelOperation],
) -> Fix:
    """Return the fix for two closes, of which those of a pair are on one path of `body`."""
    name = channel.binding.name
    senders = [runner_of(o, function) for o in channel.of("send")]
    if pair.second is None and isinstance(runner_of(pair.first, function), Launch):
        if senders:
            return _last_closes(file, function, channel, closes)
    one = _one_path(body, flow_of(body), pair, name)
    if one is not None:
        return one
    sending = {s.node if isinstance(s, Launch) else s for s in senders}
    if any(isinstance(s, Launch) for s in senders) and len(sending) > 1:
        raise BuilderError("several goroutines send, and the first close would meet their sends")
    if pair.second is None and _meets_sends(function, channel):
        raise BuilderError("a goroutine sends on and on, and the first close would meet its sends")
    return _once(file, function, channel, closes)


def _meets_sends(function: Node, channel: Channel) -> bool:
    """Return whether a goroutine sends in a loop: a receiver that closes once is no better."""
    return any(
        isinstance(runner_of(o, function), Launch) and innermost_loop(o.node) is not None
        for o in channel.of("send")
    )


def _last_closes(
    file: GoFile, function: Node, channel: Channel, closes: list[ChannelOperation]
) -> Fix:
    """Close after all goroutines are done.

    Every goroutine closed at its end, so that the first to end took the channel from the
    others: now the last one's end closes it. The receivers see what they saw, and one close.
    """
    launches: dict[int, Launch] = {}
    for operation in (*channel.of("send"), *closes):
        runner = runner_of(operation, function)
        if not isinstance(runner, Launch):
            raise BuilderError("the function sends or closes itself")
        launches.setdefault(runner.node.start, runner)
    statements = []
    for close in closes:
        parent = close.node.parent
        if close.calls or parent is None:
            raise BuilderError("the close stands in another function")
        if parent.kind != "defer_statement" and parent.next is not None:
            raise BuilderError("the goroutine goes on after its close")
        statements.append(parent)
    receives = [o.anchor for o in channel.of("receive", "range") if not o.calls]
    receives = [r for r in receives if r.function is function]
    edits = close_after(
        file,
        function,
        channel.make,
        channel.binding.name,
        list(launches.values()),
        statements,
        receives,
    )
    reason = "the channel is closed later, by a goroutine of its own"
    name = channel.binding.name
    return Fix(f"Close {name} when all senders are done", tuple(edits), Safety.UNSAFE, reason)


def _one_path(function: Node, flow: Flow, pair: Pair, name: str) -> Fix | None:
    """Drop the one close that the other makes superfluous on every path.

    Sound: the dropped close always came after (or before) the other one on its path, so
    that it panicked; nothing waits for the channel between the two.
    """
    first, second = pair.first, pair.second
    if second is None or first.node.parent is None or first.calls or second.calls:
        return None
    deferred = is_deferred(second, function)
    start = flow.point_of(first.node)
    if first.node.function is not function or start is None:
        return None
    if deferred is not None:
        if first.node.parent.kind != "expression_statement":
            return None
        after = [p for p in flow.reachable(start) if p is not flow.end]
        if all(p.node.kind == "return_statement" and _is_plain_return(p.node) for p in after):
            return Fix(f"Leave {name} to the deferred close", delete(first.node.parent))
        return None
    end = flow.point_of(second.node)
    if end is None or second.node.function is not function or second.node.parent is None:
        return None
    if flow.dominates(start, end) and second.node.parent.kind == "expression_statement":
        if first.node.parent.kind == "expression_statement":
            return Fix(f"Drop the second close of {name}", delete(second.node.parent))
    return None


def _is_plain_return(statement: Node) -> bool:
    return not any(
        n.kind in {"call_expression", "unary_expression"} and not n.text.startswith(b"-")
        for n in statement.walk()
    )


def _once(file: GoFile, function: Node, channel: Channel, closes: list[ChannelOperation]) -> Fix:
    """Run every close through one Once.

    Sound: the first close does what it did, the others panicked.
    """
    name = channel.binding.name
    once = free_name(f"{name.rpartition('.')[2]}Once", names_around(file, function))
    statement = channel.make.statement
    if statement is None:
        raise BuilderError("the channel is not made by a statement")
    edits: list[Edit] = [*reach_import(file.tree, "sync")]
    edits += insert_after(statement, f"var {once} {sync_name(file)}.Once")
    for close in closes:
        call = close.node
        if close.calls or call.path != file.path:
            raise BuilderError("another function closes the channel that it is given")
        text = f"{once}.Do(func() {{ {call.name} }})"
        edits.append(Edit(file.path, call.start, call.end, text.encode()))
    return Fix(f"Close {name} only once", tuple(edits))
