"""Helpers that launch goroutines, and wait for them before they return.

func checkAll(items []item, errs chan error) {
    var wg sync.WaitGroup
    for _, i := range items {
        wg.Add(1)
        go func() {
            defer wg.Done()
            errs <- i.check()
        }()
    }
    wg.Wait()
}
"""

from __future__ import annotations

import re

from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import Launch

__all__ = ["waited_within"]

_WAITS = re.compile(rb"(?:^|\.)Wait\(\)$")


def waited_within(launch: Launch) -> bool:
    """Return whether every way out of the function around a launch waits behind it."""
    function = launch.function
    flow = flow_of(function) if function is not None else None
    start = flow.point_of(launch.node) if flow is not None else None
    if flow is None or start is None or not flow.complete:
        return False
    waits = {
        point
        for point in flow.points[1:-1]
        if point.node.kind != "go_statement"
        for node in point.own()
        if node.kind == "call_expression" and _WAITS.search(node.text)
    }
    if any(start in flow.reachable(p) for p in waits if p.node.kind == "defer_statement"):
        return True
    exits = flow.exits_from(start, stop=waits.__contains__)
    return bool(waits) and not any(e.kind in {"return", "end"} for e in exits)
