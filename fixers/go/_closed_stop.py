"""The stop of an object closed, in place of the channel that others may still send to."""

from __future__ import annotations

import re

from threadmend.golang.channel_fields import SharedChannel, shared_channel, shared_channel_of
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Fix, Safety

from ._stop_cases import leaves_on

__all__ = ["stop_closed"]


def stop_closed(file: GoFile, close: Node) -> Fix | None:
    """Close the channel that both ends leave on, which nobody closes yet.

    Sound: who receives leaves as it did when it found its channel closed; who sends finds the
    stop in its select, where it panicked. No value is lost: the channel has no buffer.
    """
    operand = close["arguments"].children[0]
    statement = close.parent
    if statement is None or operand.kind != "selector_expression":
        return None
    channel = shared_channel(file, operand)
    if channel is None or not _is_plain(channel) or len(channel.of("close")) != 1:
        return None
    if not all(m.unbuffered for m in channel.makes):
        return None
    stops = _stops(channel)
    own = [name for name in sorted(stops) if _is_free(shared_channel_of(channel.decl, name))]
    if len(own) != 1:
        return None
    field = operand["field"]
    stop = f"{operand['operand'].name}.{own[0]}"
    return Fix(
        f"Close {stop}, which both ends listen to",
        (Edit(field.path, field.start, field.end, own[0].encode()),),
        Safety.UNSAFE,
        f"who sends and who receives leave on {stop} now",
    )


def _is_plain(channel: SharedChannel) -> bool:
    """Return whether all that is done to a field's channel is in sight."""
    return channel.is_field and bool(channel.makes) and not (channel.escapes or channel.stores)


def _is_free(stop: SharedChannel) -> bool:
    """Return whether a stop is made, and nobody closes it or sends on it."""
    return _is_plain(stop) and not stop.nils and not stop.of("close", "send", "len", "compare")


def _stops(channel: SharedChannel) -> set[str]:
    """Return the fields of the same object that all who send and receive leave on."""
    receives, sends = channel.of("receive", "range"), channel.of("send")
    common: set[str] | None = None
    for operation in (*receives, *sends):
        left = _left_in_case(operation) | (leaves_on(operation) if operation in receives else set())
        common = left if common is None else common & left
    return common or set() if receives and sends else set()


def _left_in_case(operation: ChannelOperation) -> set[str]:
    """Return the fields that a select also receives from, of the same object, to return."""
    node, select = operation.node, operation.select
    operand = node["channel"] if node.kind == "send_statement" else node.get("operand")
    if select is None or operand is None or operand.kind != "selector_expression":
        return set()
    stop = re.compile(rb"<-" + re.escape(operand["operand"].text) + rb"\.(\w+)$")
    found = set()
    for case in select.children:
        communication = case.get("communication")
        received = stop.match(communication.text) if communication is not None else None
        if received and case.statements and case.statements[-1].kind == "return_statement":
            found.add(received[1].decode())
    return found
