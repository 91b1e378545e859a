"""Translate an expression of a function's body into the words of one of its calls."""

from __future__ import annotations

from threadmend.golang.access import is_assigned_once
from threadmend.golang.scope import Binding, argument_of, resolve_local
from threadmend.golang.syntax import Node

__all__ = ["at_launch"]

_PLAIN = frozenset(
    {
        *("identifier", "selector_expression", "field_identifier", "int_literal"),
        *("binary_expression", "unary_expression", "parenthesized_expression", "argument_list"),
    }
)


def at_launch(call: Node | None, body: Node, expression: Node) -> str | None:
    """Return an expression of `body` as it reads at a call that runs this body.

    Parameters and the receiver become the arguments; other names must mean the same outside.
    None when a name is declared inside the body, an argument is not a plain path, or the
    expression does more than read (`len` apart).
    """
    if call is None:
        return None
    text = expression.text
    for node in reversed(list(expression.walk())):
        length = node.kind == "call_expression" and node["function"].text == b"len"
        if node.children and node.kind not in _PLAIN and not length:
            return None
        if node.kind != "identifier":
            continue
        binding = resolve_local(node)
        if binding is None or not body.contains(binding.node):
            continue
        given = _argument_for(call, body, binding)
        if given is None:
            return None
        start = node.start - expression.start
        text = text[:start] + given + text[start + node.end - node.start :]
    return text.decode()


def _argument_for(call: Node, body: Node, binding: Binding) -> bytes | None:
    """Return the argument that a call passes for a parameter or the receiver."""
    if binding.scope is not body or not is_assigned_once(binding):
        return None
    function = call["function"]
    if binding.kind == "receiver":
        if function.kind != "selector_expression":
            return None
        return _plain(function["operand"])
    argument = argument_of(call, body, binding)
    return None if argument is None else _plain(argument)


def _plain(argument: Node) -> bytes | None:
    """Return `wg` for the argument `&wg`: a method call takes the address by itself."""
    if argument.kind == "unary_expression" and argument["operator"].kind == "&":
        argument = argument["operand"]
    if argument.kind in {"identifier", "selector_expression", "int_literal"}:
        return argument.text
    return None
