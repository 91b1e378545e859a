"""Kept literals: function literals that run after the function that made them has returned.

It returns them, or hands them over to who keeps them: `mux.HandleFunc("/", func(…) {…})`,
`t.OnChange(func() {…})` where `t` stores what it gets, `s.stop = func() {…}`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.closures import Later, Search
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["runs_later"]

_KEEPS = re.compile(r"(?:On[A-Z]\w*|Handle|HandleFunc|Store)$")
_LATER = frozenset({"returned", "stored function", "timer function"})


class _Whole(Search):
    """The search for what outlives a whole run of a function."""

    whole = True

    def unseen(self, call: Node) -> Later | None:
        """Say that what is registered, or put into an atomic.Value, is called later."""
        function = call["function"]
        if function.kind == "selector_expression" and _KEEPS.match(function["field"].name):
            return Later("stored function", call)
        return None


def runs_later(file: GoFile, literal: Node, node: Node) -> bool:
    """Return whether a node of a literal runs when the function around has returned.

    What is done to the literal's own parameters (`func(o *Options) {…}`) is for its caller to say.
    """
    function = literal.function
    root = file.binding(next(node.find("identifier"), node))
    if function is None or (root is not None and root.function is literal):
        return False
    known: dict[Node, bool] = file.package.facts.setdefault("kept literals", {})
    if literal not in known:
        later = _Whole(file, function).value(literal)
        known[literal] = later is not None and later.how in _LATER
    return known[literal]
