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
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

from tree_sitter import Language, Parser, TreeCursor
from tree_sitter import Node as RawNode
from tree_sitter import Tree as RawTree
from tree_sitter_go import language as _go_language

from threadmend.source import SourceFile

__all__ = ["Comment", "Declaration", "Node", "SyntaxTree"]

_LANGUAGE = Language(_go_language())
_PARSER = Parser(_LANGUAGE)

_KINDS = [_LANGUAGE.node_kind_for_id(i) or "" for i in range(_LANGUAGE.node_kind_count)]
_FIELDS = [""] + [_LANGUAGE.field_name_for_id(i) or "" for i in range(1, _LANGUAGE.field_count + 1)]
_DROPPED = frozenset(
    i
    for i, kind in enumerate(_KINDS)
    if kind in {"(", ")", "{", "}", "[", "]", ",", ";", ".", ":", "comment", "\n", "\0"}
)
_SPLICED = frozenset(i for i, kind in enumerate(_KINDS) if kind == "statement_list")

# What makes a call through a literal's content uninteresting: strings are leaves.
_LEAVES = frozenset(
    i
    for i, kind in enumerate(_KINDS)
    if kind in {"interpreted_string_literal", "raw_string_literal", "rune_literal"}
)

FUNCTIONS = frozenset({"function_declaration", "method_declaration", "func_literal"})


