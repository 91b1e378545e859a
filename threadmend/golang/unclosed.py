"""Which ranges end only from within: those over a ticker, whose channel nobody can close."""

from __future__ import annotations

import re

from threadmend.golang.syntax import Node

__all__ = ["ranges_over_ticker"]

_CALLED_ONE = re.compile(rb"(?i)tick(?!et)\w*$")


def ranges_over_ticker(clause: Node) -> bool:
    """Return whether a range is over a ticker's channel, judged by how it is written.

    Besides `time.Tick(d)` and `time.NewTicker(d).C` a ticker is what is named like one, and
    what the function around makes with `NewTicker`.
    """
    right = clause.get("right")
    text = right.text if right is not None else b""
    if text.startswith(b"time.Tick("):
        return True
    if right is None or right.kind != "selector_expression" or not text.endswith(b".C"):
        return False
    operand = text[:-2]
    if b".NewTicker(" in operand or _CALLED_ONE.search(operand):
        return True
    function = clause.function
    made = re.compile(rb"\b" + re.escape(operand) + rb"\s*:?=\s*[\w.]*\bNewTicker\(")
    return function is not None and made.search(function.text) is not None
