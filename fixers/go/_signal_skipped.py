"""Receives that a goroutine lets go on, or keeps for ever: on some of its paths it says nothing."""

from __future__ import annotations

from threadmend.golang.channels import Channel, runner_of
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import Launch
from threadmend.golang.iterations import point_in
from threadmend.golang.local_fields import held_channels
from threadmend.golang.syntax import Node

__all__ = ["is_answer", "is_kept_until"]


def is_answer(inner: Node, outer: Node) -> bool:
    """Return whether a function receives from what the goroutine sends: the answer to a request.

    `go func() { requests <- r }(); r = <-r.answer`: who answers has got the request.
    """
    send, statement = inner.parent, outer.statement
    if send is None or send.kind != "send_statement" or send["value"] is not inner:
        return False
    values = statement.get("right") if statement is not None else None
    if values is None:
        return False
    return any(
        n["operator"].kind == "<-" and n["operand"].text.startswith(inner.text + b".")
        for n in values.find("unary_expression")
    )


def is_kept_until(file: GoFile, launch: Launch, inner: Node, outer: Node) -> bool:
    """Return whether a function comes to a place only after another one in its goroutine, if ever.

    It receives before the place, from a channel on which that goroutine alone signals, and
    never before the other place. Where a path of the goroutine leaves the signal out, the
    receive waits for ever, and there is no race: go/exit-path-without-signal mends that.
    """
    function, body = launch.function, launch.body
    if function is None or body is None or launch.loop is not None or body.path != file.path:
        return False
    if outer.function is not function or inner.function is not body:
        return False
    return any(
        _signals_later(function, launch, channel, inner) and _is_behind(function, channel, outer)
        for channel in held_channels(file, function)
        if not channel.escapes
    )


def _signals_later(function: Node, launch: Launch, channel: Channel, inner: Node) -> bool:
    """Return whether only one goroutine signals on a channel, and nothing of it comes before."""
    signals = channel.of("send", "close")
    body = launch.body
    if not signals or body is None or any(s.calls or s.node.function is not body for s in signals):
        return False
    runners = [runner_of(s, function) for s in signals]
    if any(not isinstance(r, Launch) or r.node is not launch.node for r in runners):
        return False
    flow = flow_of(body)
    place = point_in(flow, inner)
    points = [flow.point_of(s.node) for s in signals]
    if place is None or not flow.complete or None in points:
        return False
    if any(s.node.is_deferred for s in signals):
        return False
    return not any(p is place or place in flow.reachable(p) for p in points if p is not None)


def _is_behind(function: Node, channel: Channel, outer: Node) -> bool:
    """Return whether a function comes to a place only through a receive that waits."""
    flow = flow_of(function)
    place = point_in(flow, outer)
    receives = [r for r in channel.of("receive") if not r.calls]
    stops = {flow.point_of(r.node) for r in receives if r.function is function}
    if place is None or not flow.complete or not stops or None in stops:
        return False
    return place not in stops and place not in flow.reachable(flow.entry, stop=lambda p: p in stops)
