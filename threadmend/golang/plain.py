"""Plain statements: those whose evaluation reads nothing that a lock could guard."""

from __future__ import annotations

from threadmend.golang.scope import resolve_local
from threadmend.golang.syntax import Node

__all__ = ["is_plain", "only_words"]

_READS = frozenset(
    {
        *("call_expression", "selector_expression", "index_expression", "slice_expression"),
        *("unary_expression", "func_literal", "type_assertion_expression"),
    }
)
_MAKES_ERRORS = frozenset({b"errors.New", b"fmt.Errorf", b"fmt.Sprintf", b"fmt.Sprint"})


def is_plain(node: Node) -> bool:
    """Return whether an expression or return only has names, constants, errors of them."""
    if node.kind == "call_expression" and node["function"].text in _MAKES_ERRORS:
        return all(is_plain(argument) for argument in node["arguments"].children)
    if node.kind == "unary_expression" and node["operand"].kind == "composite_literal":
        return is_plain(node["operand"])
    if node.kind == "selector_expression":
        # pkg.Value or pkg.Type, as far as the name alone can tell
        operand = node["operand"]
        return operand.kind == "identifier" and resolve_local(operand) is None
    if node.kind == "slice_expression" and node["operand"].kind == "identifier":
        # the part of a local variable, not what it holds
        local = resolve_local(node["operand"]) is not None
        return local and all(is_plain(child) for child in node.children)
    if node.kind in _READS:
        return False
    return all(is_plain(child) for child in node.children)


def only_words(node: Node) -> bool:
    """Return whether a return only hands on what is there, with errors made of it.

    `return stored, fmt.Errorf("store %s: %w", s.Barcode, err)`
    """
    for each in node.walk():
        if each.kind == "call_expression" and each["function"].text not in _MAKES_ERRORS:
            if each["function"].text != b"errors.Join":
                return False
        if each.kind == "unary_expression" and each["operator"].kind == "<-":
            return False
    return True
