"""Node: one piece of Go syntax as rules walk it, light and with an identity.

A node knows its children, its parent and its field name. The nodes of a lowered declaration
stand one after the other in `SyntaxTree.nodes`, each before what is below it, so that a walk
is a slice of that list.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadmend.golang.syntax import SyntaxTree

__all__ = ["BLOCKS", "FUNCTIONS", "Node", "as_launched", "bare", "parenthesized"]

FUNCTIONS = frozenset({"function_declaration", "method_declaration", "func_literal"})


class Node:
    """One node of Go syntax; compared and hashed by identity.

    `field` is the field name in the parent (`"operand"`), or `""`.
    """

    __slots__ = ("at", "children", "end", "field", "kind", "parent", "start", "stop", "tree")

    kind: str
    field: str
    start: int
    end: int
    children: list[Node]
    parent: Node | None
    tree: SyntaxTree
    at: int
    """Where the node stands in `tree.nodes`; all below it stand behind it, before `stop`."""
    stop: int

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
        """Return this node and all below it, in source order."""
        return iter(self.tree.nodes[self.at : self.stop])

    def find(self, *kinds: str) -> Iterator[Node]:
        """Return the nodes of these kinds at or below this one, in source order."""
        nodes = self.tree.nodes[self.at : self.stop]
        return iter([node for node in nodes if node.kind in kinds])

    def own(self) -> Iterator[Node]:
        """Return this node and all below it, without entering function literals.

        A function literal is a function of its own: it is there, its inside is not (unless
        this node itself is the literal).
        """
        nodes, literals, at, stop = self.tree.nodes, self.tree.literals, self.at, self.stop
        found: list[Node] = []
        first = bisect_right(literals, at)
        for literal in literals[first : bisect_left(literals, stop, first)]:
            if literal >= at:  # not inside of the one before
                found += nodes[at : literal + 1]
                at = nodes[literal].stop
        found += nodes[at:stop]
        return iter(found)

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
    def is_launched(self) -> bool:
        """Return whether a go statement makes this call."""
        return self.parent is not None and self.parent.kind == "go_statement"

    @property
    def is_deferred(self) -> bool:
        """Return whether a defer statement makes this call, or calls this function literal."""
        node = self
        if node.kind == "func_literal" and node.field == "function" and node.parent is not None:
            node = node.parent
        return node.parent is not None and node.parent.kind == "defer_statement"

    @property
    def runs_later(self) -> bool:
        """Return whether a go or a defer statement makes this call."""
        return self.is_launched or self.is_deferred

    @property
    def previous(self) -> Node | None:
        """Return the sibling before this node."""
        return self._sibling(-1)

    @property
    def next(self) -> Node | None:
        """Return the sibling after this node."""
        return self._sibling(1)

    @property
    def following(self) -> list[Node]:
        """Return the siblings after this node, in order."""
        return self.parent.children[self._index + 1 :] if self.parent is not None else []

    @property
    def _index(self) -> int:
        assert self.parent is not None
        return next(i for i, node in enumerate(self.parent.children) if node is self)

    def _sibling(self, step: int) -> Node | None:
        if self.parent is None:
            return None
        siblings, at = self.parent.children, self._index + step
        return siblings[at] if 0 <= at < len(siblings) else None


BLOCKS = frozenset({"block", "expression_case", "type_case", "communication_case", "default_case"})
_CLAUSE_HEADER = frozenset({"value", "type", "communication"})
_WORDS = frozenset({"case", "default"})


def bare(node: Node) -> Node:
    """Return an expression without the parentheses around it."""
    while node.kind == "parenthesized_expression" and node.children:
        node = node.children[0]
    return node


def parenthesized(node: Node) -> Node:
    """Return an expression with the parentheses around it."""
    while node.parent is not None and node.parent.kind == "parenthesized_expression":
        node = node.parent
    return node


def as_launched(value: Node) -> Node:
    """Return the call of a function value as a `go` statement in its place would make it."""
    statement = _made_up("go_statement", value, value.parent)
    call = _made_up("call_expression", value, statement)
    function = _made_up(value.kind, value, call, "function")
    function.children = value.children
    call.children = [function, _made_up("argument_list", value, call, "arguments")]
    statement.children = [call]
    return call


def _made_up(kind: str, place: Node, parent: Node | None, field: str = "") -> Node:
    node = Node()
    node.kind, node.field, node.parent, node.tree = kind, field, parent, place.tree
    node.start, node.end, node.at, node.stop = place.start, place.end, place.at, place.stop
    node.children = []
    return node
