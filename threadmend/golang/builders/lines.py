"""The lines around a node: indentation, the comments that belong to it, raw strings.

Everything here reads; the builders next door turn it into edits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from threadmend.golang.syntax import Comment, SyntaxTree
from threadmend.model import Edit

__all__ = [
    "BuilderError",
    "applied",
    "code_lines",
    "content_end",
    "deeper",
    "ends_in_comment",
    "first_on_line",
    "leading_start",
    "line_indent",
    "shifted",
]


class BuilderError(ValueError):
    """The edit asked for cannot be written without harm; the message says why."""


_TOKENS = re.compile(
    rb"//[^\n]*|/\*.*?(?:\*/|\Z)|\"(?:[^\"\\\n]|\\.)*\"|(?P<raw>`[^`]*`)|'(?:[^'\\\n]|\\.)+'",
    re.S,
)
_GAP = b" \t;,"


def applied(data: bytes, edits: Iterable[Edit]) -> bytes:
    """Return the bytes after edits of one file; they must not overlap."""
    parts: list[bytes] = []
    at = 0
    for edit in sorted(edits):
        if edit.start < at:
            raise BuilderError(f"edits overlap at byte {edit.start}")
        parts += (data[at : edit.start], edit.new)
        at = edit.end
    parts.append(data[at:])
    return b"".join(parts)


def _raw_line_starts(code: bytes) -> set[int]:
    """Return the offsets in `code` of the lines that begin inside a raw string."""
    inside: set[int] = set()
    if b"`" not in code:
        return inside
    for token in _TOKENS.finditer(code):
        if token.lastgroup == "raw":
            inside.update(at + token.start() + 1 for at in _newlines(token[0]))
    return inside


def _newlines(text: bytes) -> list[int]:
    return [i for i, byte in enumerate(text) if byte == 0x0A]


def code_lines(code: str, indent: bytes, newline: bytes) -> bytes:
    """Return `code` with every line indented, without a newline at the end.

    Blank lines stay empty, lines inside raw strings stay as they are.

    >>> code_lines("if x {\\n\\ty()\\n}", b"\\t", b"\\n")
    b'\\tif x {\\n\\t\\ty()\\n\\t}'
    """
    text = code.strip("\n").encode()
    raw = _raw_line_starts(text)
    parts: list[bytes] = []
    at = 0
    for line in text.split(b"\n"):
        line = line.removesuffix(b"\r")
        parts.append(line if at in raw or not line else indent + line)
        at = text.find(b"\n", at) + 1
    return newline.join(parts)


def shifted(text: bytes, old: bytes, new: bytes) -> bytes:
    """Return `text` with the indentation `old` of its lines replaced by `new`.

    The first line is left alone: its indentation stands before `text`.
    """
    if old == new or b"\n" not in text:
        return text
    raw = _raw_line_starts(text)
    parts: list[bytes] = []
    at = 0
    for line in text.split(b"\n"):
        if at and at not in raw and line.strip():
            line = new + line[len(old) :] if line.startswith(old) else line
        parts.append(line)
        at = text.find(b"\n", at) + 1
    return b"\n".join(parts)


def ends_in_comment(code: str) -> bool:
    """Return whether nothing can follow on the last line of code: it ends in `// …`."""
    tokens = list(_TOKENS.finditer(code.encode()))
    return (
        bool(tokens) and tokens[-1][0].startswith(b"//") and tokens[-1].end() == len(code.encode())
    )


def deeper(code: bytes, at: int) -> list[int]:
    """Return the offsets, from `at` on, where a tab indents the later lines of code.

    Blank lines and the lines inside raw strings get none.
    """
    raw = _raw_line_starts(code)
    lines = [0, *(i + 1 for i in _newlines(code)), len(code)]
    return [
        at + start
        for start, end in pairwise(lines)
        if start and start not in raw and code[start:end].strip()
    ]


def line_indent(tree: SyntaxTree, at: int) -> bytes:
    """Return the indentation of the line that holds a byte offset."""
    return tree.source.indent_at(at)


def first_on_line(tree: SyntaxTree, at: int) -> bool:
    """Return whether only blanks stand before a byte offset on its line."""
    return not tree.data[tree.source.line_start(at) : at].strip(b" \t")


def _trailing_comments(tree: SyntaxTree, end: int) -> list[Comment]:
    """Return the comments that follow a byte offset on its line, code apart."""
    data = tree.data
    stop = data.find(b"\n", end)
    stop = len(data) if stop < 0 else stop
    found: list[Comment] = []
    for comment in tree.comments_in(end, stop):
        if data[end : comment.start].strip(_GAP):
            break
        found.append(comment)
        end = comment.end
    return found


def content_end(tree: SyntaxTree, end: int) -> int:
    """Return where the line of a construct's end stops: after its comments, before CR LF.

    Code after the construct on the same line counts as its line's content too.
    """
    comments = _trailing_comments(tree, end)
    if comments:
        end = max(end, comments[-1].end - 1)
    stop = tree.data.find(b"\n", end)
    stop = len(tree.data) if stop < 0 else stop
    return stop - 1 if tree.data[end:stop].endswith(b"\r") else stop


def leading_start(tree: SyntaxTree, start: int) -> int:
    """Return the start of the first comment line that belongs to a construct.

    Comments belong when they stand on lines of their own, directly above. Without any this
    is the start of the construct's own line.
    """
    top = tree.source.line_start(start)
    for comment in reversed(tree.comments_in(0, top)):
        between = tree.data[comment.end : top]
        if between.strip(b" \t\r") != b"\n" or not first_on_line(tree, comment.start):
            break
        top = tree.source.line_start(comment.start)
    return top
