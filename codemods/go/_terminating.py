"""Whether a list of statements ends in a terminating one (https://go.dev/ref/spec)."""

from __future__ import annotations

from collections.abc import Container

from threadmend.golang.syntax import Node

__all__ = ["terminates"]

_CLAUSES = frozenset({"expression_case", "type_case", "communication_case", "default_case"})
_SWITCHES = frozenset({"expression_switch_statement", "type_switch_statement"})


def terminates(statements: list[Node], returns: Container[Node] = ()) -> bool:
    """Return whether control does not reach the end; `returns` become return statements."""
    return bool(statements) and _ends(statements[-1], returns)


def _ends(node: Node, returns: Container[Node]) -> bool:
    kind = node.kind
    if node in returns or kind in {"return_statement", "goto_statement"}:
        return True
    if kind == "expression_statement":
        return node.text.startswith(b"panic(")
    if kind == "block":
        return terminates(node.statements, returns)
    if kind == "if_statement":
        other = node.get("alternative")
        return other is not None and (_ends(node["consequence"], returns) and _ends(other, returns))
    if kind == "labeled_statement":
        label = node.children[0].text
        inner = node.children[-1]
        return _ends(inner, returns) and not any(
            jump.text == b"break " + label for jump in node.find("break_statement")
        )
    if kind == "for_statement":
        endless = all(c.kind in {"for", "block"} for c in node.children) or (
            b";" in node.text.partition(b"{")[0] and _has_no_condition(node)
        )
        return endless and not _breaks(node)
    if kind in _SWITCHES or kind == "select_statement":
        clauses = [c for c in node.children if c.kind in _CLAUSES]
        total = kind == "select_statement" or any(c.kind == "default_case" for c in clauses)
        return (
            total
            and not _breaks(node)
            and all(
                terminates(c.statements, returns)
                or (c.statements and c.statements[-1].kind == "fallthrough_statement")
                for c in clauses
            )
        )
    return False


def _has_no_condition(loop: Node) -> bool:
    clause = next((c for c in loop.children if c.kind == "for_clause"), None)
    return clause is not None and clause.get("condition") is None


def _breaks(node: Node) -> bool:
    """Return whether a `break` without a label leaves a statement."""
    for jump in node.find("break_statement"):
        if jump.text != b"break":
            return True
        around = jump.up("for_statement", "select_statement", *_SWITCHES)
        if around is node:
            return True
    return False
