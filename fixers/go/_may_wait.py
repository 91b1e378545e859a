"""Whether a part of a function may wait for somebody, by what it does and what it calls."""

from __future__ import annotations

import re

from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node

__all__ = ["may_wait"]

_WAITS = re.compile(rb"<-|\bselect\b|(?i:(?:wait|join|drain|stop|shutdown|finish|cancel)\w*\()")
# A receive that is not one of several cases, and the wait for a group.
_RECEIVES = re.compile(rb"(?:[=(,!] ?|\breturn |[\n{][ \t]*)<-|\.Wait\(\)")
_CALLED = re.compile(rb"\w+\($")
_LEVELS = 3


def may_wait(file: GoFile, body: Node, start: int, end: int, depth: int = _LEVELS) -> bool:
    """Return whether code between two places of a body may wait: a receive, or a call named so.

    A function that is visible is known by what it does itself: `Stop` may only tell, `Off` wait.
    """
    found = list(_WAITS.finditer(file.data, start, end))
    if found and (depth == 0 or any(_CALLED.search(m[0]) is None for m in found)):
        return True
    calls = {c["function"].end: c for c in body.find("call_expression")}
    if any(_waits_in(file, calls.get(m.end() - 1), depth) for m in found):
        return True
    inside = [c for c in calls.values() if start <= c.start and c.end <= end]
    return any(not c.is_launched and _receives(file, c) for c in inside)


def _receives(file: GoFile, call: Node) -> bool:
    """Return whether a function of the project receives or waits, whatever its name."""
    decl = file.callee(call)
    body = decl.node.get("body") if decl is not None and decl.sound else None
    if decl is None or body is None or not _RECEIVES.search(decl.file.data, body.start, body.end):
        return False
    return any(_RECEIVES.search(b"\n" + s.text) for s in body.statements if s.kind in _WAITING)


_WAITING = frozenset({"expression_statement", "short_var_declaration", "for_statement"})


def _waits_in(file: GoFile, call: Node | None, depth: int) -> bool:
    """Return whether what a call runs may wait; what cannot be seen does."""
    decl = file.callee(call) if call is not None else None
    body = decl.node.get("body") if decl is not None and decl.sound else None
    if decl is None or body is None:
        return True
    return may_wait(decl.file, body, body.start, body.end, depth - 1)
