"""Remarks: what the comment at a field says about locks.

// Only used by the goroutine that reads, without a lock.
pending []byte
offset  int
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.syntax import Comment, Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["comments_at", "needs_no_lock"]

_NEEDS_NONE = re.compile(
    rb"(?i)\b(?:no|not|n't) need\b|\b(?:no|without) (?:further |additional |extra |a |any |the )*"
    rb"(?:lock|mutex|synchroni)|\bnot? (?:protected|guarded)\b|\bunguarded\b"
    rb"|\bsynchronously\b|\bserial(?:ly|ized)\b|\b(?:same|single|one) goroutine\b"
    rb"|\b(?:accessed|used|touched|read|written|set|modified) only\b"
    rb"|\bonly (?:be )?(?:ever )?(?:accessed|used|touched|read|written|set|modified)"
    rb" (?:by|from|in)\b"
)


def needs_no_lock(file: GoFile, node: Node) -> bool:
    """Return whether the comment at a field, or above its group of lines, says so.

    `node` is a selector that names the field.
    """
    selection = file.selection(node) if node.kind == "selector_expression" else None
    field = selection.node if selection is not None else None
    while field is not None and field.kind != "field_declaration":
        field = field.parent
    if field is None:
        return False
    data = field.tree.data
    comments = comments_at(field)
    said = [data[c.start : c.end].lstrip(b"/ ") for c in comments if _is_about(c.start, field)]
    return _NEEDS_NONE.search(b" ".join(said)) is not None


def comments_at(field: Node) -> list[Comment]:
    """Return the comments behind a field, and those above it in its group of lines."""
    data = field.tree.data
    end = data.find(b"\n", field.end)
    start = max(data.rfind(b"\n\n", 0, field.start), data.rfind(b"{\n", 0, field.start), 0)
    return field.tree.comments_in(start, end if end >= 0 else len(data))


def _is_about(at: int, field: Node) -> bool:
    """Return whether a comment stands behind the field, or on a line of its own above."""
    data = field.tree.data
    return at > field.start or not data[data.rfind(b"\n", 0, at) + 1 : at].strip()
