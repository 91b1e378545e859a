"""The blanks around binary operators, which gofmt leaves out in a list of several arguments.

`f(a + b)` with a second argument is `f(x, a+b)`: go/printer passes a depth down through
expressions, and at depth 2 operators like `+` and `*` stand tight.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["depth_of", "respaced", "respaced_within"]

_PRECEDENCE = {
    **dict.fromkeys(["||"], 1),
    **dict.fromkeys(["&&"], 2),
    **dict.fromkeys(["==", "!=", "<", "<=", ">", ">="], 3),
    **dict.fromkeys(["+", "-", "|", "^"], 4),
    **dict.fromkeys(["*", "/", "%", "<<", ">>", "&", "&^"], 5),
}
_PASSED_ON = frozenset({"variadic_argument", "argument_list"})


def respaced(expression: Node, depth: int) -> Iterator[Edit]:
    """Yield the edits of the blanks around operators for an expression at a depth."""
    if expression.kind == "binary_expression":
        yield from _operator(expression, _precedence(expression) < _cutoff(expression, depth))
    for child in expression.children:
        below = _below(expression, child, depth)
        if below:
            yield from respaced(child, below)


def respaced_within(root: Node, start: int, end: int) -> Iterator[Edit]:
    """Yield the edits of the blanks around operators for what stands in a range of the text.

    Not where gofmt has rules of its own: the bounds of a slice expression.
    """
    for node in root.find("binary_expression"):
        outer = node.parent
        if start <= node.start and node.end <= end and outer is not None:
            if outer.kind != "binary_expression" and _begins(node):
                edits = respaced(node, depth_of(node))
                yield from (e for e in edits if start <= e.start and e.end <= end)


def _begins(expression: Node) -> bool:
    """Return whether the depth of an expression is known: all kinds around it are."""
    for outer in expression.ancestors():
        if outer.kind in _BEGINNINGS:
            return True
        if outer.kind not in _AROUND:
            return False
    return False


_BEGINNINGS = frozenset(
    {
        *("expression_list", "expression_statement", "send_statement", "if_statement"),
        *("for_statement", "for_clause", "literal_element", "keyed_element"),
        *("go_statement", "defer_statement"),
    }
)
_AROUND = frozenset(
    {
        *("binary_expression", "parenthesized_expression", "call_expression", "unary_expression"),
        *("index_expression", "selector_expression", "argument_list", "variadic_argument"),
    }
)


def depth_of(expression: Node) -> int:
    """Return the depth at which gofmt prints an expression: 1 or more."""
    parent = expression.parent
    if parent is None:
        return 1
    if parent.kind == "expression_list":
        above = parent.parent
        sides = [above.get("left"), above.get("right")] if above is not None else []
        return 2 if all(side and len(side.children) > 1 for side in sides) and sides else 1
    return _below(parent, expression, depth_of(parent)) or 1


def _below(parent: Node, child: Node, depth: int) -> int:
    """Return the depth of a child, or 0 where a new depth begins or none is known."""
    kind = parent.kind
    if kind == "binary_expression":
        if child.field == "left":
            same = child.kind == kind and _precedence(child) == _precedence(parent)
            return depth if same else depth + 1
        return depth + 1
    if kind == "parenthesized_expression":
        return max(depth - 1, 1)
    if kind == "call_expression":
        listed = parent.get("arguments")
        return depth + (listed is not None and len(listed.children) > 1)
    if kind == "unary_expression":
        return 1 if parent["operator"].kind == "*" else depth
    if kind == "index_expression":
        return 1 if child.field == "operand" else depth + 1
    if kind in {"selector_expression", "type_assertion_expression"}:
        return depth if child.field == "operand" else 0
    if kind == "type_conversion_expression":
        return depth if child.field == "operand" else 0
    return depth if kind in _PASSED_ON else 0


def _precedence(binary: Node) -> int:
    return _PRECEDENCE.get(binary["operator"].kind, 0)


def _operator(binary: Node, blank: bool) -> Iterator[Edit]:
    operator = binary["operator"]
    new = b" " if blank else b""
    ranges = ((binary["left"].end, operator.start), (operator.end, binary["right"].start))
    texts = [binary.tree.data[start:end] for start, end in ranges]
    if any(text.strip(b" ") for text in texts):
        return  # a line break or a comment
    for (start, end), text in zip(ranges, texts, strict=True):
        if text != new:
            yield Edit(binary.path, start, end, new)


def _cutoff(binary: Node, depth: int) -> int:
    """Return the precedence from which operators stand tight (cutoff of go/printer)."""
    four, five, problem = _walk(binary)
    if problem:
        return problem + 1
    if four and five:
        return 5 if depth == 1 else 4
    return 6 if depth == 1 else 4


def _walk(binary: Node) -> tuple[bool, bool, int]:
    """Return whether operators of precedence 4 and 5 occur, and which would run together."""
    precedence = _precedence(binary)
    four, five, problem = precedence == 4, precedence == 5, 0
    left, right = binary["left"], binary["right"]
    inner = []
    if left.kind == "binary_expression" and _precedence(left) >= precedence:
        inner.append(left)
    if right.kind == "binary_expression" and _precedence(right) > precedence:
        inner.append(right)
    for node in inner:
        more = _walk(node)
        four, five, problem = four or more[0], five or more[1], max(problem, more[2])
    if right.kind == "unary_expression":
        pair = binary["operator"].kind + right["operator"].kind
        if pair in {"/*", "&&", "&^"}:
            problem = 5
        elif pair in {"++", "--"}:
            problem = max(problem, 4)
    return four, five, problem
