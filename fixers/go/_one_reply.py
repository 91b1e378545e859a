"""Requests with a channel for the one reply, whose receiver may leave: `c.reply <- answer`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.builders import with_capacity
from threadmend.golang.calls import own_callers
from threadmend.golang.channel_fields import SharedChannel
from threadmend.golang.channel_index import behind
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import (
    Launch,
    innermost_loop,
    launch_of_literal,
    launch_sites,
    launches,
)
from threadmend.golang.locks import declaration_of
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Finding, Fix, Related, Safety

__all__ = ["left_replies"]


def left_replies(file: GoFile) -> Iterator[Finding]:
    """Yield the send of a method that is launched once for its object and sends one value.

    Whoever receives selects, so that the reply may come when nobody waits for it any more.
    """
    if file.is_test or file.generated:
        return
    for body, begun in _once_launched(file):
        for send in body.own():
            if send.kind != "send_statement" or send["channel"].kind != "selector_expression":
                continue
            channel = behind(file, send).shared
            if channel is None or channel.copies or not _is_for_one(channel, send):
                continue
            left = _left_by(channel)
            if left is not None and all(_is_new(each, channel) for each in begun):
                yield _finding(file, channel, send, left, begun)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A launch of what sends for an object: by a method of it, or in a literal.

    `call` is the method's, None where the literal itself sends.
    """

    launch: Launch
    owner: Node | None
    call: Node | None


def _once_launched(file: GoFile) -> Iterator[tuple[Node, list[_Begun]]]:
    """Yield the functions of a file that goroutines run, once each, with all their launches."""
    for sites in launch_sites(file.package).values():
        body = sites[0].body
        if body is not None and body.kind == "method_declaration" and body.path == file.path:
            yield body, [_Begun(s, _owner(s.call), s.call) for s in sites]
    for function in file.functions(_SENDS):
        decl = declaration_of(file, function) if function.kind == "method_declaration" else None
        called = list(own_callers(decl, _SENDS)) if decl is not None else []
        if len(called) == 1 and called[0].call is not None and not called[0].launched:
            begun = _in_literal(called[0].file, called[0].call)
            if begun is not None:
                yield function, [begun]
    for launch in launches(file):
        if launch.literal is not None and _SENDS.search(launch.literal.text):
            send = next(launch.literal.find("send_statement"), None)
            owner = send["channel"].get("operand") if send is not None else None
            yield launch.literal, [_Begun(launch, owner, None)]


_SENDS = re.compile(rb"\w <- ")


def _in_literal(file: GoFile, call: Node) -> _Begun | None:
    """Return the launch of a literal that makes a call once: `go func() { p.settle(f()) }()`."""
    literal = call.function
    if literal is None or literal.kind != "func_literal" or innermost_loop(call) is not None:
        return None
    launch = launch_of_literal(file, literal)
    return _Begun(launch, _owner(call), call) if launch is not None else None


def _owner(call: Node | None) -> Node | None:
    return call["function"].get("operand") if call is not None else None


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


def _is_new(begun: _Begun, channel: SharedChannel) -> bool:
    """Return whether a launch is for an object that the function made right there."""
    launch, operand = begun.launch, begun.owner
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


def _finding(
    file: GoFile,
    channel: SharedChannel,
    send: Node,
    left: ChannelOperation,
    begun: list[_Begun],
) -> Finding:
    make = channel.makes[0]
    edit = with_capacity(make.call, "1", make.maker)
    title = f"Make {channel.name} with a buffer of 1"
    name = send["channel"].name
    return Finding(
        path=file.path,
        start=send.start,
        end=send.end,
        message=f"the goroutine waits for ever on its send to {name}: who receives may leave",
        fixes=(_fix(title, edit, send, begun),),
        related=(
            Related(make.call.path, make.call.start, make.call.end, "made here"),
            Related(left.node.path, left.node.start, left.node.end, "one of several cases"),
        ),
    )


def _fix(title: str, edit: Edit, send: Node, begun: list[_Begun]) -> Fix:
    """Make room for the reply.

    Sound: one value is sent for each channel, and the send is the goroutine's last act.
    """
    acts = [send, *(each.call.parent for each in begun if each.call is not None)]
    if all(act is not None and _is_last(act) for act in acts):
        return Fix(title, (edit,))
    reason = "code after the send no longer waits for the receiver"
    return Fix(title, (edit,), Safety.UNSAFE, reason)


def _is_last(act: Node) -> bool:
    """Return whether a statement is a launch, or the last that its function does."""
    if act.kind == "go_statement":
        return True
    return act.next is None and act.parent is not None and act.parent.parent is act.function
