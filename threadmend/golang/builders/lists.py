"""Edits of comma-separated lists in parentheses: parameters and arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from threadmend.golang.builders.lines import (
    BuilderError,
    content_end,
    first_on_line,
    leading_start,
    line_indent,
)
from threadmend.golang.syntax import Node, SyntaxTree
from threadmend.model import Edit

__all__ = ["Items", "inserted", "removed"]


class Items(NamedTuple):
    """A list: the offset after its `(`, its items, the offset of its `)`."""

    tree: SyntaxTree
    start: int
    nodes: Sequence[Node]
    end: int


def inserted(items: Items, index: int, text: str) -> Edit:
    """Insert an item; it gets a line of its own where its neighbour has one."""
    tree, nodes = items.tree, items.nodes
    path, newline = tree.source.path, tree.source.newline
    new = text.encode()
    if not nodes:
        return Edit(path, items.start, items.start, new)
    if index < len(nodes):
        at = nodes[index].start
        if not first_on_line(tree, at):
            return Edit(path, at, at, new + b", ")
        top = leading_start(tree, at)
        return Edit(path, top, top, line_indent(tree, at) + new + b"," + newline)
    last = nodes[-1]
    comma = _comma(tree, last.end, items.end)
    if comma >= 0 and first_on_line(tree, last.start):
        at = content_end(tree, comma + 1)
        return Edit(path, at, at, newline + line_indent(tree, last.start) + new + b",")
    return Edit(path, last.end, last.end, b", " + new)


def removed(items: Items, index: int) -> Edit:
    """Remove an item with its comma, and its line when it has one of its own."""
    tree, nodes = items.tree, items.nodes
    path, source = tree.source.path, tree.source
    node = nodes[index]
    last = index == len(nodes) - 1
    if tree.comments_in(node.start, node.end):
        raise BuilderError("a comment inside the item would be lost")
    if last and index == 0 and not tree.comments_in(items.start, items.end):
        return Edit(path, items.start, items.end, b"")
    if first_on_line(tree, node.start):
        comma = _comma(tree, node.end, items.end if last else nodes[index + 1].start)
        end = source.line_end(max(node.end, comma + 1))
        if comma >= 0 and tree.data[comma + 1 : end].strip() == b"":
            return Edit(path, source.line_start(node.start), end, b"")
    if not last:
        start, end = node.start, nodes[index + 1].start
    elif index > 0:
        start, end = nodes[index - 1].end, node.end
    else:
        start, end = items.start, items.end
    if tree.comments_in(start, end) or b"\n" in tree.data[node.end : end]:
        raise BuilderError("a comment or line break in the list is in the way")
    return Edit(path, start, end, b"")


def _comma(tree: SyntaxTree, start: int, end: int) -> int:
    """Return the offset of a comma outside comments, or -1."""
    at = tree.data.find(b",", start, end)
    while at >= 0 and any(c.start <= at < c.end for c in tree.comments_in(start, end)):
        at = tree.data.find(b",", at + 1, end)
    return at
