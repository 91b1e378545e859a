"""Joins: whether the function that launches a goroutine waits for its end on every path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.flow import flow_of
from threadmend.golang.syntax import Node
from threadmend.golang.waitgroups import waitgroup_calls

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["is_joined"]


def is_joined(file: GoFile, launch: Node) -> bool:
    """Return whether a `go func() { defer wg.Done(); … }()` is waited for where it stands.

    A deferred `wg.Wait()` counts as well: the function does not return without the goroutine.
    """
    function = launch.function
    call = launch.children[-1] if launch.kind == "go_statement" else None
    literal = call.get("function") if call is not None else None
    if function is None or literal is None or literal.kind != "func_literal":
        return False
    done = {c.access for c in waitgroup_calls(file, literal) if c.method == "Done" and c.deferred}
    waits = [c for c in waitgroup_calls(file, function) if c.method == "Wait" and c.access in done]
    flow = flow_of(function)
    start = flow.point_of(launch)
    if start is None or not flow.complete:
        return False
    if any(
        c.deferred and (p := flow.point_of(c.deferred)) and flow.dominates(p, start) for c in waits
    ):
        return True
    points = {flow.point_of(c.call) for c in waits if c.call.function is function}
    return bool(points) and not flow.exits_from(start, stop=points.__contains__)
