"""What a function marks as taken or shared before it returns it: who comes later finds it so."""

from __future__ import annotations

import re

from threadmend.golang.escapes import Escape
from threadmend.golang.syntax import Node

__all__ = ["is_marked"]


def is_marked(escape: Escape) -> bool:
    """Return whether the function marks the object as taken: who comes later finds it so.

    `for b.writing { b.cond.Wait() }; b.writing = true; return b.chunks`
    """
    for node in escape.function.own():
        if node.kind == "assignment_statement" and node.start < escape.statement.start:
            targets, values = node["left"].children, node["right"].children
            if targets[0].kind == "selector_expression":
                if values[0].text == b"true" or _is_told(targets[0], values[0], escape.source):
                    return True
        if node.kind == "call_expression" and node["arguments"].text == b"(true)":
            if node["function"].name.endswith((".Swap", ".Store")):
                return True
        if node.kind == "call_expression" and node["arguments"].text == b"(false)":
            if _OWNED.search(node["function"].name):
                return True
        if node.kind == "call_expression" and _MARKS.match(node["function"].text):
            if node["arguments"].children[-1].text == b"1":
                return True
    return False


_MARKS = re.compile(rb"atomic\.(?:Swap|Store|CompareAndSwap)U?[Ii]nt(?:32|64)$")


_SHARED = re.compile(r"(?i)shared|exposed|lent|borrowed|cow$|copyonwrite")
# Who changes the elements asks for it, and copies them first: `m.copied.Store(false)`.
_OWNED = re.compile(r"(?i)(?:copied|owned|unique|exclusive)\.(?:Swap|Store)$")


def _is_told(target: Node, value: Node, source: Node) -> bool:
    """Return whether a field says whether there is something to share: `shared = cap(items) > 0`.

    Who changes the elements looks there, and copies them first.
    """
    if value.kind != "binary_expression" or not _SHARED.search(target["field"].name):
        return False
    return any(node.text == source.text for node in value.find("selector_expression"))
