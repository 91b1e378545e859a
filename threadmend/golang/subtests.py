"""Subtests: which calls start one, and from where on it runs beside its siblings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["TESTS", "is_subtest", "parallel_call"]

TESTS = ("testing.T", "testing.B", "testing.F", "testing.TB", "testing.common")
"""The types that a test is passed, and the interface of them."""


def parallel_call(file: GoFile, literal: Node) -> Node | None:
    """Return the `t.Parallel()` statement of a subtest's own body."""
    body = literal.get("body")
    found: Node | None = None
    if b".Parallel()" not in literal.text:
        return None
    for statement in body.statements if body is not None else ():
        if statement.kind == "labeled_statement":
            found = None  # a goto may have come here past the call
        if found is None and any(_is_parallel(file, node, literal) for node in statement.own()):
            found = statement
    return found


def _is_parallel(file: GoFile, call: Node, literal: Node) -> bool:
    function = call.get("function") if call.kind == "call_expression" else None
    if function is None or function.kind != "selector_expression":
        return False
    if function["field"].name != "Parallel":
        return False
    binding = file.binding(function["operand"])
    return binding is not None and binding.scope is literal and binding.kind == "parameter"


def is_subtest(file: GoFile, literal: Node) -> bool:
    """Return whether a literal is what `t.Run` runs."""
    arguments = literal.parent
    call = arguments.parent if arguments is not None else None
    if call is None or call.kind != "call_expression" or arguments.field != "arguments":  # type: ignore[union-attr]
        return False
    function = call["function"]
    if function.kind != "selector_expression" or function["field"].name != "Run":
        return False
    return is_named(file.type_of(function["operand"]), *TESTS)
