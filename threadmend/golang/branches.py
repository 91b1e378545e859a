"""Branches: what is known to hold where a node stands, by the conditions around it.

if err != nil { … }      switch { case err != nil: … }      if failed(err) { … }
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from threadmend.golang.functions import only_returned
from threadmend.golang.node import bare
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.translate import at_launch

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["Decision", "decisions", "found_nil", "spelt_out"]


class Decision(NamedTuple):
    """A condition around a node, and whether it holds there."""

    condition: Node
    holds: bool


def decisions(node: Node, within: Node | None = None) -> Iterator[Decision]:
    """Yield the conditions that decide whether a node runs, in its function or in the one that is
    named; innermost first.
    """
    inner = node
    for outer in node.ancestors():
        if outer is within or (within is None and outer.kind in FUNCTIONS):
            return
        if outer.kind == "if_statement" and inner.field in {"consequence", "alternative"}:
            yield Decision(outer["condition"], inner.field == "consequence")
        if outer.kind == "expression_switch_statement" and outer.get("value") is None:
            yield from _of_switch(outer, inner)
        inner = outer


def _of_switch(switch: Node, clause: Node) -> Iterator[Decision]:
    """Yield what a switch without a value has found out where a clause of it begins."""
    clauses = [c for c in switch.children if c.kind in {"expression_case", "default_case"}]
    if clause not in clauses:
        return  # `switch err := run(); {`
    if any(s.kind == "fallthrough_statement" for c in clauses for s in c.statements[-1:]):
        return
    own = _conditions(clause)
    if len(own) == 1:
        yield Decision(own[0], True)
    for other in clauses:
        if other is clause and own:
            return
        yield from (Decision(condition, False) for condition in _conditions(other))


def _conditions(clause: Node) -> list[Node]:
    value = clause.get("value")
    return list(value.children) if value is not None else []


def found_nil(file: GoFile, node: Node, text: str) -> bool:
    """Return whether a condition around a node found that an expression is nil."""
    absent, there = (f"{text} {word} nil".encode() for word in ("==", "!="))
    return any(
        spelt_out(file, decision.condition) == (absent if decision.holds else there)
        for decision in decisions(node)
    )


def spelt_out(file: GoFile, condition: Node) -> bytes:
    """Return the text of a condition: of a function that only returns one what that says, in the
    words of the call. `failed(err)` is `err != nil`.
    """
    call = bare(condition)
    decl = file.callee(call) if call.kind == "call_expression" else None
    said = only_returned(decl.node) if decl is not None and decl.sound else None
    text = at_launch(call, decl.node, said) if decl is not None and said is not None else None
    return text.encode() if text is not None else condition.text
