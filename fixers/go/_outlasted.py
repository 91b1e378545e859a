"""Receivers that are ended only when all who send to them are done."""

from __future__ import annotations

import re

from threadmend.golang.channels import ChannelOperation
from threadmend.golang.syntax import Node

__all__ = ["outlasts"]

_DONE = re.compile(rb"\bdefer (\w+)\.Done\(\)")
_STOP = re.compile(rb"<-\s*(\w+)(?:\.Done\(\))?")


def outlasts(receive: ChannelOperation, send: Node) -> bool:
    """Return whether a receiver's stop comes after a Wait for the goroutine that sends.

    `wg.Add(1); go func() { defer wg.Done(); …; ch <- v }(); go receive(until); wg.Wait(); end()`
    """
    sender, select = send.function, receive.select
    if sender is None or select is None or sender.kind != "func_literal":
        return False
    counted = {m[1] for m in _DONE.finditer(sender.text)}
    maker = sender.up(*_DECLARATIONS)
    if maker is None or not counted or not maker.contains(select):
        return False
    waits = [s for s in maker["body"].statements if _waits_for(s, counted)]
    stops = {
        m[1]
        for case in select.children
        if case is not receive.case and (told := case.get("communication")) is not None
        if (m := _STOP.fullmatch(told.text)) is not None
    }
    return bool(waits and stops) and all(_ended_after(maker, s, waits[0].end) for s in stops)


_DECLARATIONS = ("function_declaration", "method_declaration")


def _waits_for(statement: Node, counted: set[bytes]) -> bool:
    return any(statement.text == name + b".Wait()" for name in counted)


def _ended_after(maker: Node, stop: bytes, waited: int) -> bool:
    """Return whether a function ends a context or stop of its own below a place, and not above."""
    made = re.search(rb"\b" + stop + rb", (\w+) := context\.With", maker.text)
    end = (made[1] + rb"\(\)") if made is not None else rb"close\(" + stop + rb"\)"
    ends = [maker.start + m.start() for m in re.finditer(rb"(?<!defer )\b" + end, maker.text)]
    return bool(ends) and all(at >= waited for at in ends)
