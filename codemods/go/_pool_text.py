"""Text of statements with parts of them changed, nested as deep as it takes.

Builders of edits cannot nest: a loop whose body moves into a select while a send in it becomes
a select itself. Here code is text at the left margin; what is inside is written first.
"""

from __future__ import annotations

from collections.abc import Iterable

from threadmend.golang.builders import BuilderError
from threadmend.golang.builders.lines import code_lines, shifted
from threadmend.golang.syntax import Node, SyntaxTree
from threadmend.model import Edit

__all__ = ["Part", "gone", "indented", "inside", "part", "put", "sketch", "stretch"]

Part = tuple[int, int, str]
"""A byte range and the code that stands there instead, at the left margin."""


def part(node: Node, code: str) -> Part:
    """Return a node's replacement."""
    return (node.start, node.end, code)


def gone(statement: Node) -> Part:
    """Return the removal of a statement that has its lines for itself."""
    source = statement.tree.source
    start, end = source.line_start(statement.start), source.line_end(statement.end)
    around = statement.tree.data[start : statement.start] + statement.tree.data[statement.end : end]
    if around.strip():
        raise BuilderError("a statement that has to go shares its line")
    return (start, end, "")


def sketch(node: Node, parts: Iterable[Part] = ()) -> str:
    """Return the text of a node at the left margin, with its parts changed."""
    text = _composed(node.tree, node.start, node.end, parts)
    return _plain(shifted(text, node.tree.source.indent_at(node.start), b""))


def inside(block: Node, parts: Iterable[Part] = ()) -> str:
    """Return what stands between the braces of a block, at the left margin."""
    text = _composed(block.tree, block.start + 1, block.end - 1, parts)
    indent = block.tree.source.indent_at(block.end - 1) + b"\t"
    return _plain(shifted(b"\n" + text, indent, b"").strip())


def stretch(first: Node, last: Node, parts: Iterable[Part] = ()) -> str:
    """Return the text from one statement to another of the same block, at the left margin."""
    tree = first.tree
    text = _composed(tree, first.start, last.end, parts)
    return _plain(shifted(text, tree.source.indent_at(first.start), b""))


def put(first: Node, last: Node, code: str) -> Edit:
    """Return the edit that writes code in place of statements; no comment may get lost."""
    tree, source = first.tree, first.tree.source
    for comment in tree.comments_in(first.start, last.end):
        if tree.data[comment.start : comment.end].strip().decode() not in code:
            raise BuilderError("a comment would be lost")
    indent = source.indent_at(first.start)
    if source.data[source.line_start(first.start) : first.start].strip():
        raise BuilderError("a statement that changes shares its line")
    lines = code_lines(code, indent, source.newline).removeprefix(indent)
    return Edit(first.path, first.start, last.end, lines)


def indented(code: str, levels: int) -> str:
    """Return code with its lines moved to the right."""
    return code_lines(code, b"\t" * levels, b"\n").decode()


def _composed(tree: SyntaxTree, start: int, end: int, parts: Iterable[Part]) -> bytes:
    pieces: list[bytes] = []
    at = start
    for first, last, code in sorted(parts):
        if first < at or last > end:
            raise BuilderError("two changes meet at one place")
        indent = tree.source.indent_at(first)
        lines = code_lines(code, indent, b"\n").removeprefix(indent)
        pieces += (tree.data[at:first], lines)
        at = last
    pieces.append(tree.data[at:end])
    return b"".join(pieces).replace(b"\r\n", b"\n")


def _plain(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")
