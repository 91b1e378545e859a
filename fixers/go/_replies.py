"""Replies: sends on the channel that a received request brought along.

for {                                func (g *gate) count() int {
    select {                             q := query{answer: make(chan int, 1)}
    case q := <-g.queries:               g.queries <- q
        q.answer <- n                    return <-q.answer
"""

from __future__ import annotations

from threadmend.golang.channel_fields import Make
from threadmend.golang.channel_index import Behind
from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node

__all__ = ["is_reply"]


def is_reply(file: GoFile, send: Node, loop: Node, channel: Behind) -> bool:
    """Return whether a loop answers the request of its round, and never waits long to do so.

    Every channel for the reply has room, or whoever asked does nothing but wait for it: it would
    wait for ever for a sender that leaves instead.
    """
    shared = channel.shared
    if shared is None or not shared.is_field or shared.stores or not shared.makes:
        return False
    if not _is_of_round(file, send, loop):
        return False
    if all(_has_room(make) for make in shared.makes):
        return True
    receives = shared.of("receive")
    return bool(receives) and not any(o.has_alternative for o in receives)


def _is_of_round(file: GoFile, send: Node, loop: Node) -> bool:
    """Return whether what has the channel was received in the round: `case q := <-queries:`."""
    operand = send["channel"].get("operand")
    binding = (
        file.binding(operand) if operand is not None and operand.kind == "identifier" else None
    )
    if binding is None or not loop.contains(binding.node):
        return False
    value = binding.value
    received = value is not None and value.text.startswith(b"<-")
    return received or binding.declaration.kind == "range_clause"


def _has_room(make: Make) -> bool:
    capacity = make.capacity
    return capacity is not None and capacity.text != b"0"
