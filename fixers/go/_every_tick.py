"""Loops over a ticker's channel, which nobody ever closes: how they listen to a stop."""

from __future__ import annotations

from dataclasses import replace

from threadmend.golang.access import meant_by
from threadmend.golang.builders import BuilderError, insert_after, insert_before, wrap
from threadmend.golang.channel_index import operand_of
from threadmend.golang.file import GoFile
from threadmend.golang.leaving import leave_at
from threadmend.golang.stops import listens, stops_at
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named
from threadmend.model import Edit, Fix, Safety

from ._stop_cases import in_select

__all__ = ["at_a_tick", "at_every_tick", "ticks"]


def ticks(file: GoFile, operation: Node) -> bool:
    """Return whether a range clause or a receive is from the channel of a ticker."""
    channel = meant_by(file, operand_of(operation))
    if channel.kind == "selector_expression" and channel["field"].name == "C":
        return is_named(file.type_of(channel["operand"]), "time.Ticker")
    if channel.kind != "call_expression" or channel["function"].get("operand") is None:
        return False
    function = channel["function"]
    return function["field"].name == "Tick" and file.imported(function["operand"].name) == "time"


def at_every_tick(file: GoFile, loop: Node, clause: Node) -> tuple[str, Fix | str] | None:
    """Return what the loop could listen to, and the fix; None when there is nothing.

    for {
        select {
        case <-s.quit:
            return
        case <-ticker.C:
        }
        …
    }
    """
    statements = loop["body"].statements
    stops = stops_at(file, statements[0]) if statements else []
    if not stops or listens(file, loop):
        return None
    return stops[0].receive, _fix(file, loop, clause)


def _fix(file: GoFile, loop: Node, clause: Node) -> Fix | str:
    statements = loop["body"].statements
    stop = stops_at(file, statements[0])[0]
    leave = leave_at(file, statements[0], stop)
    if isinstance(leave, str):
        return leave
    left, channel = clause.get("left"), clause["right"]
    if channel.kind == "call_expression":
        return "the ticker has no name"
    if left is not None and b":=" not in clause.text:
        return "the loop assigns to a variable from outside"
    head = f"select {{\ncase <-{stop.receive}:\n\t{leave.code}\n"
    edits: tuple[Edit, ...] = (Edit(file.path, clause.start, loop["body"].start, b""),)
    try:
        if left is None:
            edits += insert_before(statements[0], f"{head}case <-{channel.name}:\n}}")
        else:
            edits += wrap(statements, f"{head}case {left.name} := <-{channel.name}:")
        edits += _stopped(file, loop, channel["operand"])
    except BuilderError as error:
        return str(error)
    title = f"Leave the loop when {stop.receive} is ready"
    return Fix(title, leave.edits + edits, Safety.UNSAFE, "the goroutine now ends with it")


def at_a_tick(file: GoFile, loop: Node, receive: Node) -> tuple[str, Fix | str] | None:
    """Return the same for an endless loop with a statement that waits for the next tick."""
    stops = stops_at(file, receive)
    if not stops or listens(file, loop):
        return None
    fix = in_select(file, receive, stops[0], "the goroutine now ends with it")
    if isinstance(fix, Fix) and receive["operand"].kind == "selector_expression":
        try:
            stopped = _stopped(file, loop, receive["operand"]["operand"])
        except BuilderError as error:
            return stops[0].receive, str(error)
        fix = replace(fix, edits=fix.edits + stopped)
    return stops[0].receive, fix


def _stopped(file: GoFile, loop: Node, ticker: Node) -> tuple[Edit, ...]:
    """Stop a ticker of the function itself when that returns, which it never did."""
    binding = file.binding(ticker) if ticker.kind == "identifier" else None
    if binding is None or binding.function is not loop.function:
        return ()
    made = binding.node.statement
    if made is None or made.kind != "short_var_declaration":
        return ()
    if any(use.parent is not None and use.parent.text.endswith(b".Stop") for use in binding.uses):
        return ()
    return insert_after(made, f"defer {binding.name}.Stop()")
