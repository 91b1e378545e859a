"""What the callers do with a channel that a function returns: take all of it, or leave early.

for v := range walk(ctx, dir) {      first := <-walk(ctx, dir)
    all = append(all, v)             // the others wait for ever
}
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from threadmend.golang.calls import callers, code_callers
from threadmend.golang.channel_fields import SharedChannel
from threadmend.golang.channel_index import operand_of
from threadmend.golang.channels import Channel, ChannelOperation, follow_result
from threadmend.golang.file import GoFile
from threadmend.golang.locks import declaration_of
from threadmend.golang.stops import leaves_loop
from threadmend.golang.syntax import Node

from ._unreceived import is_returned

__all__ = ["Taken", "taken", "taken_of_field"]

_DEPTH = 3


class Taken(Enum):
    """How much of what is sent the receivers in sight take."""

    WHOLE = "whole"
    PERHAPS = "perhaps"
    PART = "part"


@dataclass(slots=True)
class _Result:
    """What becomes of the result of one call."""

    operations: list[ChannelOperation] = field(default_factory=list)
    escapes: list[Node] = field(default_factory=list)


def taken(file: GoFile, channel: Channel) -> Taken:
    """Return how much of a returned channel is taken by those who are known to get it.

    Nobody in sight (what a library exports): part of it, as whoever comes may do as it likes.
    """
    function = channel.function
    if function is None or not all(is_returned(e, function) for e in channel.escapes):
        return Taken.PERHAPS
    return _by_callers(file, function, _DEPTH)


def taken_of_field(channel: SharedChannel) -> Taken | None:
    """Return how much of a field's channel those take whom methods return it to, and nobody else.

    None where it goes elsewhere, too, or methods of the object receive.
    """
    receives = [o for o in channel.of("receive", "range") if not o.file.is_test]
    if any(_is_direct(operation, channel) for operation in receives):
        return None
    found = {_by_operation(operation) for operation in receives}
    for escape in channel.escapes:
        function = escape.function
        if function is None or not is_returned(escape, function):
            return None
        file = channel.package.workspace.file_of(escape)
        found.add(_by_callers(file, function, _DEPTH))
    return _least(found) if found else None


def _is_direct(operation: ChannelOperation, channel: SharedChannel) -> bool:
    """Return whether code names the field where it receives: `<-p.marks`."""
    operand = operand_of(operation.node)
    return operand.kind == "selector_expression" and operand["field"].name == channel.name


def _by_callers(file: GoFile, function: Node, depth: int) -> Taken:
    decl = declaration_of(file, function)
    if decl is None or not depth:
        return Taken.PERHAPS  # a literal: called by whoever has it
    sites = list(callers(decl)) if file.is_test else code_callers(decl)
    if not sites:
        return Taken.PART
    found = {
        _by_caller(site.file, site.call, depth) if site.call is not None else Taken.PERHAPS
        for site in sites
    }
    return _least(found)


def _least(found: set[Taken]) -> Taken:
    order = (Taken.PART, Taken.PERHAPS, Taken.WHOLE)
    return next((taken for taken in order if taken in found), Taken.PERHAPS)


def _by_caller(file: GoFile, call: Node, depth: int) -> Taken:
    """Return how much of the channel that a call returns is taken."""
    function = call.function
    if function is not None and is_returned(call, function):
        return _by_callers(file, function, depth - 1)
    result = _Result()
    follow_result(file, call, result)
    if not result.operations and not result.escapes:
        return Taken.PART  # dropped
    found = {_by_operation(operation) for operation in result.operations}
    if result.escapes and Taken.PART not in found:
        return Taken.PERHAPS
    return Taken.WHOLE if found == {Taken.WHOLE} else _least(found)


def _by_operation(operation: ChannelOperation) -> Taken:
    """Return how much one place takes: a loop to the end all of it, a select or one receive part.

    What receives in a loop of another kind may count.
    """
    node = operation.node
    if operation.kind == "range":
        loop = node.parent
        assert loop is not None
        return Taken.PART if leaves_loop(loop) else Taken.WHOLE
    if operation.kind != "receive" or operation.has_alternative:
        return Taken.PART if operation.kind == "receive" else Taken.PERHAPS
    return Taken.PERHAPS if node.up("for_statement") is not None else Taken.PART
