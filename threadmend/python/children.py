"""What a node is made of: the fields of each type that may hold other nodes."""

from __future__ import annotations

import ast

__all__ = ["FIELDS", "children"]

_LEAVES = (ast.expr_context, ast.operator, ast.boolop, ast.unaryop, ast.cmpop)
_SKIPPED = frozenset({"ctx", "op", "ops", "id", "attr", "arg", "kind", "type_comment", "n", "s"})
FIELDS: dict[type[ast.AST], tuple[str, ...]] = {
    kind: ()
    if kind in {ast.Constant, ast.Name}
    else tuple(name for name in kind._fields if name not in _SKIPPED)
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST) and not issubclass(kind, _LEAVES)
}
"""The fields that may hold nodes, by type; what is no key has neither place nor parent."""


def children(node: ast.AST) -> list[ast.AST]:
    """Return the nodes directly in a node, in the order of its fields.

    `ast.iter_child_nodes` yields contexts and operators as well, half of all there are.
    """
    found: list[ast.AST] = []
    for name in FIELDS[node.__class__]:
        value = getattr(node, name)
        if value.__class__ is list:
            found += [child for child in value if child.__class__ in FIELDS]
        elif value.__class__ in FIELDS:
            found.append(value)
    return found
