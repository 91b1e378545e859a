"""A cancel that stands right above the send which would have to wait for its context."""

from __future__ import annotations

import re

from threadmend.golang.ended import ended_by
from threadmend.golang.file import GoFile
from threadmend.golang.stops import Stop
from threadmend.golang.syntax import Node

__all__ = ["cancel_above"]


def cancel_above(file: GoFile, send: Node, stop: Stop) -> Node | None:
    """Return the call that can as well be made below the send; somebody else makes it, too.

    `s.cancel(); s.results <- r`: when it stands below, whoever wants the result gets it, and
    who does not want it any more calls `s.cancel` to let the sender go.
    """
    statement = send.previous if send.kind == "send_statement" else None
    if statement is None or statement.kind != "expression_statement":
        return None
    call = statement.children[0]
    if list(ended_by(file, send, stop)) != [call] or call["function"].kind != "selector_expression":
        return None
    if call["arguments"].children or send.function is None or send.function.is_deferred:
        return None
    name = call["function"]["field"].name.encode()
    others = re.compile(rb"\.\s*" + re.escape(name) + rb"\(\)")
    for other in file.package.files:
        for found in other.find("call_expression", others):
            if found["function"].text.endswith(b"." + name) and found.function is not send.function:
                return statement
    return None
