"""Signals that several goroutines leave to the last of them."""

from __future__ import annotations

import re

from threadmend.golang.branches import decisions, spelt_out
from threadmend.golang.file import GoFile
from threadmend.golang.syntax import FUNCTIONS, Node

__all__ = ["asked_as_last", "left_to_the_last"]


_NAME = re.compile(rb"[^\W\d]\w*")


def left_to_the_last(file: GoFile, body: Node, signal: Node) -> bool:
    """Return whether a signal is left to the last one: `n--; if n == 0 { close(done) }`."""
    for decision in decisions(signal, body):
        text = spelt_out(file, decision.condition)
        names = set(_NAME.findall(text))
        if b".Add" in text or any(_counts_down(node, names) for node in body.own()):
            return True
    return False


def asked_as_last(close: Node, sends: list[Node]) -> bool:
    """Return whether a close asks a number from which each sender takes itself after its send.

    `if atomic.AddInt64(&left, -1) == 0 { close(ch) }`, there and here.
    """
    test = close.up("if_statement", *FUNCTIONS)
    condition = test.get("condition") if test is not None else None
    asked = _COUNTER.search(condition.text) if condition is not None else None
    if asked is None:
        return False
    for send in sends:
        body = send.function
        calls = [n for n in body.own() if n.kind == "call_expression"] if body is not None else []
        if not any(asked[0] in n.text and n.start >= send.end for n in calls):
            return False
    return bool(sends)


_COUNTER = re.compile(rb"\bAdd(?:Int|Uint)(?:32|64)\(&[\w.]+|[\w.]+\.Add\(")


def _counts_down(node: Node, names: set[bytes]) -> bool:
    """Return whether a statement changes a counter, or asks an atomic one, of these names."""
    if node.kind in {"inc_statement", "dec_statement"}:
        return node.children[0].text.rpartition(b".")[2] in names
    if node.kind == "assignment_statement" and node["operator"].text in {b"-=", b"+="}:
        return node["left"].children[0].text.rpartition(b".")[2] in names
    if node.kind == "short_var_declaration" and b"Add" in node["right"].text:
        return any(n.text in names for n in node["left"].children)
    return False
