"""Recovering: whether a function goes on, or ends in order, after a panic in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["recovers", "sends_if_open"]

_RECOVERS = re.compile(rb"\brecover\(\)")


def recovers(file: GoFile, body: Node) -> bool:
    """Return whether a function defers a call that recovers: a literal's, or a function's.

    `defer s.rescue()`; what `rescue` calls in its turn cannot recover.
    """
    for deferred in body.find("defer_statement"):
        if deferred.function is not body:
            continue
        if _RECOVERS.search(deferred.text):
            return True
        call = deferred.children[-1]
        decl = file.callee(call) if call.kind == "call_expression" else None
        if decl is not None and decl.has_body and _RECOVERS.search(decl.node.text):
            return True
    return False


_ASIDE = frozenset({"defer_statement", "return_statement", "short_var_declaration"})


def sends_if_open(file: GoFile, send: Node) -> bool:
    """Return whether a function does no more than to send, and recovers where that panics.

    `func (c *conn) put(b int) { defer func() { _ = recover() }(); select { case c.in <- b: … } }`
    """
    function = send.function
    if function is None or not recovers(file, function):
        return False
    statements = [s for s in function["body"].statements if s.kind not in _ASIDE]
    return len(statements) == 1 and statements[0].contains(send)
