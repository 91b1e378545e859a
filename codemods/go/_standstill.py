"""What would let the time of a bubble stand still for ever.

Time goes on when every goroutine waits in a way that the bubble sees. One that turns in a loop
does not wait, and one that waits for a mutex does not seem to: whoever sleeps with the mutex
would sleep for ever.
"""

from __future__ import annotations

import re

from threadmend.golang.file import GoFile
from threadmend.golang.locks import held_at, locks_of
from threadmend.golang.syntax import Node

from ._bubble import Reach, is_pause
from ._ends import is_launched

__all__ = ["spins", "waits_under_lock"]

_LOADS = re.compile(rb"\.(?:Load\w*|Err|Is\w+|Len|Get)\(")


def spins(reach: Reach) -> bool:
    """Return whether a loop may turn without ever waiting: time stands still meanwhile."""
    for body in reach.bodies:
        for loop in body.node.find("for_statement"):
            nodes = list(loop.walk())
            if any(is_pause(body.file, node) for node in nodes):
                continue
            polls = any(node.kind == "default_case" for node in nodes)
            head = body.file.data[loop.start : loop["body"].start]
            if polls or _LOADS.search(head):
                return True
    return False


def waits_under_lock(reach: Reach) -> bool:
    """Return whether somebody may wait with a lock: a bubble does not see who wants it."""
    pausing = _pausing(reach)
    for body in reach.bodies:
        called = dict(reach.calls.get(body.node, ()))
        for node in body.node.walk():
            waits = is_pause(body.file, node)
            if node in called and called[node].node in pausing:
                waits = waits or not is_launched(reach, node, body.node)
            if waits and _may_hold(body.file, node):
                return True
    return False


def _pausing(reach: Reach) -> set[Node]:
    """Return the bodies in which somebody may wait, goroutines that they launch included."""
    found = {b.node for b in reach.bodies if any(is_pause(b.file, n) for n in b.node.walk())}
    while True:
        more = {
            node
            for node, calls in reach.calls.items()
            if node not in found and any(c.node in found for _, c in calls)
        }
        if not more:
            return found
        found |= more


def _may_hold(file: GoFile, node: Node) -> bool:
    """Return whether a lock is held at a node, or the last operation above it took one."""
    if held_at(file, node):
        return True
    function = node.function
    if function is None:
        return False
    above = [o for o in locks_of(file, function).operations if o.call.start < node.start]
    lasting = [o for o in above if _is_deferred(o.call) and o.releases]
    return bool(lasting) or bool(above and above[-1].acquires)


def _is_deferred(call: Node) -> bool:
    return call.parent is not None and call.parent.kind == "defer_statement"
