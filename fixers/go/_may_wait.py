"""Whether a part of a function may wait for somebody, by what it does and what it calls."""

from __future__ import annotations

import re

from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node

__all__ = ["may_wait"]

_WAITS = re.compile(rb"<-|\bselect\b|(?i:(?:wait|join|drain|stop|shutdown|finish|cancel)\w*\()")
_CALLED = re.compile(rb"\w+\($")
_LEVELS = 3


def may_wait(file: GoFile, body: Node, start: int, end: int, depth: int = _LEVELS) -> bool:
    """Return whether code between two places of a body may wait: a receive, or a call named so.

    A function that is visible is known by what it does itself: `Stop` may only tell.
    """
    found = list(_WAITS.finditer(file.data, start, end))
    if not found:
        return False
    if depth == 0 or any(_CALLED.search(m[0]) is None for m in found):
        return True
    calls = {c["function"].end: c for c in body.find("call_expression")}
    return any(_waits_in(file, calls.get(m.end() - 1), depth) for m in found)


def _waits_in(file: GoFile, call: Node | None, depth: int) -> bool:
    """Return whether what a call runs may wait; what cannot be seen does."""
    decl = file.callee(call) if call is not None else None
    body = decl.node.get("body") if decl is not None and decl.sound else None
    if decl is None or body is None:
        return True
    return may_wait(decl.file, body, body.start, body.end, depth - 1)
