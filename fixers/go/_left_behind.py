"""Sends whose receivers all leave on a stop that the sender could listen to as well."""

from __future__ import annotations

import re

from threadmend.golang.calls import callers
from threadmend.golang.channel_index import behind
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import declaration_of, held_at
from threadmend.golang.runners import runners_of
from threadmend.golang.stops import Stop, stops_at
from threadmend.golang.syntax import Node

from ._deserted_copies import left_by_copies
from ._stop_cases import deserted_by, name_of

__all__ = ["is_asked_alone", "left_by"]


def left_by(file: GoFile, send: Node, *, locked: bool = False) -> Stop | None:
    """Return the stop, visible at a send, on which all receivers of the channel leave.

    `locked`: a send under a lock, which will be made without.
    """
    if send["channel"].kind != "selector_expression":
        return None
    channel = behind(file, send)
    if channel.shared is None or not channel.unbuffered:
        return None
    if channel.shared.copies:
        found = left_by_copies(file, send, channel, ("receive", "range"))
        held = held_at(file, send) and not locked
        return None if found is None or held or _closes(send, name_of(found)) else found
    left = deserted_by(file, send, channel, ("receive", "range"))
    if left is None or (held_at(file, send) and not locked) or _closes(send, left):
        return None
    owner = send["channel"]["operand"].name
    for stop in stops_at(file, send):
        if name_of(stop) == left and stop.receive.startswith(f"{owner}."):
            return stop
    return None


def is_asked_alone(file: GoFile, send: Node) -> bool:
    """Return whether a send is all that an exported method is there for, as far as can be seen.

    `func (p *Plant) Order(n int) { p.orders <- n }`: no goroutine of the module calls it, nor
    any other code but tests, and its callers would not learn that the value was dropped.
    """
    function = send.function
    decl = declaration_of(file, function) if function is not None else None
    if function is None or decl is None or not decl.exported or function.get("result") is not None:
        return False
    if innermost_loop(send) is not None or runners_of(file, function).launches:
        return False
    return not any(True for _ in callers(decl).in_code())


def _closes(send: Node, name: str) -> bool:
    """Return whether the function that sends closes the stop, or calls what does."""
    function = send.function
    if function is None:
        return True
    pattern = re.compile(rb"\b(?:close\([\w.]*\b" + re.escape(name.encode()) + rb"|cancel\w*\()")
    return pattern.search(function.text) is not None