class Node:
    """One node of Go syntax; compared and hashed by identity.

    `field` is the field name in the parent (`"operand"`), or `""`.
    """

    __slots__ = ("children", "end", "field", "kind", "parent", "start", "tree")

    kind: str
    field: str
    start: int
    end: int
    children: list[Node]
    parent: Node | None
    tree: SyntaxTree

    def __repr__(self) -> str:
        line = self.tree.source.line_of(self.start)
        return f"<{self.kind} {self.tree.source.path}:{line} {self.text[:40]!r}>"

    @property
    def text(self) -> bytes:
        """Return the source bytes of the node."""
        return self.tree.data[self.start : self.end]

    @property
    def name(self) -> str:
        """Return the source text of the node as a string (an identifier's name)."""
        return self.tree.data[self.start : self.end].decode("utf-8", "replace")

    @property
    def path(self) -> str:
        """Return the path of the file that the node is in."""
        return self.tree.source.path

    def get(self, field: str) -> Node | None:
        """Return the first child in a field, if any."""
        for child in self.children:
            if child.field == field:
                return child
        return None

    def __getitem__(self, field: str) -> Node:
        """Return the child in a field that the grammar guarantees; KeyError without it."""
        for child in self.children:
            if child.field == field:
                return child
        raise KeyError(f"{self.kind} has no {field}")

    def all(self, field: str) -> list[Node]:
        """Return all children in a field."""
        return [child for child in self.children if child.field == field and child.kind != ","]

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it, in source order."""
        stack = [self]
        pop = stack.pop
        extend = stack.extend
        while stack:
            node = pop()
            yield node
            if node.children:
                extend(reversed(node.children))

    def find(self, *kinds: str) -> Iterator[Node]:
        """Yield the nodes of these kinds at or below this one, in source order."""
        for node in self.walk():
            if node.kind in kinds:
                yield node

    def own(self) -> Iterator[Node]:
        """Yield this node and all below it, without entering function literals.

        A function literal is a function of its own: it is yielded, its inside is not
        (unless this node itself is the literal).
        """
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            if node.children and (node.kind != "func_literal" or node is self):
                stack.extend(reversed(node.children))

    def up(self, *kinds: str) -> Node | None:
        """Return the nearest node of these kinds above this one."""
        node = self.parent
        while node is not None and node.kind not in kinds:
            node = node.parent
        return node

    def ancestors(self) -> Iterator[Node]:
        """Yield the nodes above this one, nearest first."""
        node = self.parent
        while node is not None:
            yield node
            node = node.parent

    def contains(self, other: Node) -> bool:
        """Return whether `other` is this node or lies below it."""
        return self.start <= other.start and other.end <= self.end and self.tree is other.tree

    @property
    def function(self) -> Node | None:
        """Return the function, method or literal around this node (not itself)."""
        node = self.parent
        while node is not None and node.kind not in FUNCTIONS:
            node = node.parent
        return node

    @property
    def statement(self) -> Node | None:
        """Return the statement of a block or clause that holds (or is) this node.

        For a node in a statement's header (`if x.f() {`) that is the whole statement; a
        labelled statement counts with its label.
        """
        node: Node | None = self
        while node is not None and node.parent is not None:
            if node.parent.kind in BLOCKS and node.field not in _CLAUSE_HEADER:
                return node
            node = node.parent
        return None

    @property
    def statements(self) -> list[Node]:
        """Return the statements of a block or clause, in order."""
        return [c for c in self.children if c.field not in _CLAUSE_HEADER and c.kind not in _WORDS]

    @property
    def previous(self) -> Node | None:
        """Return the sibling before this node."""
        return self._sibling(-1)

    @property
    def next(self) -> Node | None:
        """Return the sibling after this node."""
        return self._sibling(1)

    def _sibling(self, step: int) -> Node | None:
        if self.parent is None:
            return None
        siblings = self.parent.children
        at = next(i for i, node in enumerate(siblings) if node is self) + step
        return siblings[at] if 0 <= at < len(siblings) else None


BLOCKS = frozenset({"block", "expression_case", "type_case", "communication_case", "default_case"})
_CLAUSE_HEADER = frozenset({"value", "type", "communication"})
_WORDS = frozenset({"case", "default"})


class Comment(NamedTuple):
    """One comment: its byte range, delimiters included."""

    start: int
    end: int


class Declaration:
    """One top-level declaration; its syntax is lowered when first asked for."""

    __slots__ = ("_index", "_node", "end", "has_error", "kind", "raw", "start", "tree")

    def __init__(self, tree: SyntaxTree, raw: RawNode) -> None:
        self.tree = tree
        self.raw = raw
        self.kind = raw.type
        self.start = raw.start_byte
        self.end = raw.end_byte
        self.has_error = raw.has_error
        self._node: Node | None = None
        self._index: dict[str, list[Node]] | None = None

    @property
    def index(self) -> dict[str, list[Node]]:
        """Return the nodes of the declaration by kind, each list in source order."""
        if self._index is None:
            index: dict[str, list[Node]] = {}
            for node in self.node.walk():
                if node.children:
                    index.setdefault(node.kind, []).append(node)
            self._index = index
        return self._index

    @property
    def node(self) -> Node:
        """Return the lowered syntax."""
        if self._node is None:
            self._node = _lower(self.raw, self.tree)
        return self._node


class SyntaxTree:
    """The parse of one file. `errors` are the byte ranges that do not parse."""

    def __init__(self, source: SourceFile) -> None:
        self.source = source
        self.data = source.data
        # Filled by the scope layer: names that a scope node declares, identifiers by name
        # below a lowered declaration.
        self.scopes: dict[Node, dict[str, list[Any]]] = {}
        self.names: dict[Node, dict[bytes, list[Node]]] = {}

    @cached_property
    def _raw(self) -> RawTree:
        data = self.data
        if data.startswith(b"\xef\xbb\xbf"):
            data = b"   " + data[3:]
        tree = _PARSER.parse(data)
        if tree.root_node.has_error:
            masked = _mask(data)
            if masked != data:
                second = _PARSER.parse(masked)
                if _error_size(second) < _error_size(tree):
                    return second
        return tree

    @cached_property
    def errors(self) -> list[tuple[int, int]]:
        """Return the byte ranges of syntax errors, also after the masked retry."""
        root = self._raw.root_node
        return list(_errors(root)) if root.has_error else []

    @cached_property
    def declarations(self) -> list[Declaration]:
        """Return the top-level declarations, in source order."""
        return [
            Declaration(self, raw)
            for raw in self._raw.root_node.children
            if raw.is_named and raw.kind_id not in _DROPPED and not raw.is_error
        ]

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

    def in_comment(self, offset: int) -> bool:
        """Return whether a byte offset lies in a comment."""
        at = bisect_right(self.comments, (offset, 1 << 62)) - 1
        return at >= 0 and self.comments[at].end > offset


_TOKENS = re.compile(
    rb"(?P<comment>//[^\n]*|/\*.*?(?:\*/|\Z))"
    rb"|\"(?:[^\"\\\n]|\\.)*\"|`[^`]*`|'(?:[^'\\\n]|\\.)+'",
    re.S,
)


def _lower(raw: RawNode, tree: SyntaxTree) -> Node:
    cursor = raw.walk()
    root = _lower_here(cursor, tree)
    root.parent = None
    root.field = ""
    return root


def _lower_here(cursor: TreeCursor, tree: SyntaxTree) -> Node:
    """Lower the node under the cursor and all below it, without recursion.

    Source may nest deeper than Python's stack.
    """
    kinds, fields, dropped, spliced, leaves = _KINDS, _FIELDS, _DROPPED, _SPLICED, _LEAVES
    new = Node.__new__

    def make(raw: RawNode, parent: Node | None) -> Node:
        node = new(Node)
        kind = raw.kind_id
        node.kind = kinds[kind] if kind < len(kinds) else raw.type
        node.field = fields[cursor.field_id or 0]
        node.start = raw.start_byte
        node.end = raw.end_byte
        node.children = []
        node.parent = parent
        node.tree = tree
        return node

    assert cursor.node is not None
    root = make(cursor.node, None)
    if not cursor.goto_first_child():
        return root
    # `path` holds the node whose children are being read, once per open cursor level:
    # a spliced level repeats the node above it.
    path = [root]
    while True:
        raw = cursor.node
        assert raw is not None
        kind = raw.kind_id
        if kind not in dropped:
            parent = path[-1]
            if kind in spliced:
                if cursor.goto_first_child():
                    path.append(parent)
                    continue
            else:
                node = make(raw, parent)
                parent.children.append(node)
                if kind not in leaves and cursor.goto_first_child():
                    path.append(node)
                    continue
        while not cursor.goto_next_sibling():
            cursor.goto_parent()
            path.pop()
            if not path:
                return root


def _errors(root: RawNode) -> Iterator[tuple[int, int]]:
    stack = [root]
    while stack:
        node = stack.pop()
        if node.is_error or node.is_missing:
            yield node.start_byte, node.end_byte
        elif node.has_error:
            stack.extend(reversed(node.children))


def _error_size(tree: RawTree) -> tuple[int, int]:
    found = list(_errors(tree.root_node))
    return (len(found), sum(end - start for start, end in found))


# tree-sitter-go 0.25 reads the first argument of `new` and `make` as a type, so that
# `new(f(x))` (Go 1.26) and `(make)([]T, n)` do not parse, and it knows no type parameters
# on methods (Go 1.27). The mask keeps every offset: `new` becomes an ordinary name where
# its argument is no type, the parentheses around a builtin and a method's type parameters
# become blanks.
_NEW_OF_VALUE = re.compile(
    rb"\bnew\((?=\s*(?:"
    rb"[-+!^&<\d\"'`]"  # an operator or a literal
    rb"|(?:\w+\.)*\w+\s*(?:\(|\[[^\]]*\]\s*[.,(]|[-+/%|&<>=!]|\.\(|\[(?![^\]]*\]\s*\)))"
    rb"|(?:true|false|nil|iota)\s*\)"
    rb"))"
)
_BUILTIN_IN_PARENTHESES = re.compile(rb"\((new|make)\)(?=\()")
_GENERIC_METHOD = re.compile(rb"^(func\s*\([^)\n]*\)\s*\w+)(\[[^\n()]*?\])(?=\()", re.M)


def _mask(data: bytes) -> bytes:
    masked = _NEW_OF_VALUE.sub(b"nEw(", data)
    masked = _BUILTIN_IN_PARENTHESES.sub(lambda m: b" " + m[1] + b" ", masked)
    return _GENERIC_METHOD.sub(lambda m: m[1] + b" " * len(m[2]), masked)
