"""The statement to move when a call is to run after the Unlock: itself, or what is around it."""

from __future__ import annotations

from threadmend.golang.locks import Held
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node

__all__ = ["statement_to_move"]


def statement_to_move(call: Node, lock: Held) -> Node:
    """Return the statement to move: the call, or the loop or condition around it.

    A loop may count what it does, and note it in local variables.
    """
    statement = call.parent
    assert statement is not None
    while True:
        block = statement.parent
        around = block.statement if block is not None and block.kind == "block" else None
        if block is None or around is None or around.function is not call.function:
            return statement
        if around.kind not in {"for_statement", "if_statement"} or around.get("alternative"):
            return statement
        beside = [s for s in block.statements if s is not statement]
        if beside and (
            around.kind != "for_statement" or not all(_is_apart(s, lock) for s in beside)
        ):
            return statement
        statement = around


def _is_apart(statement: Node, lock: Held) -> bool:
    """Return whether a statement neither uses the object of a lock nor leads away."""
    root = lock.access.root
    if not isinstance(root, Binding) or statement.kind not in _PLAIN:
        return False
    plain = all(n.kind not in {"call_expression", "func_literal"} for n in statement.walk())
    return plain and not any(statement.contains(use) for use in root.uses)


_PLAIN = frozenset(
    {"inc_statement", "dec_statement", "assignment_statement", "short_var_declaration"}
)
