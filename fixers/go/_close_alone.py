"""Closes that each of several goroutines decides about by itself."""

from __future__ import annotations

from threadmend.golang.file import GoFile
from threadmend.golang.locks import held_at
from threadmend.golang.syntax import FUNCTIONS, Node

__all__ = ["decided_alone"]


def decided_alone(file: GoFile, close: Node) -> bool:
    """Return whether a close stands under tests that other goroutines may pass as well.

        if err := fetch(u); err != nil {          if accept(u) {
            close(failed)                             close(found)

    The error is the goroutine's own; the function that is asked was supplied by a caller, so
    that nothing here makes sure that it says yes once.
    """
    statement, body = close.statement, close.function
    if statement is None or body is None or statement.kind != "expression_statement":
        return False
    tests = []
    for ancestor in statement.ancestors():
        if ancestor is body:
            break
        if ancestor.kind == "if_statement":
            if not ancestor["consequence"].contains(statement):
                return False
            tests.append(ancestor["condition"])
        elif ancestor.kind not in {"block", "statement_list", "for_statement"}:
            return False
    if not tests or held_at(file, close):
        return False
    return all(_is_own_failure(file, t, body) or _is_asked(file, t) for t in tests)


def _is_own_failure(file: GoFile, test: Node, body: Node) -> bool:
    if test.kind != "binary_expression" or test["operator"].kind != "!=":
        return False
    binding = file.binding(test["left"]) if test["left"].kind == "identifier" else None
    if binding is None or test["right"].kind != "nil" or not body.contains(binding.node):
        return False
    return str(file.type_of(test["left"])) == "error" and binding.kind == "variable"


def _is_asked(file: GoFile, test: Node) -> bool:
    function = test.get("function") if test.kind == "call_expression" else None
    if function is None or function.kind != "identifier":
        return False
    binding = file.binding(function)
    if binding is None:
        return False
    return binding.kind == "parameter" and any(
        a.kind in FUNCTIONS for a in binding.node.ancestors()
    )
