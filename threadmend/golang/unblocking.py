"""Unblocking: who could end a blocking operation, and whether that needs a lock.

The other side of a send is a receive of the same channel, that of a receive a send or close,
that of `wg.Wait` a Done. It needs the lock when it takes it on the way to its operation, or
in the round of a loop that comes back to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.access import access_of, is_assigned_once
from threadmend.golang.channel_fields import shared_channel
from threadmend.golang.channels import Channel, ChannelOperation, channel_of
from threadmend.golang.done_needs import done_needing_lock
from threadmend.golang.effects import Pair
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.infer import is_decl
from threadmend.golang.lock_needs import needs_lock
from threadmend.golang.locks import held_at
from threadmend.golang.makers import is_make, maker_of
from threadmend.golang.scope import argument_of
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["OtherSide", "closed_under", "needing_lock"]

_OPPOSITE = {"send": ("receive", "range"), "receive": ("send", "close")}


@dataclass(frozen=True, slots=True)
class OtherSide:
    """Why nobody ends the wait: an operation of the other side, and where it needs the lock.

    `takes` is None when its function is only called with the lock held. `buffered`: the
    channel has a buffer, so that the operation does not always wait. `stop`: the operation
    waits for the end, and this is a place that needs the lock before (see `stop_waits`).
    """

    operation: Node
    takes: Node | None
    buffered: bool = False
    stop: bool = False


def needing_lock(pair: Pair) -> OtherSide | None:
    """Return an operation that could end the wait of a pair and that needs the held lock.

    For a channel all operations of the other side have to need it, and no use of the channel
    may be out of sight. For a WaitGroup one Done is enough.
    """
    if pair.event.mode == "wait":
        done = done_needing_lock(pair)
        return OtherSide(*done) if done is not None else None
    found = _operations(*_waited_on(pair))
    if found is None:
        return None
    operations, buffered = found
    if buffered and (_makes_room(operations, pair) or not _goes_on(operations)):
        return None
    others = [
        o
        for o in operations
        if o.kind in _OPPOSITE[pair.event.mode]
        and (pair.file.is_test or not o.file.is_test)
        and not _same_goroutine(o, pair)
    ]
    result: OtherSide | None = None
    for other in others:
        place = _channel_place(other)
        takes = needs_lock(other.file, other.node, access_of(other.file, place), pair)
        if takes is None:
            return None
        result = result or OtherSide(other.node, takes[0], buffered)
    return result


def closed_under(pair: Pair) -> bool:
    """Return whether the channel that a pair sends on is closed under a lock of the same class.

    Without the lock, the send might come after the close, and panic.
    """
    if pair.event.mode != "send":
        return False
    found = _operations(*_waited_on(pair))
    return any(
        held.lock_class == pair.held.lock_class
        for operation in (found[0] if found is not None else ())
        if operation.kind == "close"
        for held in held_at(operation.file, operation.node)
    )


def _goes_on(operations: list[ChannelOperation]) -> bool:
    """Return whether somebody receives again and again: else a buffer may hold all there ever is.

    Not `for { select { case err := <-s.stopped: return err; case <-dying: warn() } }`.
    """
    return any(
        o.kind == "range" or (o.kind == "receive" and _receives_again(o.node)) for o in operations
    )


def _receives_again(receive: Node) -> bool:
    if innermost_loop(receive) is None or receive.function is None:
        return False
    flow = flow_of(receive.function)
    point = flow.point_of(receive)
    return point is None or not flow.complete or flow.in_loop(point)


def _makes_room(operations: list[ChannelOperation], pair: Pair) -> bool:
    """Return whether the function looks at a buffer itself, so that it may know of a free slot."""
    function = pair.event.operation.function
    own = [o for o in operations if o.function is function]
    return any(o.kind in {"receive", "range", "len"} for o in own)


def _same_goroutine(operation: ChannelOperation, pair: Pair) -> bool:
    return operation.function in {pair.function, pair.event.operation.function}


def _channel_operand(node: Node) -> Node:
    if node.kind == "send_statement":
        return node["channel"]
    return node["right"] if node.kind == "range_clause" else node["operand"]


def _waited_on(pair: Pair) -> tuple[GoFile, Node]:
    """Return the channel that an event is about, as the first function names it that can.

    `put(s.events, n)` waits on s.events: its parameter is another name for that.
    """
    workspace = pair.file.package.workspace
    *calls, operation = pair.event.path
    operand = _channel_operand(operation)
    file = workspace.file_of(operation)
    for call in reversed(calls):
        binding = file.binding(operand) if operand.kind == "identifier" else None
        if binding is None or binding.kind != "parameter" or call.kind != "call_expression":
            break
        given = argument_of(call, binding.scope, binding)
        if given is None or not is_assigned_once(binding):
            break
        operand, file = given, workspace.file_of(call)
    return file, operand


def _channel_place(operation: ChannelOperation) -> Node:
    node = operation.node
    if node.kind == "call_expression":
        return node["arguments"].children[0]
    return _channel_operand(node)


def _operations(file: GoFile, operand: Node) -> tuple[list[ChannelOperation], bool] | None:
    """Return what is done to a channel, and whether it has a buffer; None when unknown."""
    shared = shared_channel(file, operand)
    if shared is not None:
        if shared.escapes or shared.stores or not shared.makes:
            return None
        if any(_is_large(m.file, m.capacity) for m in shared.makes):
            return None
        return shared.operations, not all(m.unbuffered for m in shared.makes)
    binding = file.binding(operand)
    if binding is None:
        return None
    make = binding.value
    if make is None or make.kind != "call_expression":
        return None
    maker = maker_of(file, make)
    if maker is None and not is_make(make):
        return None
    channel = channel_of(file, binding, make, maker)
    if channel.escapes or _has_room(channel):
        return None
    return channel.operations, not channel.unbuffered


def _has_room(channel: Channel) -> bool:
    """Return whether a buffer holds all that is ever sent: each send happens once."""
    capacity, sends = channel.capacity, channel.of("send")
    if capacity is None or not capacity.text.isdigit() or len(sends) > int(capacity.text):
        return False
    loops = (innermost_loop(at) for send in sends for at in (send.node, send.anchor))
    return not any(loop is not None and not loop.contains(channel.make) for loop in loops)


def _is_large(file: GoFile, capacity: Node | None) -> bool:
    """Return whether a buffer is made so large, by a constant, that it is not meant to fill."""
    if capacity is None:
        return False
    if capacity.kind == "int_literal":
        return len(capacity.text) > 3
    return capacity.kind == "identifier" and is_decl(file.resolve(capacity), "const", "var")
