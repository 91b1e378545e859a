"""Deleting calls, and with them the local variables that nothing uses any more.

m := &s.mu
m.Unlock()            // deleted with its declaration: Go compiles no unused variable
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from threadmend.golang.builders.lines import BuilderError
from threadmend.golang.builders.statements import delete
from threadmend.golang.scope import Binding, resolve_local
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["delete_calls"]

_DECLARES = ("short_var_declaration", "var_declaration")


def delete_calls(statements: Sequence[Node], code: str = "") -> tuple[Edit, ...]:
    """Delete statements with the declarations of the variables that only they use.

    `code` is what the fix writes elsewhere: what it names stays. Raises BuilderError where the
    declaration of such a variable does more than to name something.
    """
    gone = list(statements)
    for statement in gone:  # grows by the declarations
        for name in statement.find("identifier"):
            binding = resolve_local(name)
            if binding is not None and _is_left(binding, gone, code):
                gone.append(_declaration(binding))
    return tuple(edit for statement in gone for edit in delete(statement))


def _is_left(binding: Binding, gone: list[Node], code: str) -> bool:
    """Return whether a variable of the function has no use outside of what is deleted."""
    if binding.kind != "variable" or any(s.contains(binding.node) for s in gone):
        return False
    if re.search(rf"\b{re.escape(binding.name)}\b", code):
        return False
    uses = [use for use in binding.uses if use is not binding.node]
    return all(any(s.contains(use) for s in gone) for use in uses)


def _declaration(binding: Binding) -> Node:
    """Return the statement that declares a variable, and does nothing else."""
    statement, value = binding.node.statement, binding.value
    alone = statement is not None and statement.kind in _DECLARES and len(binding.values) == 1
    if statement is None or not alone or value is None or not _only_names(value):
        raise BuilderError(f"{binding.name} would be left without a use")
    names = statement["left"].children if statement.kind == _DECLARES[0] else []
    if len(names) > 1 or len(list(statement.find("var_spec"))) > 1:
        raise BuilderError(f"{binding.name} would be left without a use")
    return statement


def _only_names(value: Node) -> bool:
    """Return whether a value is a path, its address, or a method of it."""
    while value.kind in {"selector_expression", "unary_expression", "parenthesized_expression"}:
        if value.kind == "unary_expression" and value["operator"].kind != "&":
            return False
        value = value.get("operand") or value.children[0]
    return value.kind == "identifier"
