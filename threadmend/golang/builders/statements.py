"""Edits of statements: insert, replace, delete, move, wrap.

Code is given as gofmt writes it at the left margin, one line or many; it is indented to the
place where it goes. Offsets are those of the tree; nothing is changed. After the last edit
of a fix, `realign` puts the columns right that the edits disturbed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from threadmend.golang.builders.blocks import Container, expanded, outermost, place
from threadmend.golang.builders.lines import (
    BuilderError,
    code_lines,
    content_end,
    deeper,
    ends_in_comment,
    leading_start,
    shifted,
)
from threadmend.golang.syntax import Comment, Node, SyntaxTree
from threadmend.model import Edit

__all__ = [
    "Comments",
    "at_margin",
    "delete",
    "delete_all",
    "insert_after",
    "insert_at_end",
    "insert_at_start",
    "insert_before",
    "move_after",
    "move_before",
    "replace",
    "wrap",
]

Comments = Literal["keep", "drop"]


def insert_before(statement: Node, code: str) -> tuple[Edit, ...]:
    """Insert lines above a statement, above the comments that belong to it and its label.

    >>> insert_before(go_statement, "wg.Add(1)")  # doctest: +SKIP

    Raises BuilderError when the statement is in the header of another one.
    """
    container, index = place(outermost(statement))
    if container.inline:
        return expanded(container, {index: code})
    source = container.tree.source
    at = leading_start(container.tree, container.statements[index].start)
    lines = code_lines(code, container.inner, source.newline)
    return (Edit(source.path, at, at, lines + source.newline),)


def insert_after(statement: Node, code: str) -> tuple[Edit, ...]:
    """Insert lines below a statement and the comment at the end of its line.

    >>> insert_after(lock, "defer mu.Unlock()")  # doctest: +SKIP
    """
    container, index = place(outermost(statement))
    if container.inline:
        return expanded(container, {index + 1: code})
    return (_below(container, container.statements[index].end, code),)


def insert_at_start(block: Node, code: str) -> tuple[Edit, ...]:
    """Insert lines as the first of a block or case clause."""
    container = Container(block)
    if container.inline:
        return expanded(container, {0: code})
    return (_below(container, container.open, code),)


def insert_at_end(block: Node, code: str) -> tuple[Edit, ...]:
    """Insert lines as the last of a block or case clause.

    In a block they go below all comments; in a clause directly below its last statement,
    because a comment further down may belong to the next clause.
    """
    container = Container(block)
    last = len(container.statements)
    if container.inline:
        return expanded(container, {last: code})
    if container.close is None:
        end = container.statements[-1].end if last else container.open
        return (_below(container, end, code),)
    source = container.tree.source
    at = source.line_start(container.close)
    lines = code_lines(code, container.inner, source.newline)
    return (Edit(source.path, at, at, lines + source.newline),)


def _below(container: Container, end: int, code: str) -> Edit:
    """Insert at the end of a line, so that an insertion above the next line stays apart."""
    source = container.tree.source
    at = content_end(container.tree, end)
    lines = code_lines(code, container.inner, source.newline)
    return Edit(source.path, at, at, source.newline + lines)


def replace(node: Node, code: str, *, comments: Comments = "keep") -> tuple[Edit, ...]:
    """Replace a statement or an expression by code; its later lines are indented.

    Raises BuilderError when the node has comments that the code does not, unless
    `comments` is "drop".
    """
    tree = node.tree
    text = code.strip("\n")
    if comments == "keep":
        new = text.encode()
        for comment in tree.comments_in(node.start, node.end):
            if _comment_text(tree, comment) not in new:
                raise BuilderError("a comment would be lost")
    edits: tuple[Edit, ...] = ()
    indent = tree.source.indent_at(node.start)
    statement = node.statement
    if (
        ("\n" in text or ends_in_comment(text))
        and statement is not None
        and statement.parent is not None
    ):
        container = Container(statement.parent)
        outer = container if container.inline else container.outer
        if outer is not None:
            edits = expanded(outer, {})
            indent = container.inner
    lines = code_lines(text, indent, tree.source.newline).removeprefix(indent)
    return (*edits, Edit(node.path, node.start, node.end, lines))


def at_margin(node: Node) -> str:
    """Return the text of a node with its later lines at the left margin, for code to be written."""
    text = shifted(node.text, node.tree.source.indent_at(node.start), b"")
    return text.replace(b"\r\n", b"\n").decode()


def delete(statement: Node, *, comments: Comments = "keep") -> tuple[Edit, ...]:
    """Delete a statement with its line.

    Comments above it stay; comments inside it and at the end of its line move to lines of
    their own. With `comments="drop"` they go, also those directly above. A blank line that
    the removal would leave at the start or end of a block, or next to another, goes too.
    """
    container, index = place(statement)
    tree = statement.tree
    if container.on_one_line(index) or container.on_one_line(index + 1):
        return _delete_on_one_line(container, index, comments)
    start = tree.source.line_start(statement.start)
    if comments == "drop":
        start = leading_start(tree, statement.start)
    stop = content_end(tree, statement.end)
    end = tree.source.line_end(stop)
    if comments == "keep" and (kept := tree.comments_in(statement.start, stop)):
        lines = (_own_line(tree, comment, container.inner) for comment in kept)
        return (Edit(tree.source.path, start, end, b"".join(lines)),)
    start, end = _without_blank_lines(container, index, start, end)
    return (Edit(tree.source.path, start, end, b""),)


def delete_all(statements: Sequence[Node]) -> tuple[Edit, ...]:
    """Delete statements; of the blank lines around several that follow one another one stays.

    >>> delete_all([lock, deferred_unlock])  # doctest: +SKIP
    """
    edits = [edit for statement in statements for edit in delete(statement)]
    first: Node | None = None
    for statement in sorted(statements, key=lambda s: s.start):
        if first is None or statement.previous not in statements:
            first = statement
        if statement is not first and statement.next not in statements:
            edits += _blank_line_below(first, statement, edits)
    return tuple(edits)


def _blank_line_below(first: Node, last: Node, edits: list[Edit]) -> list[Edit]:
    """Return the deletion of the blank lines below a run that has one above or opens its block."""
    container, index = place(first)
    tree, source = first.tree, first.tree.source
    start, end = source.line_start(first.start), source.line_end(content_end(tree, last.end))
    if not any(e.end == end for e in edits):
        return []
    blank = start > 0 and not tree.data[source.line_start(start - 1) : start].strip()
    opens = index == 0 and source.line_end(content_end(tree, container.open)) == start
    below = end
    while below < len(tree.data) and not tree.data[below : source.line_end(below)].strip():
        below = source.line_end(below)
    if below == end or not (blank or opens):
        return []
    return [Edit(source.path, end, below, b"")]


def _comment_text(tree: SyntaxTree, comment: Comment) -> bytes:
    return tree.data[comment.start : comment.end].rstrip(b"\r")


def _own_line(tree: SyntaxTree, comment: Comment, indent: bytes) -> bytes:
    text = shifted(_comment_text(tree, comment), tree.source.indent_at(comment.start), indent)
    return indent + text + tree.source.newline


def _without_blank_lines(container: Container, index: int, start: int, end: int) -> tuple[int, int]:
    """Widen a range of whole lines by the blank lines that its removal would leave."""
    tree = container.tree
    above = start
    while above > 0 and not tree.data[tree.source.line_start(above - 1) : above].strip():
        above = tree.source.line_start(above - 1)
    below = end
    while below < len(tree.data) and not tree.data[below : tree.source.line_end(below)].strip():
        below = tree.source.line_end(below)
    opens = tree.source.line_end(content_end(tree, container.open)) == start
    following = tree.data[below : below + 200].lstrip(b" \t")
    ends = index == len(container.statements) - 1 and not following.startswith((b"//", b"/*"))
    if below > end and (above < start or (opens and not (ends and container.clause))):
        return start, below
    if ends and above < start and below == end:
        return above, end
    return start, end


def _delete_on_one_line(container: Container, index: int, comments: Comments) -> tuple[Edit, ...]:
    tree = container.tree
    statement = container.statements[index]
    start, end = statement.start, statement.end
    if index + 1 < len(container.statements) and container.on_one_line(index + 1):
        end = container.statements[index + 1].start
    elif index > 0 and container.on_one_line(index):
        start = container.statements[index - 1].end
    elif container.on_one_line(index) and container.on_one_line(index + 1):
        start, end = container.gap(0)[0], container.gap(1)[1]
    if comments == "keep" and tree.comments_in(start, end):
        raise BuilderError("a comment on the same line would be lost")
    return (Edit(tree.source.path, start, end, b""),)


def move_before(statement: Node, anchor: Node) -> tuple[Edit, ...]:
    """Move a statement with its comments above another one, in the same block or not.

    >>> move_before(add, go_statement)  # doctest: +SKIP
    """
    source, index = place(statement)
    target, before = place(outermost(anchor))
    tree = statement.tree
    if statement.contains(anchor):
        raise BuilderError("a statement cannot move into itself")
    if source.node is target.node and index + 1 == before:
        return ()
    if source.on_one_line(index) or source.on_one_line(index + 1):
        if source.node is target.node:
            return _reordered(source, index, before)
        alone = shifted(statement.text, tree.source.indent_at(statement.start), b"")
        removed = _delete_on_one_line(source, index, "keep")
        return (*insert_before(anchor, alone.decode()), *removed)
    code, removed = _lifted(source, index)
    return (*insert_before(anchor, code), *removed)


def move_after(statement: Node, anchor: Node) -> tuple[Edit, ...]:
    """Move a statement with its comments below another one.

    Raises BuilderError when one of them shares its line with others.
    """
    source, index = place(statement)
    target, last = place(outermost(anchor))
    if statement.contains(anchor) or anchor.contains(statement):
        raise BuilderError("a statement cannot move into itself")
    if any(c.on_one_line(n) for c, i in ((source, index), (target, last)) for n in (i, i + 1)):
        raise BuilderError("a statement shares its line with others")
    code, removed = _lifted(source, index)
    return (*insert_after(anchor, code), *removed)


def _lifted(source: Container, index: int) -> tuple[str, tuple[Edit, ...]]:
    """Return a statement with its comments at the left margin, and the edits that remove it."""
    tree = source.tree
    statement = source.statements[index]
    top = leading_start(tree, statement.start)
    bottom = content_end(tree, statement.end)
    code = shifted(tree.data[top:bottom].lstrip(b" \t"), source.inner, b"")
    start, end = _without_blank_lines(source, index, top, tree.source.line_end(bottom))
    return code.decode(), (Edit(tree.source.path, start, end, b""),)


def _reordered(container: Container, index: int, before: int) -> tuple[Edit, ...]:
    """Move a statement within a one-line block."""
    tree = container.tree
    low, high = min(index, before), max(index, before - 1)
    order = list(range(low, high + 1))
    order.remove(index)
    order.insert(0 if index > before else len(order), index)
    start, end = container.statements[low].start, container.statements[high].end
    between = tree.data[start:end]
    if b"\n" in between or tree.comments_in(start, end):
        raise BuilderError("the statements share a line with comments or other lines")
    new = b"; ".join(container.statements[i].text for i in order)
    return (Edit(tree.source.path, start, end, new),)


def wrap(statements: Sequence[Node], head: str, tail: str = "}") -> tuple[Edit, ...]:
    """Put lines around consecutive statements and indent these by one tab.

    The comments above the first and behind the last are wrapped too. The inside of raw
    strings is left as it is.

    >>> wrap(body.statements, "for i := range 3 {")  # doctest: +SKIP
    """
    container, first = place(outermost(statements[0]))
    other, last = place(outermost(statements[-1]))
    if other.node is not container.node or last - first != len(statements) - 1:
        raise BuilderError("the statements do not follow one another in one block")
    if container.inline:
        return expanded(container, {first: head, last + 1: tail}, range(first, last + 1))
    tree, source = container.tree, container.tree.source
    top = leading_start(tree, container.statements[first].start)
    bottom = content_end(tree, container.statements[last].end)
    opening = code_lines(head, container.inner, source.newline) + source.newline + b"\t"
    closing = source.newline + code_lines(tail, container.inner, source.newline)
    edits = [Edit(source.path, top, top, opening), Edit(source.path, bottom, bottom, closing)]
    edits += [Edit(source.path, at, at, b"\t") for at in deeper(tree.data[top:bottom], top)]
    return tuple(sorted(edits))
