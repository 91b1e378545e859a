"""Which channel an operation works on: a local one followed from its make, or a field's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from threadmend.golang.channel_copies import by_any_name
from threadmend.golang.channel_fields import SharedChannel, shared_channel
from threadmend.golang.channels import (
    Channel,
    ChannelOperation,
)
from threadmend.golang.local_fields import FieldBinding, held_channels
from threadmend.golang.makers import making
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package

__all__ = ["Behind", "behind", "behind_channel", "operand_of"]


@dataclass(slots=True)
class Behind:
    """The channels that an operation may work on, under any name that a field has for them.

    More than one where a function is given different channels. `known`: all operations on
    them are visible (nothing escapes, nothing else is stored in the field).
    """

    local: list[Channel] = field(default_factory=list)
    shared: SharedChannel | None = None

    @property
    def known(self) -> bool:
        """Return whether every operation is visible."""
        if self.shared is not None:
            shared = self.shared
            return not (shared.escapes or shared.stores or shared.exported or shared.nils)
        return bool(self.local) and not any(c.escapes for c in self.local)

    @property
    def unbuffered(self) -> bool:
        """Return whether none of the channels has a buffer for certain."""
        if self.shared is not None:
            return bool(self.shared.makes) and all(m.unbuffered for m in self.shared.makes)
        return bool(self.local) and all(c.unbuffered for c in self.local)

    def of(self, *kinds: str) -> list[ChannelOperation]:
        """Return the operations of these kinds on any of the channels."""
        found = [o for channel in self.local for o in channel.of(*kinds)]
        return found + (self.shared.of(*kinds) if self.shared is not None else [])


def operand_of(operation: Node) -> Node:
    """Return the channel expression of a send, a receive or a range clause."""
    if operation.kind == "send_statement":
        return operation["channel"]
    if operation.kind == "range_clause":
        return operation["right"]
    return operation["operand"]


def behind(file: GoFile, operation: Node) -> Behind:
    """Return what is known about the channel of an operation (empty: nothing)."""
    return behind_channel(file, operation, operand_of(operation))


def behind_channel(file: GoFile, operation: Node, operand: Node) -> Behind:
    """Return the same for an operation, as a close, whose operand stands elsewhere."""
    local = _index(file.package).get(operation, [])
    if local:
        return Behind(local)
    shared = shared_channel(file, operand)
    return Behind([], by_any_name(shared) if shared is not None else None)


def _is_own(channel: Channel, operation: ChannelOperation) -> bool:
    """Return whether an operation is on a channel that a variable holds, or on a name for one.

    What a method does to a field it does to those of all objects.
    """
    if not isinstance(channel.binding, FieldBinding):
        return True
    if channel.escapes:
        return False
    if not operation.calls:
        return True
    return _is_by_name(operation)


def _is_by_name(operation: ChannelOperation) -> bool:
    """Return whether a variable stands for the channel in an operation, and no field."""
    node = operation.node
    if node.kind == "binary_expression":  # a test for nil, or of two channels
        return all(side.kind in {"identifier", "nil"} for side in (node["left"], node["right"]))
    given = node["arguments"].children[0] if node.kind == "call_expression" else operand_of(node)
    return given.kind == "identifier"


def _index(package: Package) -> dict[Node, list[Channel]]:
    known: dict[Node, list[Channel]] | None = package.facts.get("channel_index")
    if known is None:
        known = package.facts["channel_index"] = {}
        for file in package.files:
            for function in file.functions(making(file.package)):
                for channel in held_channels(file, function):
                    if channel.in_fields or all(_is_own(channel, o) for o in channel.operations):
                        for operation in channel.operations:
                            if channel.in_fields and not _is_by_name(operation):
                                continue
                            known.setdefault(operation.node, []).append(channel)
    return known
