"""lower(): tree-sitter's nodes become ours.

This is the most expensive thing that a run does after parsing: half of the time goes into
tree-sitter's cursor, so that the loop is written out and leaves are told by their kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tree_sitter import Language
from tree_sitter import Node as RawNode
from tree_sitter_go import language as _go_language

from threadmend.golang.node import Node
from threadmend.golang.rereading import CONVERSION, reread

if TYPE_CHECKING:
    from threadmend.golang.syntax import SyntaxTree

__all__ = ["DROPPED", "LANGUAGE", "lower"]

LANGUAGE = Language(_go_language())

_ALL_KINDS = [LANGUAGE.node_kind_for_id(i) or "" for i in range(LANGUAGE.node_kind_count)]
_FIELDS = ["", *(LANGUAGE.field_name_for_id(i) or "" for i in range(1, LANGUAGE.field_count + 1))]

_LEFT_OUT = {"(", ")", "{", "}", "[", "]", ",", ";", ".", ":", "comment", "\n", "\0"}
DROPPED = frozenset(i for i, kind in enumerate(_ALL_KINDS) if kind in _LEFT_OUT)
_KINDS = {i: kind for i, kind in enumerate(_ALL_KINDS) if i not in DROPPED} | {0xFFFF: "ERROR"}
_HEADER_KINDS = {i: kind for i, kind in _KINDS.items() if kind != "block"}
_SPLICED = _ALL_KINDS.index("statement_list")

# Strings have content below them, which nobody asks for.
_LEAF_KINDS = {
    "blank_identifier", "false", "field_identifier", "float_literal", "identifier",
    "imaginary_literal", "int_literal", "interpreted_string_literal", "iota", "label_name",
    "nil", "package_identifier", "raw_string_literal", "rune_literal", "true", "type_identifier",
}  # fmt: skip
_LEAVES = frozenset(
    i
    for i, kind in enumerate(_ALL_KINDS)
    if kind in _LEAF_KINDS or not LANGUAGE.node_kind_is_named(i)
)

# What every leaf shares; nobody changes the children of a node.
_NONE: list[Node] = []

# The numbers from 0, one object each: offsets and places of nodes are mostly equal to others,
# and a number of its own takes a third as much memory as the node.
_NUMBERS: list[int] = list(range(1 << 12))
_MOST_NUMBERS = 1 << 19


def _numbers(size: int) -> Sequence[int]:
    """Return the numbers below a size, shared unless a file is very large."""
    if size > _MOST_NUMBERS:
        return range(size)
    if size > len(_NUMBERS):
        _NUMBERS.extend(range(len(_NUMBERS), size))
    return _NUMBERS


def lower(
    raw: RawNode, tree: SyntaxTree, *, body: bool = True
) -> tuple[Node, dict[str, list[Node]]]:
    """Append a declaration's nodes to `tree.nodes`; return its own and those by kind.

    The second holds the nodes that have children. `body`: with blocks. Without recursion:
    source may nest deeper than Python's stack.
    """
    kinds, fields, leaves = (_KINDS if body else _HEADER_KINDS).get, _FIELDS, _LEAVES
    index: dict[str, list[Node]] = {}
    cursor = raw.walk()
    down, on, up = cursor.goto_first_child, cursor.goto_next_sibling, cursor.goto_parent
    at = len(tree.nodes)
    numbers = _numbers(max(len(tree.data), at + raw.descendant_count) + 2)
    note = tree.nodes.append
    root = parent = _root(raw, tree, at)
    note(root)
    children: list[Node] = []
    root.children = children
    add = children.append
    at += 1
    # One entry per open level of the cursor: the node whose children are being read. A
    # spliced level repeats the node above it.
    path = [root]
    more = down()
    if more:
        index[root.kind] = [root]
    while path:
        while more:
            here = cursor.node
            assert here is not None
            number = here.kind_id
            kind = kinds(number)
            if kind is None:
                more = on()
                continue
            if number == _SPLICED:
                more = down()
                if more:
                    path.append(parent)
                else:
                    more = on()
                continue
            node = Node()
            node.kind = kind
            node.field = fields[cursor.field_id or 0]
            node.start = numbers[here.start_byte]
            node.end = numbers[here.end_byte]
            node.parent = parent
            node.tree = tree
            node.at = at
            at = numbers[at + 1]
            note(node)
            add(node)
            if number in leaves or not down():
                node.children = _NONE
                node.stop = at
                more = on()
                continue
            if kind in index:
                index[kind].append(node)
            else:
                index[kind] = [node]
            children = []
            node.children = children
            add = children.append
            parent = node
            path.append(node)
        done = path.pop()
        if path:
            up()
            more = on()
            parent = path[-1]
            if parent is not done:
                done.stop = at
                add = parent.children.append
    root.stop = at
    if CONVERSION in index:
        reread(root, index)
    tree.literals += [node.at for node in index.get("func_literal", ())]
    return root, index


def _root(raw: RawNode, tree: SyntaxTree, at: int) -> Node:
    node = Node()
    node.kind = raw.type
    node.field = ""
    node.start = raw.start_byte
    node.end = raw.end_byte
    node.parent = None
    node.tree = tree
    node.at = at
    return node
