"""Failing: which return statements say that the function did not do what it was asked for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.functions import result_nodes
from threadmend.golang.infer import is_decl
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["fails"]

_MAKES_ERROR = re.compile(r"\b(?:errors\.\w+|fmt\.Errorf|status\.Errorf?|New\w*Error\w*)$")
_NAMED_ERROR = re.compile(r"(?:^|\.)(?:[eE]rr[A-Z_0-9]\w*|EOF|ErrUnexpectedEOF)$")


def fails(file: GoFile, statement: Node) -> bool:
    """Return whether a return statement certainly returns an error, as its last result.

    `return ErrClosed`, `return nil, fmt.Errorf(…)`, `if err != nil { return err }`.
    """
    function = statement.function
    if function is None or statement.kind != "return_statement" or len(statement.children) < 2:
        return False
    results = result_nodes(function)
    values = statement.children[1].children
    if not results or results[-1].text != b"error" or len(values) != len(results):
        return False
    return _is_error(file, values[-1], statement)


def _is_error(file: GoFile, value: Node, statement: Node) -> bool:
    if value.kind == "call_expression":
        return bool(_MAKES_ERROR.search(value["function"].name))
    if value.kind == "unary_expression":
        return value["operator"].kind == "&"
    if value.kind == "composite_literal":
        return True
    if value.kind == "selector_expression":
        return bool(_NAMED_ERROR.search(value.name)) or _is_tested(value, statement)
    if value.kind != "identifier" or value.name == "nil":
        return False
    if is_decl(file.resolve(value), "var"):
        return True
    return _is_tested(value, statement)


def _is_tested(value: Node, statement: Node) -> bool:
    """Return whether `if err != nil` stands directly around, with nothing assigned since.

    Or `case err != nil:` of a switch without a value.
    """
    block = statement.parent
    test = _condition_of(block) if block is not None else None
    if block is None or test is None or test.name != f"{value.name} != nil":
        return False
    between = (n for s in block.statements if s.end <= statement.start for n in s.walk())
    return not any(
        n.kind == value.kind
        and n.name == value.name
        and n.parent is not None
        # on the left of an assignment
        and n.parent.field == "left"
        for n in between
    )


def _condition_of(block: Node) -> Node | None:
    """Return what holds for certain where a block, or a case, begins."""
    outer = block.parent
    if block.kind == "expression_case" and outer is not None:
        values = block["value"].children
        return values[0] if outer.get("value") is None and len(values) == 1 else None
    if outer is None or outer.kind != "if_statement" or block.field != "consequence":
        return None
    return outer["condition"]
