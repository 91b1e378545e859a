"""What a call makes that lives longer than the context it would be given."""

from __future__ import annotations

import re

from threadmend.golang.ambient import Ambient
from threadmend.golang.contexts import derivations
from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node

__all__ = ["lives_on"]


def lives_on(file: GoFile, call: Node, context: Ambient | None = None) -> bool:
    """Return whether what a call makes is used when the context has ended, or has its own.

    A command that is started and never waited for, a request that is given a context later;
    anything that is returned from a function that cancels the context on its way out.
    """
    statement = call.statement
    if statement is None:
        return False
    if statement.kind == "return_statement" and _is_cancelled_here(file, context):
        return True
    left_side = statement.get("left")
    if left_side is None or not left_side.children:
        return False
    name = left_side.children[0].name
    function = call.function
    text = function.text if function is not None else b""
    start = rb"\b" + re.escape(name.encode())
    if re.search(start + rb"\.WithContext\(", text):
        return True
    if re.search(start + rb"\.Start\(", text) and not re.search(start + rb"\.Wait\(", text):
        return True
    if left_side.children[0].kind != "identifier":
        return _is_cancelled_here(file, context)
    returned = re.search(rb"\breturn [^\n]*" + start + rb"\b", text)
    return bool(returned) and _is_cancelled_here(file, context)


def _is_cancelled_here(file: GoFile, context: Ambient | None) -> bool:
    """Return whether the context is derived in this function, with its cancel function."""
    if context is None or context.kind != "context" or context.binding.kind != "variable":
        return False
    return any(file.binding(d.context) is context.binding for d in derivations(file))
