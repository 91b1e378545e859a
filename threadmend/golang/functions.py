"""Functions as syntax: the declaration around a node, its calls, what it takes and returns."""

from __future__ import annotations

from threadmend.golang.syntax import Node

__all__ = [
    "call_of",
    "doc_of",
    "leave_with",
    "method_call",
    "only_returned",
    "outer_function",
    "remarks_beside",
    "result_nodes",
    "results_are_named",
]


def outer_function(node: Node) -> Node | None:
    """Return the function or method declaration around a node, literals passed."""
    function = node.function
    while function is not None and function.kind == "func_literal":
        function = function.function
    return function


def call_of(function: Node) -> Node | None:
    """Return the call whose function an expression is: `f` of `f(…)`."""
    call = function.parent
    if call is None or call.kind != "call_expression" or function.field != "function":
        return None
    return call


def method_call(operand: Node) -> Node | None:
    """Return the call of a method of an expression: `x` of `x.M(…)`."""
    selector = operand.parent
    if selector is None or selector.kind != "selector_expression" or operand.field != "operand":
        return None
    return call_of(selector)


def doc_of(function: Node) -> bytes:
    """Return the comment above a declaration."""
    tree, start = function.tree, function.tree.source.line_start(function.start)
    doc = b""
    for comment in reversed(tree.comments_in(max(0, start - 4000), start)):
        if tree.data[comment.end : start].strip():
            break
        doc = tree.data[comment.start : comment.end] + b"\n" + doc
        start = comment.start
    return doc


def remarks_beside(node: Node) -> list[bytes]:
    """Return the comments on the line where a node begins, and on those right above it."""
    tree, source = node.tree, node.tree.source
    above = source.line_start(max(0, source.line_start(node.start) - 1))
    while above > 0 and _is_remark(tree.data[above : source.line_end(above)]):
        further = source.line_start(above - 1)
        if not _is_remark(tree.data[further:above]):
            break
        above = further
    comments = tree.comments_in(above, source.line_end(node.start))
    return [tree.data[c.start : c.end] for c in comments]


def _is_remark(line: bytes) -> bool:
    return line.lstrip(b" \t").startswith(b"//")


def only_returned(function: Node) -> Node | None:
    """Return the one value that a function returns which does nothing else."""
    body = function.get("body")
    if body is None or len(body.statements) != 1:
        return None
    statement = body.statements[0]
    if statement.kind != "return_statement" or len(statement.children) < 2:
        return None
    values = statement.children[-1].children
    return values[0] if len(values) == 1 else None


def result_nodes(function: Node) -> list[Node]:
    """Return the type expression of every result, one per value."""
    result = function.get("result")
    if result is None:
        return []
    if result.kind != "parameter_list":
        return [result]
    found = []
    for declaration in result.children:
        type_ = declaration.get("type")
        if type_ is not None:
            found.extend([type_] * max(1, len(declaration.all("name"))))
    return found


def results_are_named(function: Node) -> bool:
    """Return whether the results have names, so that a bare return is allowed."""
    result = function.get("result")
    if result is None or result.kind != "parameter_list":
        return False
    return any(declaration.all("name") for declaration in result.children)


def leave_with(function: Node, error: str = "") -> str | None:
    """Return the return statement with which a function can be left early.

    A bare one without results; `return error` where the only result is an error and there
    is one to return; None where the values cannot be told.
    """
    results = result_nodes(function)
    if not results:
        return "return"
    if error and [r.text for r in results] == [b"error"]:
        return f"return {error}"
    return None
