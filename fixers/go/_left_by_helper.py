"""A function that receives for its caller, and may give up: `return await(ctx, results)`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from threadmend.golang.channels import ChannelOperation
from threadmend.golang.flow import Flow, flow_of
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.syntax import Node

__all__ = ["left_by_helper", "left_in_helper"]


def left_by_helper(receives: list[ChannelOperation]) -> Node | None:
    """Return where the only call that receives leaves by another case of its select.

    Nothing else receives, and the call is made once: whoever calls it again takes the value.
    """
    if len(receives) != 1 or len(receives[0].calls) != 1 or receives[0].kind != "receive":
        return None
    receive, call = receives[0], receives[0].anchor
    body, select = receive.function, receive.select
    if body is None or select is None or body.kind == "func_literal":
        return None
    if innermost_loop(call) is not None or innermost_loop(receive.node) is not None:
        return None
    flow = flow_of(body)
    stop = flow.point_of(receive.node)
    if stop is None or not flow.complete:
        return None
    for case in select.children:
        if case is receive.case or case.kind == "default_case":
            continue
        inside = (p for p in flow.points if p.live and case.contains(p.node))
        for point in sorted(inside, key=lambda p: p.node.start):
            if point.node.kind == "return_statement":
                return point.node
    return None


def left_in_helper(
    receives: list[ChannelOperation], leaves: Callable[[Flow, ChannelOperation], Node | None]
) -> Node | None:
    """Return where the only call that receives, round after round, ends before all have come.

    As `leaves` says of a loop in a function itself.
    """
    if len({receive.calls for receive in receives}) != 1 or len(receives[0].calls) != 1:
        return None
    if innermost_loop(receives[0].anchor) is not None:
        return None
    for receive in receives:
        body = receive.function
        if body is None or body.kind == "func_literal" or not flow_of(body).complete:
            return None
        if innermost_loop(receive.node) is None:
            return None
        left = leaves(flow_of(body), replace(receive, calls=()))
        if left is not None:
            return left
    return None
