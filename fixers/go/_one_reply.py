"""Requests with a channel for the one reply, whose receiver may leave: `c.reply <- answer`."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import with_capacity
from threadmend.golang.channel_fields import SharedChannel
from threadmend.golang.channel_index import behind
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import Launch, innermost_loop, launch_sites
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Finding, Fix, Related, Safety

__all__ = ["left_replies"]


def left_replies(file: GoFile) -> Iterator[Finding]:
    """Yield the send of a method that is launched once for its object and sends one value.

    Whoever receives selects, so that the reply may come when nobody waits for it any more.
    """
    if file.is_test or file.generated:
        return
    for sites in launch_sites(file.package).values():
        body = sites[0].body
        if body is None or body.kind != "method_declaration" or body.path != file.path:
            continue
        for send in body.own():
            if send.kind != "send_statement" or send["channel"].kind != "selector_expression":
                continue
            channel = behind(file, send).shared
            if channel is None or not _is_for_one(channel, send):
                continue
            left = _left_by(channel)
            if left is not None and all(_is_new(s, channel) for s in sites):
                yield _finding(file, channel, send, left)


def _is_for_one(channel: SharedChannel, send: Node) -> bool:
    """Return whether everything that is done to the channel is in sight, and this sends once."""
    if not channel.is_field or channel.exported or len(channel.makes) != 1:
        return False
    if channel.stores or channel.escapes or channel.nils or not channel.makes[0].unbuffered:
        return False
    if channel.of("close", "len", "compare", "range"):
        return False
    body = send.function
    sends = channel.of("send")
    if body is None or any(s.node.function is not body or s.calls for s in sends):
        return False
    flow = flow_of(body)
    points = [flow.point_of(s.node) for s in sends]
    if not flow.complete or any(p is None or flow.in_loop(p) for p in points):
        return False
    if any(s.has_alternative for s in sends):
        return False
    return not any(q in flow.reachable(p) for p in points if p for q in points)


def _left_by(channel: SharedChannel) -> ChannelOperation | None:
    """Return a receive that is one of several cases, outside of loops: it may not happen."""
    for receive in channel.of("receive"):
        select = receive.select
        if receive.file.is_test or select is None or not receive.has_alternative:
            continue
        if innermost_loop(select) is None:
            return receive
    return None


def _is_new(launch: Launch, channel: SharedChannel) -> bool:
    """Return whether a launch is for an object that the function made right there."""
    operand = launch.call["function"].get("operand") if launch.call is not None else None
    file = channel.package.workspace.file_of(launch.node)
    binding = file.binding(operand) if operand is not None else None
    if launch.kind != "go" or binding is None or binding.function is not launch.function:
        return False
    if binding.declaration.kind != "short_var_declaration":
        return False
    if innermost_loop(binding.node) is not innermost_loop(launch.node):
        return False
    values = binding.declaration["right"].children
    if binding.index >= len(values):
        return False
    value, make = values[binding.index], channel.makes[0].call
    if value.contains(make):
        return True
    decl = file.callee(value) if value.kind == "call_expression" else None
    return decl is not None and decl.node.contains(make)


def _finding(file: GoFile, channel: SharedChannel, send: Node, left: ChannelOperation) -> Finding:
    make = channel.makes[0]
    edit = with_capacity(make.call, "1", make.maker)
    title = f"Make {channel.name} with a buffer of 1"
    name = send["channel"].name
    return Finding(
        path=file.path,
        start=send.start,
        end=send.end,
        message=f"the goroutine waits for ever on its send to {name}: who receives may leave",
        fixes=(_fix(title, edit, send),),
        related=(
            Related(make.call.path, make.call.start, make.call.end, "made here"),
            Related(left.node.path, left.node.start, left.node.end, "one of several cases"),
        ),
    )


def _fix(title: str, edit: Edit, send: Node) -> Fix:
    """Make room for the reply.

    Sound: one value is sent for each channel, and the send is the goroutine's last act.
    """
    if send.next is None and send.parent is not None and send.parent.parent is send.function:
        return Fix(title, (edit,))
    reason = "code after the send no longer waits for the receiver"
    return Fix(title, (edit,), Safety.UNSAFE, reason)
