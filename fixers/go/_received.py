"""Receives, and the calls of functions that always make one."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node
from threadmend.golang.translate import at_launch

__all__ = ["received_by"]

_PLAIN = frozenset(
    {
        *("expression_statement", "return_statement", "short_var_declaration"),
        *("assignment_statement", "var_declaration"),
    }
)


def received_by(file: GoFile, node: Node) -> Iterator[bytes]:
    """Yield what an expression receives from: of `<-done`, or of `take(done)`, which does so.

    In the words of the call; those of the callee where these cannot be told.
    """
    if node.kind == "unary_expression" and node["operator"].kind == "<-":
        yield node["operand"].text
    if node.kind != "call_expression" or node.runs_later:
        return
    decl = file.callee(node)
    body = decl.node.get("body") if decl is not None and decl.sound else None
    if decl is None or body is None:
        return
    for statement in body.statements:
        for receive in statement.find("unary_expression") if statement.kind in _PLAIN else ():
            if receive["operator"].kind == "<-" and receive.function is decl.node:
                text = at_launch(node, decl.node, receive["operand"])
                yield text.encode() if text is not None else receive["operand"].text
