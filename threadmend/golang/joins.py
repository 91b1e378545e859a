"""Joins: whether the function that launches a goroutine waits for its end on every path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.counting import counter_of
from threadmend.golang.flow import flow_of
from threadmend.golang.syntax import Node
from threadmend.golang.waitgroups import WaitGroupCall, waitgroup_calls

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["is_joined"]


def is_joined(file: GoFile, launch: Node) -> bool:
    """Return whether a `go func() { defer wg.Done(); … }()` is waited for where it stands.

    So is `go s.work(&wg)`, when `work` defers the Done. A deferred `wg.Wait()` counts as well:
    the function does not return without the goroutine.
    """
    function = launch.function
    call = launch.children[-1] if launch.kind == "go_statement" else None
    literal = call.get("function") if call is not None else None
    if function is None or literal is None:
        return False
    waits = [c for c in waitgroup_calls(file, function) if c.method == "Wait"]
    if literal.kind == "func_literal":
        done = [c for c in waitgroup_calls(file, literal) if c.method == "Done" and c.deferred]
        waits = [c for c in waits if c.access in {d.access for d in done}]
    else:
        waits = [c for c in waits if _counts(file, c, launch)]
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


def _counts(file: GoFile, wait: WaitGroupCall, launch: Node) -> bool:
    """Return whether what a `go` statement launches begins by deferring the Done of a group."""
    counter = counter_of(file, wait)
    return counter is not None and any(
        done.deferred is not None
        and done.call.function is not None
        and done.deferred.parent is done.call.function.get("body")
        and any(started.node is launch for started in counter.launches_that_run(done))
        for done in counter.of("Done")
    )
