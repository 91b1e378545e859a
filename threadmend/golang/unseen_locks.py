"""Unseen locks: calls that take a lock of another kind, told by their name.

    if err := c.mu.LockCtx(ctx); err != nil { … }     t.client.lock()
    defer c.mu.Unlock()                               defer t.client.unlock()

Of a type of another module, of an interface, or of one that does more than lock. What is written
behind such a call is not written "without a lock". For doubt, not for proof: whose lock it is
nobody knows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.lock_helpers import net_acquires
from threadmend.golang.locks import locks_of

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.syntax import Node

__all__ = ["holds_unseen_lock"]

_TEXT = re.compile(rb"[lL]ock\w*\(")
_TAKES = re.compile(r"(?:[rRwW]?[lL]ock|[lL]ock[A-Z]\w*)$")
_GIVES = re.compile(r"(?:[rRwW]?[uU]n[lL]ock|[uU]nlock[A-Z]\w*)$")


def holds_unseen_lock(file: GoFile, node: Node) -> bool:
    """Return whether a function has called what takes a lock, before a node, and not given it back.

    Operations on locks whose type is known, and helpers that only lock, are left to those who
    follow them.
    """
    function = node.function
    if function is None or not _TEXT.search(file.data, function.start, function.end):
        return False
    known = {o.call for o in locks_of(file, function).operations}
    held: set[bytes] = set()
    for call in function.own():
        if call.kind != "call_expression" or call in known:
            continue
        called = call["function"]
        if called.kind != "selector_expression":
            continue
        name, owner = called["field"].name, called["operand"].text
        if call.up("defer_statement") is not None:
            if _TAKES.match(name):
                return True  # for what is deferred as well
            continue
        if call.start >= node.start:
            continue
        if _TAKES.match(name):
            decl = file.callee(call)
            if decl is None or decl.key not in net_acquires(file.package):
                held.add(owner)
        elif _GIVES.match(name):
            held.discard(owner)
    return bool(held)
