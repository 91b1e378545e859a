"""Whether a stop may be ready before a place is reached: to listen to it there is no wait.

`<-ctx.Done(); errs <- srv.Shutdown(…)` sends when the context has ended, and `cancel(); <-done`
waits for what the end brings about. A select that hears the context there goes on at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.flow import flow_of
from threadmend.golang.scope import Binding
from threadmend.golang.stops import Stop, visible
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.types import is_named

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["ended_by", "may_have_ended"]

_CANCELS = re.compile(r"(?i)cancel|stop")


def may_have_ended(file: GoFile, node: Node, stop: Stop) -> bool:
    """Return whether the function around a place knows, or sees to it, that a stop is ready."""
    function = node.function
    if function is None:
        return False
    if function.is_deferred or _is_asked(node, stop):
        return True
    return any(True for _ in ended_by(file, node, stop))


def ended_by(file: GoFile, node: Node, stop: Stop) -> Iterator[Node]:
    """Yield the receives and cancels, of the same function, after which a stop is ready there."""
    function = node.function
    flow = flow_of(function) if function is not None else None
    point = flow.point_of(node) if flow is not None else None
    if function is None or flow is None or point is None:
        return
    cancel = _cancel_of(node, stop)
    for other in function.own():
        if _ends(file, other, stop, cancel):
            start = flow.point_of(other)
            if start is not None and start is not point and point in flow.reachable(start):
                yield other


def _is_asked(node: Node, stop: Stop) -> bool:
    """Return whether an `if` around a place asks for the context's error."""
    wanted = f"{stop.context}.Err()".encode() if stop.context else b""
    for above in node.ancestors():
        if above.kind in FUNCTIONS:
            return False
        if above.kind == "if_statement" and wanted and wanted in above["condition"].text:
            return True
    return False


def _cancel_of(node: Node, stop: Stop) -> str:
    """Return `cancel` of `ctx, cancel := …`, where that is how the context was made."""
    for binding in visible(node):
        if binding.name == stop.context:
            return _second_of(binding)
    return ""


def _second_of(binding: Binding) -> str:
    left = binding.declaration.get("left")
    names = left.children if left is not None else []
    return names[1].name if len(names) == 2 and binding.index == 0 else ""


def _ends(file: GoFile, node: Node, stop: Stop, cancel: str) -> bool:
    """Return whether a stop is ready when a node was evaluated."""
    if node.kind == "unary_expression":
        return node["operator"].kind == "<-" and node["operand"].name == stop.receive
    if node.kind != "call_expression" or not stop.context:
        return False
    if node.is_deferred:
        return False
    called = node["function"]
    base, _, _ = stop.context.rpartition(".")
    if called.kind == "selector_expression":
        name = called["field"].name
        if not base or called["operand"].name != base:
            return False
        return bool(_CANCELS.search(name)) or is_named(file.type_of(called), "context.CancelFunc")
    return called.name == cancel or (not base and not cancel and "cancel" in called.name.lower())
