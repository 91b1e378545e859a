"""Handouts: what others have when a function returns: its receiver, its result, parts of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.access import Access
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Type, deref

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.goroutines import Launch

__all__ = ["handed_out", "is_handed_out"]


def handed_out(
    file: GoFile, function: Node, access: Access
) -> tuple[Type | None, tuple[str, ...]] | None:
    """Return the object that others have when a function returns, and a path within it.

    The receiver, the result, or what has become a part of one: `&task{stage: s}`.
    """
    root = access.root
    if not isinstance(root, Binding) or root.function is not function:
        return None
    if root.kind == "receiver" or _is_returned(function, root):
        return deref(file.type_of(root.node)), access.steps
    for use in root.uses:
        value = use.parent
        if value is not None and value.kind == "unary_expression":
            value = value.parent
        element = value.parent if value is not None and value.kind == "literal_element" else None
        key = element.get("key") if element is not None else None
        if element is None or element.kind != "keyed_element" or key is None or key is value:
            continue
        literal = element.up("composite_literal")
        owner = _kept_in(file, literal) if literal is not None else None
        if owner is not None and literal is not None and _is_returned(function, owner):
            return deref(file.type_of(literal)), (key.name, *access.steps)
    return None


def _kept_in(file: GoFile, literal: Node) -> Binding | None:
    """Return the variable of `t := &task{…}`."""
    value = literal.parent
    if value is not None and value.kind == "unary_expression":
        value = value.parent
    statement = value.parent if value is not None and value.kind == "expression_list" else None
    if statement is None or statement.kind != "short_var_declaration":
        return None
    names = statement["left"].children
    return file.binding(names[0]) if len(names) == 1 else None


def is_handed_out(launch: Launch, access: Access) -> bool:
    """Return whether an object outlives the launching function: its receiver, or its result."""
    root, function = access.root, launch.function
    if not isinstance(root, Binding) or function is None or root.function is not function:
        return False
    return root.kind == "receiver" or _is_returned(function, root)


def _is_returned(function: Node, root: Binding) -> bool:
    returns = [n for n in function.own() if n.kind == "return_statement"]
    return root.kind == "variable" and any(
        use.up("return_statement") in returns and use.parent is not None
        and use.parent.kind in {"expression_list", "return_statement"}
        for use in root.uses
    )  # fmt: skip
