"""Loops over a channel that nobody closes: they are left in the middle, or not at all.

for sig := range signals {
    println(sig.String())
    close(exit)
    break
}
"""

from __future__ import annotations

import re

from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan

__all__ = ["is_over_never"]


def is_over_never(file: GoFile, signal: Node) -> bool:
    """Return whether a signal stands in a loop over a channel of which no close can be seen."""
    for loop in signal.ancestors():
        if loop.kind == "func_literal":
            return False
        clause = next((c for c in loop.children if c.kind == "range_clause"), None)
        if loop.kind != "for_statement" or clause is None:
            continue
        if isinstance(file.underlying(file.type_of(clause["right"])), Chan):
            name = clause["right"].text.rpartition(b".")[2]
            closed = re.compile(rb"\bclose\((?:[\w.]+\.)?" + re.escape(name) + rb"\)")
            return not file.package.holds(closed)
    return False
