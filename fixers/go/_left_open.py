"""Closes that nobody can learn of: the channel has room for all values, and its receiver goes."""

from __future__ import annotations

from threadmend.golang.builders import delete
from threadmend.golang.channels import Channel, runner_of
from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node
from threadmend.model import Fix

from ._leaked_senders import senders_of, total_of

__all__ = ["left_open"]


def left_open(file: GoFile, function: Node, channel: Channel, close: Node) -> Fix | None:
    """Return the fix that drops a close by the function itself, where nobody can learn of it.

    The function closes when it returns, and it alone receives. Sound: a late value stays in
    the buffer, and is collected with it.
    """
    total = total_of(file, channel, senders_of(file, function, channel) or [])
    room = channel.capacity.name if channel.capacity is not None else "0"
    if not _as_it_leaves(function, close) or channel.escapes or total is None:
        return None
    if str(total) != room and not (
        total.is_constant and room.isdigit() and total.factor <= int(room)
    ):
        return None
    receives = channel.of("receive", "range", "len")
    if all(o.kind == "receive" and runner_of(o, function) is function for o in receives):
        name = close.children[-1]["arguments"].children[0].name
        return Fix(f"Leave {name} open: nobody waits for the close", delete(close))
    return None


def _as_it_leaves(function: Node, close: Node) -> bool:
    """Return whether a close is deferred by the function, or right above a return of it."""
    if close.function is not function:
        return False
    after = close.next
    if close.kind == "expression_statement" and after is not None:
        return after.kind == "return_statement" and b"<-" not in after.text
    return close.kind == "defer_statement"
