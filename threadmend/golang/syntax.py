"""The Go syntax that rules walk: tree-sitter's tree, lowered into light nodes on demand.

tree-sitter's own nodes are made anew at every access and find their parent by a walk from
the root. A declaration that a rule looks at is therefore lowered once into `Node`s, which
have identity, a parent and a field name. Kinds and fields are those of tree-sitter-go,
with three differences: punctuation (`( ) { } [ ] , ; . :`) and comments are left out, and
`statement_list` is spliced into the block or clause around it.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

from tree_sitter import Node as RawNode

from threadmend.golang.lowering import lower
from threadmend.golang.node import BLOCKS, FUNCTIONS, Node
from threadmend.golang.parsing import RECENT
from threadmend.source import SourceFile

__all__ = ["BLOCKS", "FUNCTIONS", "Comment", "Declaration", "Node", "SyntaxTree"]


class Comment(NamedTuple):
    """One comment: its byte range, delimiters included."""

    start: int
    end: int


class Declaration:
    """One top-level declaration; its syntax is lowered when first asked for."""

    __slots__ = (
        "_calls",
        "_header",
        "_index",
        "_node",
        "_number",
        "body_start",
        "end",
        "has_error",
        "kind",
        "start",
        "tree",
    )

    def __init__(self, tree: SyntaxTree, raw: RawNode, number: int) -> None:
        self.tree = tree
        self._number = number
        self.kind = raw.type
        self.start = raw.start_byte
        self.end = raw.end_byte
        self.has_error = raw.has_error
        body = raw.child_by_field_name("body") if self.kind in FUNCTIONS else None
        self.body_start = body.start_byte if body is not None else -1
        self._node: Node | None = None
        self._header: Node | None = None
        self._index: dict[str, list[Node]] | None = None
        self._calls: dict[bytes, list[Node]] | None = None

    @property
    def raw(self) -> RawNode:
        """Return the parser's node; who keeps it keeps the parser's tree of the whole file."""
        data = self.tree.data
        if self.tree.plain:
            return RECENT.declaration(data, self._number, self.start, self.end)
        return RECENT.parsed(data).declarations[self._number]

    @property
    def index(self) -> dict[str, list[Node]]:
        """Return the nodes of the declaration that have children by kind, in source order."""
        if self._index is None:
            self._node, self._index = lower(self.raw, self.tree)
        return self._index

    @property
    def calls(self) -> dict[bytes, list[Node]]:
        """Return the calls by their function's last name (`x.mu.Lock` → `Lock`)."""
        if self._calls is None:
            self._calls = {}
            for call in self.index.get("call_expression", ()):
                function = call.get("function")
                if function is not None and function.kind == "selector_expression":
                    function = function.get("field")
                if function is not None:
                    self._calls.setdefault(function.text, []).append(call)
        return self._calls

    @property
    def node(self) -> Node:
        """Return the lowered syntax."""
        if self._node is None:
            self._node, self._index = lower(self.raw, self.tree)
        return self._node

    def around(self, at: int) -> tuple[str, ...]:
        """Return the kinds of the nodes that hold a byte offset, outermost first.

        Read off the parser's tree: a rule learns whether a keyword stands where it matters
        without having the declaration lowered. `statement_list` is left out here as well.
        """
        cursor = self.raw.walk()
        kinds = [self.kind]
        while cursor.goto_first_child_for_byte(at) is not None:
            node = cursor.node
            if node is None or node.start_byte > at:
                break
            if node.type != "statement_list":
                kinds.append(node.type)
        return tuple(kinds)

    @property
    def header(self) -> Node:
        """Return the syntax without a function's body, which most uses need not know.

        Its nodes are not those of `node` unless that was asked for before.
        """
        if self._node is not None or self.kind not in FUNCTIONS:
            return self.node
        if self._header is None:
            self._header, _ = lower(self.raw, self.tree, body=False)
        return self._header


def _is_none(node: Node) -> bool:
    return False


class SyntaxTree:
    """The parse of one file. `errors` are the byte ranges that do not parse."""

    def __init__(self, source: SourceFile) -> None:
        self.source = source
        self.data = source.data
        # The nodes of the declarations that were lowered, each before those below it.
        self.nodes: list[Node] = []
        # Where the function literals stand among them.
        self.literals: list[int] = []
        # Filled by the scope layer: names that a scope node declares, the binding that an
        # identifier means, identifiers by name below a lowered declaration.
        self.scopes: dict[Node, dict[str, list[Any]]] = {}
        self.meanings: dict[Node, Any] = {}
        self.names: dict[Node, dict[bytes, list[Node]]] = {}
        # Types tell which keys of a literal are names of fields (`T{err: err}`): set with them.
        self.is_field_key: Callable[[Node], bool] = _is_none

    @cached_property
    def errors(self) -> list[tuple[int, int]]:
        """Return the byte ranges of syntax errors, also after the masked retry."""
        return RECENT.parsed(self.data).errors

    @cached_property
    def declarations(self) -> list[Declaration]:
        """Return the top-level declarations, in source order."""
        parsed = RECENT.parsed(self.data)
        self.errors, self.plain = parsed.errors, parsed.plain
        return [Declaration(self, raw, i) for i, raw in enumerate(parsed.declarations)]

    @cached_property
    def _starts(self) -> list[int]:
        return [d.start for d in self.declarations]

    def declaration_at(self, offset: int) -> Declaration | None:
        """Return the top-level declaration whose range holds a byte offset."""
        at = bisect_right(self._starts, offset) - 1
        if at < 0 or offset >= self.declarations[at].end:
            return None
        return self.declarations[at]

    @cached_property
    def comments(self) -> list[Comment]:
        """Return all comments, in source order."""
        found: list[Comment] = []
        data = self.data
        if b"//" not in data and b"/*" not in data:
            return found
        return [
            Comment(m.start(), m.end()) for m in _TOKENS.finditer(data) if m.lastgroup == "comment"
        ]

    def comments_in(self, start: int, end: int) -> list[Comment]:
        """Return the comments that begin in [start, end)."""
        comments = self.comments
        return comments[bisect_left(comments, (start, 0)) : bisect_left(comments, (end, 0))]

    @cached_property
    def _first_block(self) -> int:
        return self.data.find(b"/*")

    def in_comment(self, offset: int) -> bool:
        """Return whether a byte offset lies in a comment."""
        data = self.data
        line = data.rfind(b"\n", 0, offset) + 1
        if data.find(b"//", line, offset + 2) < 0 and not -1 < self._first_block <= offset:
            return False  # nothing begins one: the comments need not be read
        at = bisect_right(self.comments, (offset, 1 << 62)) - 1
        return at >= 0 and self.comments[at].end > offset


_TOKENS = re.compile(
    rb"(?P<comment>//[^\n]*|/\*.*?(?:\*/|\Z))"
    rb"|\"(?:[^\"\\\n]|\\.)*\"|`[^`]*`|'(?:[^'\\\n]|\\.)+'",
    re.S,
)
