"""Goroutines that keep the slot of a semaphore, a buffered channel, on some path out."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import (
    delete,
    insert_at_start,
    insert_before,
    with_reason,
)
from threadmend.golang.channels import Channel
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Exit, Flow, Point, flow_of
from threadmend.golang.goroutines import innermost_loop, launch_of_literal
from threadmend.golang.local_fields import held_channels
from threadmend.golang.makers import making
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Finding, Fix, Related, Safety

__all__ = ["kept_slots"]


def kept_slots(file: GoFile) -> Iterator[Finding]:
    """Yield the exits of goroutines in a loop that do not give back the slot taken for them.

    `for … { sem <- struct{}{}; go func() { …; <-sem }() }`: each such exit leaves a slot less,
    and when none is left the loop waits for ever.
    """
    for function in file.functions(making(file.package)):
        for channel in held_channels(file, function):
            body = _holder(file, function, channel)
            if body is None:
                continue
            flow = flow_of(body)
            points = {
                p: o.node.statement
                for o in channel.of("receive")
                if (p := flow.point_of(o.node)) is not None
            }
            if not flow.complete or any(flow.in_loop(p) for p in points):
                continue
            exits = flow.exits_from(flow.entry, stop=points.__contains__)
            exits = [e for e in exits if e.kind == "return" and e.node.function is body]
            if exits:
                yield _finding(file, channel, body, flow, points, exits)


def _holder(file: GoFile, function: Node, channel: Channel) -> Node | None:
    """Return the one literal, launched after each send, that receives what was sent for it."""
    sends, receives = channel.of("send"), channel.of("receive")
    if channel.escapes or channel.capacity is None or len(sends) != 1 or not receives:
        return None
    if len(channel.operations) != len(receives) + 1 or sends[0].node.function is not function:
        return None
    body = receives[0].node.function
    launch = launch_of_literal(file, body) if body is not None else None
    if body is None or launch is None or launch.kind != "go" or launch.function is not function:
        return None
    for receive in receives:
        statement = receive.node.parent
        if receive.node.function is not body or receive.calls or receive.select is not None:
            return None
        if statement is None or statement.kind != "expression_statement":
            return None
    loop, flow = innermost_loop(sends[0].node), flow_of(function)
    taken, started = flow.point_of(sends[0].node), flow.point_of(launch.node)
    if loop is None or loop is not launch.loop or loop.contains(channel.make):
        return None
    if taken is None or started is None or not flow.dominates(taken, started):
        return None
    return body


def _finding(
    file: GoFile,
    channel: Channel,
    body: Node,
    flow: Flow,
    points: dict[Point, Node | None],
    exits: list[Exit],
) -> Finding:
    name, exit_, send = channel.binding.name, exits[0].node, channel.of("send")[0].node
    fix, reason = _fix(name, body, flow, points, exits)
    return Finding(
        path=file.path,
        start=exit_.start,
        end=exit_.end,
        message=f"the goroutine returns here with the slot of {name} that was taken for it",
        fixes=(fix,) if fix else (),
        related=(Related(send.path, send.start, send.end, "waits for a free slot here"),),
        reason=reason,
    )


@with_reason
def _fix(
    name: str, body: Node, flow: Flow, points: dict[Point, Node | None], exits: list[Exit]
) -> Fix:
    edits: list[Edit] = []
    if all(flow.is_last(p) for p in points):
        edits += insert_at_start(body["body"], f"defer func() {{ <-{name} }}()")
        for statement in points.values():
            edits += delete(statement) if statement is not None else ()
        title = f"Defer the receive from {name}"
    else:
        for left in exits:
            edits += insert_before(left.node, f"<-{name}")
        title = f"Receive from {name} before the return"
    return Fix(title, tuple(edits), Safety.UNSAFE, "the loop goes on where it waited for ever")
