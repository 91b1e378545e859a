"""Where a statement stands: its block or case clause, the gaps between statements.

A container is a block or clause; gap `i` is what stands before its statement `i`, and the
last gap what stands before the `}`. gofmt leaves a function's body on one line when it was
short and written so: then gaps have no line break, and an insertion has to expand them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from threadmend.golang.builders.lines import (
    BuilderError,
    code_lines,
    first_on_line,
    line_indent,
)
from threadmend.golang.syntax import BLOCKS, Node, SyntaxTree
from threadmend.model import Edit

__all__ = ["Container", "expanded", "outermost", "place"]

_HEADER = frozenset({"value", "type", "communication"})
_LABEL = "labeled_statement"


class Container:
    """A block or case clause, with the offsets that the syntax leaves out."""

    def __init__(self, node: Node) -> None:
        if node.kind not in BLOCKS:
            raise BuilderError(f"a {node.kind} holds no statements")
        self.node = node
        self.tree: SyntaxTree = node.tree
        self.statements = node.statements
        self.clause = node.kind != "block"
        self.open = _after_colon(node) if self.clause else node.start + 1
        self.close = None if self.clause else node.end - 1

    def gap(self, index: int) -> tuple[int, int]:
        """Return the byte range of the gap before a statement, or before the end."""
        start = self.open if index == 0 else self.statements[index - 1].end
        if index < len(self.statements):
            return start, self.statements[index].start
        return start, start if self.close is None else self.close

    def on_one_line(self, index: int) -> bool:
        """Return whether a gap has no line break, so that its neighbours share a line."""
        if index == len(self.statements) and self.close is None:
            return False
        start, end = self.gap(index)
        return b"\n" not in self.tree.data[start:end]

    @cached_property
    def inline(self) -> bool:
        """Return whether any statement shares its line with another or with a brace."""
        return any(self.on_one_line(i) for i in range(len(self.statements) + 1))

    @cached_property
    def outer(self) -> Container | None:
        """Return the one-line container around this one, which opens up with it."""
        above = self.node if self.node.kind == "block" else self.node.parent
        statement = above.statement if above is not None else None
        if statement is None or statement.parent is None:
            return None
        outer = Container(statement.parent)
        return outer if outer.inline else outer.outer

    @cached_property
    def base(self) -> bytes:
        """Return the indentation of the closing brace, or of the `case` line."""
        if self.outer is not None:
            return self.outer.inner
        for statement in self.statements:
            if statement.kind != _LABEL and first_on_line(self.tree, statement.start):
                return line_indent(self.tree, statement.start).removesuffix(b"\t")
        if self.close is not None and first_on_line(self.tree, self.close):
            return line_indent(self.tree, self.close)
        owner = self.node if self.clause or self.node.parent is None else self.node.parent
        return line_indent(self.tree, owner.start)

    @property
    def inner(self) -> bytes:
        """Return the indentation of the statements."""
        return self.base + b"\t"


def _after_colon(clause: Node) -> int:
    header = [c for c in clause.children if c.field in _HEADER or c.kind in {"case", "default"}]
    at = header[-1].end
    data = clause.tree.data
    while (colon := data.index(b":", at)) >= 0:
        inside = [c for c in clause.tree.comments_in(at, colon) if c.end > colon]
        if not inside:
            return colon + 1
        at = inside[0].end
    raise BuilderError("a clause without a colon")


def outermost(statement: Node) -> Node:
    """Return the statement with the labels in front of it."""
    node = statement
    while node.parent is not None and node.parent.kind == _LABEL:
        node = node.parent
    return node


def place(statement: Node) -> tuple[Container, int]:
    """Return the container of a statement and its index there.

    Raises BuilderError for what is no statement of a block: an expression, a statement in
    the header of an `if`, `for`, `switch` or `case`, the `if` after an `else`.
    """
    parent = statement.parent
    if parent is None or parent.kind not in BLOCKS or statement.field in _HEADER:
        line = statement.tree.source.line_of(statement.start)
        what = "in the header of another statement" if parent else "not in a block"
        raise BuilderError(f"line {line}: the {statement.kind} is {what}")
    container = Container(parent)
    for index, other in enumerate(container.statements):
        if other is statement:
            return container, index
    raise BuilderError(f"the {statement.kind} is no statement")


def expanded(
    container: Container, code: Mapping[int, str], deeper: range = range(0)
) -> tuple[Edit, ...]:
    """Give every statement of a one-line container a line of its own.

    `code` is put into gaps by their index; the statements in `deeper` get one more tab.
    Containers around that are on one line too open up as well.
    """
    tree = container.tree
    newline = tree.source.newline
    edits: list[Edit] = []
    if container.outer is not None:
        edits += expanded(container.outer, {})
    count = len(container.statements)
    for index in range(count + 1):
        start, end = container.gap(index)
        extra = code.get(index)
        if not container.on_one_line(index):
            if extra is not None:
                edits.append(_line_in_gap(container, index, extra))
            continue
        kept = b" ".join(tree.data[c.start : c.end] for c in tree.comments_in(start, end))
        lines = b"" if extra is None else code_lines(extra, container.inner, newline) + newline
        if index < count:
            indent = container.inner + (b"\t" if index in deeper else b"")
            new = newline + lines + indent + (kept + b" " if kept else b"")
        else:
            new = (b" " + kept if kept else b"") + newline + lines + container.base
        edits.append(Edit(tree.source.path, start, end, new))
    return tuple(edits)


def _line_in_gap(container: Container, index: int, code: str) -> Edit:
    """Insert lines into a gap that has a line break, before the statement's line."""
    source = container.tree.source
    start, end = container.gap(index)
    lines = code_lines(code, container.inner, source.newline)
    if index == len(container.statements) and container.close is None:
        return Edit(source.path, start, start, source.newline + lines)
    at = source.line_start(end)
    return Edit(source.path, at, at, lines + source.newline)
