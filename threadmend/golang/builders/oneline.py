"""Function bodies and structs on one line, and when gofmt opens them up."""

from __future__ import annotations

from collections.abc import Sequence

from threadmend.golang.builders.blocks import Container, expanded
from threadmend.golang.builders.lines import deeper
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["opened_up"]

_FUNCTIONS = frozenset({"function_declaration", "method_declaration", "func_literal"})
_LONGEST = 100
_MOST_STATEMENTS = 5
_LONGEST_FIELD = 30


def opened_up(root: Node, ranges: Sequence[tuple[int, int]]) -> list[Edit]:
    """Return the edits that open up the outermost one-line bodies and structs.

    Only those that one of the byte ranges touches count. What is inside an opened one is
    looked at when the result is given again.
    """
    edits: list[Edit] = []
    stack = [root]
    while stack:
        node = stack.pop()
        if not any(start <= node.end and end >= node.start for start, end in ranges):
            continue
        found: list[Edit] = []
        if node.kind in _FUNCTIONS:
            found = _function(node)
        elif node.kind == "field_declaration_list":
            found = _fields(node)
        edits += found
        if not found:
            stack += node.children
    return edits


def _function(function: Node) -> list[Edit]:
    body = function.get("body")
    if body is None or not _too_long(function, body):
        return []
    container = Container(body)
    if not container.inline:
        return []
    edits = list(expanded(container, {}))
    for index, statement in enumerate(container.statements):
        if container.on_one_line(index):
            edits += _indented(statement)
    return edits


def _too_long(function: Node, body: Node) -> bool:
    """Return whether a body is too long for one line: over 5 statements or 100 bytes.

    The header counts in, of a declaration from one byte before its `func` (an oddity of
    go/printer).
    """
    statements = body.statements
    header = function.tree.data[function.start : body.start].rstrip()
    comments = function.tree.comments_in(body.start, body.end)
    size = sum(len(s.text) for s in statements) + 2 * max(len(statements) - 1, 0)
    size += sum(comment.end - comment.start for comment in comments)
    return (
        b"\n" in header
        or b"\n" in body.text
        or len(header) + size > _LONGEST - (function.kind != "func_literal")
        or len(statements) > _MOST_STATEMENTS
    )


def _fields(body: Node) -> list[Edit]:
    """Open up a struct on one line: with one field, of 30 bytes, and no tag."""
    tree, newline = body.tree, body.tree.source.newline
    if len(body.children) != 1:
        return []
    first = body.children[0]
    gaps = ((body.start, first.start), (first.end, body.end))
    if any(tree.comments_in(*gap) for gap in gaps) or b"\n" in tree.data[slice(*gaps[0])]:
        return []
    kind = first.get("type")
    size = (len(kind.text) if kind is not None else 0) + bool(first.all("name"))
    lines = b"\n" in body.text
    if not lines and size <= _LONGEST_FIELD and first.get("tag") is None:
        return []
    base = tree.source.indent_at(body.start)
    before = len(tree.data[: body.start].rstrip(b" \t"))
    return [
        Edit(body.path, before, first.start, b" {" + newline + base + b"\t"),
        *_indented(first),
        Edit(body.path, first.end, body.end - 1, newline + base),
    ]


def _indented(node: Node) -> list[Edit]:
    starts = deeper(node.text, node.start)
    return [Edit(node.path, start, start, b"\t") for start in starts]
