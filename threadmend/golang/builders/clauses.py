"""Clauses of a select and labels of loops."""

from __future__ import annotations

import re

from threadmend.golang.builders.blocks import outermost
from threadmend.golang.builders.lines import BuilderError, code_lines, first_on_line, line_indent
from threadmend.golang.syntax import Comment, Node
from threadmend.model import Edit

__all__ = ["add_case", "add_label", "delete_clause"]


def add_case(select: Node, communication: str, code: str) -> tuple[Edit, ...]:
    """Add `case communication:` with `code` as the last clause of a select statement.

    >>> add_case(select, "<-ctx.Done()", "return")  # doctest: +SKIP
    """
    tree = select.tree
    close = select.end - 1
    if not first_on_line(tree, close):
        raise BuilderError("the select statement stands on one line")
    indent = line_indent(tree, close)
    newline = tree.source.newline
    head = code_lines(f"case {communication}:", indent, newline)
    body = code_lines(code, indent + b"\t", newline)
    at = tree.source.line_start(close)
    return (Edit(select.path, at, at, head + newline + body + newline),)


def delete_clause(clause: Node, says: re.Pattern[bytes] | None = None) -> tuple[Edit, ...]:
    """Delete a clause of a select or switch with its lines; one that holds comments stays.

    Comments inside a clause that a pattern finds words in go with it.
    """
    tree = clause.tree
    if not first_on_line(tree, clause.start):
        raise BuilderError("the clause shares its line")
    start = tree.source.line_start(clause.start)
    end = tree.source.line_end(clause.end - 1)
    after = clause.next
    limit = after.start if after is not None else clause.parent.end if clause.parent else end
    comments = tree.comments_in(start, limit)
    for comment in comments:
        words = tree.data[comment.start : comment.end]
        if says is None or not says.search(words) or not _is_inside(clause, comment):
            raise BuilderError("a comment would be lost")
    if comments:
        end = tree.source.line_end(comments[-1].end - 1)
    return (Edit(clause.path, start, end, b""),)


def _is_inside(clause: Node, comment: Comment) -> bool:
    """Return whether a comment stands behind a clause's head, or below it and further in."""
    tree = clause.tree
    if not first_on_line(tree, comment.start):
        return True
    return len(line_indent(tree, comment.start)) > len(line_indent(tree, clause.start))


def add_label(loop: Node, label: str) -> tuple[Edit, ...]:
    """Put `label:` on a line of its own above a statement, one tab further out as gofmt does."""
    tree = loop.tree
    statement = outermost(loop)
    if statement is not loop or not first_on_line(tree, loop.start):
        raise BuilderError("the loop cannot take a label where it stands")
    indent = line_indent(tree, loop.start)
    at = tree.source.line_start(loop.start)
    text = indent[:-1] + label.encode() + b":" + tree.source.newline
    return (Edit(loop.path, at, at, text),)
