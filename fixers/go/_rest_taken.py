"""A consumer that leaves its loop early and takes the rest first: those who send are out of sight.

progress := make(chan step)
go func() {
    defer close(done)
    for s := range progress {
        if s.bad {
            for range progress { // until it is closed
            }
            return
        }
    }
}()
run(sink(progress))
close(progress)
<-done
"""

from __future__ import annotations

from collections.abc import Sequence

from threadmend.golang.builders import insert_before
from threadmend.golang.channel_index import behind
from threadmend.golang.channels import Channel
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Exit, flow_of
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["rest_taken"]


def rest_taken(file: GoFile, body: Node, exits: Sequence[Exit], waiter: Node) -> tuple[Edit, ...]:
    """Return the edits that receive, before each early exit, what is left on a channel.

    Sound: whoever makes the channel closes it before it waits for the goroutine, which ends
    the loop; without it those who send wait for ever, and the close is never reached.
    """
    edits: tuple[Edit, ...] = ()
    for exit_ in exits:
        loop = exit_.node.up("for_statement") if exit_.kind == "return" else None
        clause = (
            next((c for c in loop.children if c.kind == "range_clause"), None) if loop else None
        )
        if clause is None or loop is None or loop.function is not body:
            continue
        channels = behind(file, clause).local
        if len(channels) == 1 and _is_fed_elsewhere(channels[0], clause, waiter):
            name = clause["right"].name
            edits += insert_before(exit_.node, f"for range {name} {{\n}}")
    return edits


def _is_fed_elsewhere(channel: Channel, clause: Node, waiter: Node) -> bool:
    """Return whether senders out of sight have a channel that is closed before the wait."""
    function = channel.function
    if function is None or not channel.unbuffered or not channel.escapes or channel.of("send"):
        return False
    if [o.node for o in channel.of("receive", "range")] != [clause]:
        return False
    flow = flow_of(function)
    wait = flow.point_of(waiter) if waiter.function is function else None
    for close in channel.of("close"):
        point = flow.point_of(close.node) if close.node.function is function else None
        if point is not None and wait is not None and not close.calls:
            statement = close.node.parent
            if statement is not None and statement.kind == "expression_statement":
                return flow.dominates(point, wait)
    return False
