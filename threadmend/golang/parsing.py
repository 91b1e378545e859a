"""What the parser says about Go source, kept for the files that were asked about last.

tree-sitter's tree takes 26 times as much memory as the source (measured), and is needed for
two things: to list the declarations of a file, and to lower one. The first comes long before
the second, or without it; then that declaration alone is parsed again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from tree_sitter import Node as RawNode
from tree_sitter import Parser, Range
from tree_sitter import Tree as RawTree

from threadmend.golang.lowering import DROPPED, LANGUAGE

__all__ = ["RECENT", "Parsed"]

_PARSER = Parser(LANGUAGE)
_PART = Parser(LANGUAGE)

_KEPT = 2_500_000
"""Bytes of source whose trees are kept."""

_KEPT_ALONE = 64
"""Declarations that were parsed alone and are kept: several rules ask for one in turn."""


class Parsed(NamedTuple):
    """The top-level declarations of a file, and the byte ranges that do not parse.

    `plain`: each declaration parses the same when it stands alone.
    """

    declarations: list[RawNode]
    errors: list[tuple[int, int]]
    plain: bool


class _Recent:
    """The parse of the texts that were asked about last, by their content."""

    def __init__(self) -> None:
        self._files: dict[bytes, Parsed] = {}
        self._size = 0
        # By their text's identity and place; the text is kept, so that no other takes its number.
        self._alone: dict[tuple[int, int], tuple[bytes, RawNode]] = {}

    def parsed(self, data: bytes) -> Parsed:
        """Return the parse of a file."""
        found = self._files.pop(data, None)
        if found is None:
            found = _parsed(data)
            self._size += len(data)
        self._files[data] = found
        while self._size > _KEPT and len(self._files) > 1:
            oldest = next(iter(self._files))
            del self._files[oldest]
            self._size -= len(oldest)
        return found

    def declaration(self, data: bytes, number: int, start: int, end: int) -> RawNode:
        """Return a declaration of a plain file that was parsed before."""
        found = self._files.get(data)
        if found is not None:
            return found.declarations[number]
        key = (id(data), start)
        kept = self._alone.get(key)
        if kept is not None:
            return kept[1]
        alone = _alone(data, start, end)
        if alone is None:
            return self.parsed(data).declarations[number]
        if len(self._alone) >= _KEPT_ALONE:
            del self._alone[next(iter(self._alone))]
        self._alone[key] = (data, alone)
        return alone


RECENT = _Recent()


def _alone(data: bytes, start: int, end: int) -> RawNode | None:
    """Return the declaration in a range of bytes, None if it reads differently alone."""
    stop = data.find(b"\n", end) + 1 or len(data)  # the end of the line ends a declaration
    _PART.included_ranges = [Range((0, start), (0, stop), start, stop)]
    raw = _PART.parse(data).root_node.child(0)
    if raw is None or raw.has_error or (raw.start_byte, raw.end_byte) != (start, end):
        return None
    return raw


def _parsed(data: bytes) -> Parsed:
    if data.startswith(b"\xef\xbb\xbf"):
        data = b"   " + data[3:]
    tree = _PARSER.parse(data)
    plain = not tree.root_node.has_error
    root = tree.root_node if plain else _mended(data, tree).root_node
    declarations = [
        raw
        for raw in root.children
        if raw.is_named and raw.kind_id not in DROPPED and not raw.is_error
    ]
    return Parsed(declarations, list(_errors(root)) if root.has_error else [], plain)


def _mended(data: bytes, tree: RawTree) -> RawTree:
    """Return the parse of source with errors, that of a masked copy if that has fewer."""
    masked = _mask(data)
    if masked != data:
        second = _PARSER.parse(masked)
        if _error_size(second) < _error_size(tree):
            return second
    return tree


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
