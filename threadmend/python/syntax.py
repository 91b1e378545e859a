"""Tree: the syntax of one Python file, its parents, scopes and byte positions.

`ast` alone, read once: a pass over the nodes notes every node's parent, the scope of every
name, and the nodes of each type.
"""

from __future__ import annotations

import ast
import codecs
import io
import sys
import tokenize
from bisect import bisect_right
from collections.abc import Iterator
from typing import TypeVar

from threadmend.python.index import build
from threadmend.python.newer import parsed
from threadmend.python.scope import Scope
from threadmend.source import SourceFile, UnreadableError

__all__ = ["FunctionNode", "Tree", "parse"]

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
N = TypeVar("N", bound=ast.AST)

_BOM = codecs.BOM_UTF8


def parse(source: SourceFile) -> ast.Module:
    """Return the module; raises UnreadableError that says where it does not parse."""
    try:
        return parsed(source.data)
    except SyntaxError as error:
        place = f" at {error.lineno}:{error.offset or 1}" if error.lineno else ""
        raise UnreadableError(source.path, f"does not parse{place}") from None
    except (ValueError, LookupError):
        raise UnreadableError(source.path, "does not parse") from None
    except (RecursionError, MemoryError):
        raise UnreadableError(source.path, "is nested too deeply") from None


class Tree:
    """The parsed module of a file; raises UnreadableError when there is none."""

    def __init__(self, source: SourceFile) -> None:
        self.source = source
        self.data = source.data
        self.module = parse(source)
        self.encoding = _encoding(source)
        self.starts = _line_starts(source)
        index = build(self.module)
        self.scopes: list[Scope] = index.scopes
        self.by_type = index.by_type
        self._in_order: set[type[ast.AST]] = set()
        self.names = index.names
        """Every `ast.Name` node by its text."""

    # -- positions ------------------------------------------------------------------------

    def offset(self, line: int, column: int) -> int:
        """Return the byte offset of a place that `ast` gives: utf-8 columns of decoded lines."""
        start = self.starts[line - 1]
        if self.encoding == "utf-8":
            return start + column
        end = self.starts[line] if line < len(self.starts) else len(self.data)
        text = self.data[start:end].decode(self.encoding).encode()[:column]
        return start + len(text.decode().encode(self.encoding))

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Return where a node begins and ends, without parentheses around it.

        For a function or class this is where `def` or `class` stands, decorators left out.
        Inside an f-string before Python 3.12 it is the span of the string.
        """
        node = _placed(node)
        if isinstance(node, ast.Module):
            return 0, len(self.data)
        if isinstance(node, ast.comprehension):
            return self.span(node.target)[0], self.span((node.ifs or [node.iter])[-1])[1]
        if isinstance(node, ast.arguments | ast.withitem):
            parts = [child for child in ast.iter_child_nodes(node) if hasattr(child, "lineno")]
            spans = [self.span(child) for child in parts] or [(0, 0)]
            return min(s for s, _ in spans), max(e for _, e in spans)
        line, column = node.lineno, node.col_offset  # type: ignore[attr-defined]
        end_line, end_column = node.end_lineno, node.end_col_offset  # type: ignore[attr-defined]
        return self.offset(line, column), self.offset(end_line, end_column)

    def is_placed(self, node: ast.AST) -> bool:
        """Return whether the span of a node is its own: not inside an f-string before 3.12."""
        return _placed(node) is node

    def line_of(self, offset: int) -> int:
        """Return the line (from 1, as `ast` counts) of a byte offset."""
        return bisect_right(self.starts, offset)

    # -- structure ------------------------------------------------------------------------

    def nodes(self, *types: type[N]) -> list[N]:
        """Return all nodes of these types, in source order."""
        found = [node for kind in types for node in self._sorted(kind)]
        if len(types) > 1:
            found.sort(key=_place)
        return found  # type: ignore[return-value]

    def _sorted(self, kind: type[ast.AST]) -> list[ast.AST]:
        found = self.by_type.get(kind, [])
        if kind not in self._in_order:
            self._in_order.add(kind)
            found.sort(key=_place)
        return found


def _place(node: ast.AST) -> tuple[int, int]:
    return (getattr(node, "lineno", 0), getattr(node, "col_offset", 0))


def _placed(node: ast.AST) -> ast.AST:
    if sys.version_info >= (3, 12):
        return node
    found = node
    for above in _above(node):
        if isinstance(above, ast.stmt):
            break
        if isinstance(above, ast.JoinedStr):
            found = above
    return found


def _above(node: ast.AST) -> Iterator[ast.AST]:
    above = getattr(node, "parent_", None)
    while above is not None:
        yield above
        above = getattr(above, "parent_", None)


def _encoding(source: SourceFile) -> str:
    """Return the codec of a file: `utf-8`, or another one that goes there and back."""
    data = source.data
    if data.isascii() and b"coding" not in data[:400]:
        return "utf-8"
    try:
        name, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        name = "utf-8" if name == "utf-8-sig" else codecs.lookup(name).name
        if name != "utf-8" and data.decode(name).encode(name) != data:
            raise UnreadableError(source.path, f"is written in {name}")
    except (SyntaxError, LookupError, UnicodeError):
        raise UnreadableError(source.path, "has an unknown encoding") from None
    return name


def _line_starts(source: SourceFile) -> list[int]:
    """Return where lines begin as Python counts them: after LF, CRLF or CR alone."""
    data = source.data
    first = len(_BOM) if data.startswith(_BOM) else 0
    if data.count(b"\r") == data.count(b"\r\n"):
        starts = list(source.line_starts)
    else:
        starts, at = [0], 0
        for line in data.splitlines(keepends=True):  # bytes split at CR, LF and CRLF only
            at += len(line)
            starts.append(at)
    starts[0] = first
    return starts
