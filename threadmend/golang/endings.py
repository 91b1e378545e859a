"""Endings: whether what a goroutine runs can come to its end.

Judged by the control flow of what is launched, and of the call that it makes last: an
endless loop that nothing leaves, a range over a ticker or over a channel that nobody closes.
Waiting for ever at a channel or lock is another matter (the rules about goroutines).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import Launch, launches
from threadmend.golang.stops import leaves_loop
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named
from threadmend.inventory import Launch as Entry
from threadmend.inventory import Spot

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["endings"]

_DEPTH = 2
_PROCESS = frozenset({"blocked", "panic", "exit"})


def endings(file: GoFile, unclosed: Collection[tuple[str, int]]) -> Iterator[Entry]:
    """Yield the launches of a file. `unclosed` are ranges (path, start) that nothing ends."""
    for launch in launches(file):
        spot = Spot(file.path, file.source.line_of(launch.node.start))
        if launch.body is None:
            yield Entry(launch.kind, spot, _name(launch), "unseen")
            continue
        endless = _endless(file, launch.body, unclosed, _DEPTH)
        if endless is None:
            yield Entry(launch.kind, spot, _name(launch), "ends")
            continue
        path, line = endless.path, endless.tree.source.line_of(endless.start)
        where = f"line {line}" if path == file.path else f"{path}:{line}"
        yield Entry(launch.kind, spot, _name(launch), "never", f"the loop in {where} has no exit")


def _name(launch: Launch) -> str:
    if launch.decl is not None:
        owner = f"{launch.decl.receiver}." if launch.decl.receiver else ""
        return f"{owner}{launch.decl.name}"
    function = launch.call["function"] if launch.call is not None else None
    if function is None or function.kind == "func_literal":
        return "func literal"
    return " ".join(function.name.split())


def _endless(
    file: GoFile, body: Node, unclosed: Collection[tuple[str, int]], depth: int
) -> Node | None:
    """Return the loop that a function never leaves; None where it can end, or is not known."""
    flow = flow_of(body)
    if not flow.complete:
        return None
    kinds = {exit_.kind for exit_ in flow.exits}
    if "blocked" in kinds and kinds <= _PROCESS:
        return next(exit_.node for exit_ in flow.exits if exit_.kind == "blocked")
    block = body.get("body")
    if block is None or kinds - {"end"}:
        return None  # a return may come before
    for statement in block.statements:
        if statement.kind == "for_statement" and _ranges_for_ever(file, statement, unclosed):
            return statement
    last = block.statements[-1] if block.statements else None
    if depth and last is not None and last.kind == "expression_statement":
        call = last.children[0]
        decl = file.callee(call) if call.kind == "call_expression" else None
        if decl is not None and decl.sound and decl.has_body and decl.file.package.module:
            return _endless(decl.file, decl.node, unclosed, depth - 1)
    return None


def _ranges_for_ever(file: GoFile, loop: Node, unclosed: Collection[tuple[str, int]]) -> bool:
    clause = next((c for c in loop.children if c.kind == "range_clause"), None)
    if clause is None or leaves_loop(loop):
        return False
    return (clause.path, clause.start) in unclosed or _is_ticker(file, clause["right"])


def _is_ticker(file: GoFile, channel: Node) -> bool:
    """Return whether a channel is that of a ticker, which nobody can close."""
    if channel.kind == "selector_expression" and channel["field"].name == "C":
        return is_named(file.type_of(channel["operand"]), "time.Ticker")
    if channel.kind != "call_expression":
        return False
    function = channel["function"]
    if function.kind != "selector_expression" or function["field"].name != "Tick":
        return False
    return file.imported(function["operand"].name) == "time"
