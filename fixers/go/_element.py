"""One more element in a struct literal: the edits."""

from __future__ import annotations

from threadmend.golang.builders import BuilderError, realign
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["with_element"]


def with_element(literal: Node, text: str) -> tuple[Edit, ...]:
    """Add `name: value` to a literal that is written with names, at its end."""
    body = literal["body"]
    elements = body.children
    tree = literal.tree
    if not elements:
        if tree.comments_in(body.start, body.end):
            raise BuilderError("a literal with comments only")
        return (Edit(literal.path, body.start, body.end, f"{{{text}}}".encode()),)
    last = elements[-1]
    if b"\n" not in tree.data[last.end : body.end]:
        return (Edit(literal.path, last.end, last.end, f", {text}".encode()),)
    indent = tree.source.indent_at(last.start)
    end = tree.source.line_end(last.end)
    line = indent + text.encode() + b"," + tree.source.newline
    return realign(tree, (Edit(literal.path, end, end, line),))
