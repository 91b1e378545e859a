"""SourceFile: the bytes of one file, its lines, and positions in them."""

from __future__ import annotations

import hashlib
import re
from array import array
from bisect import bisect_right
from functools import cached_property

__all__ = ["Position", "SourceFile", "UnreadableError"]

from typing import NamedTuple

_END = re.compile(rb"\n")


class Position(NamedTuple):
    """A place: line and column from 1 (column in bytes), offset in bytes from 0."""

    line: int
    column: int
    offset: int


class UnreadableError(Exception):
    """A file cannot be taken; `reason` says why in a clause."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class SourceFile:
    """The bytes of one file under the path that the project knows it by."""

    __slots__ = ("__dict__", "data", "path")

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.data = data

    @cached_property
    def digest(self) -> bytes:
        """Return a hash of the content (16 bytes)."""
        return hashlib.blake2b(self.data, digest_size=16).digest()

    @cached_property
    def line_starts(self) -> array[int]:
        """Return the offset of every line's first byte; lines end at LF only."""
        return array("L", [0, *(end.end() for end in _END.finditer(self.data))])

    def position(self, offset: int) -> Position:
        """Return line and column of a byte offset."""
        line = bisect_right(self.line_starts, offset)
        return Position(line, offset - self.line_starts[line - 1] + 1, offset)

    def line_of(self, offset: int) -> int:
        """Return the number (from 1) of the line that holds a byte offset."""
        return bisect_right(self.line_starts, offset)

    def line_start(self, offset: int) -> int:
        """Return the offset of the first byte of the line that holds `offset`."""
        return self.data.rfind(b"\n", 0, offset) + 1

    def line_end(self, offset: int) -> int:
        """Return the offset just after the line (its LF included) that holds `offset`."""
        at = self.data.find(b"\n", offset)
        return len(self.data) if at < 0 else at + 1

    def line_text(self, line: int) -> bytes:
        """Return the bytes of a line (from 1) without its line ending."""
        start = self.line_starts[line - 1]
        end = self.data.find(b"\n", start)
        text = self.data[start:] if end < 0 else self.data[start:end]
        return text.removesuffix(b"\r")

    def indent_at(self, offset: int) -> bytes:
        """Return the blanks at the start of the line that holds `offset`."""
        start = self.line_start(offset)
        end = start
        while end < len(self.data) and self.data[end] in b" \t":
            end += 1
        return self.data[start:end]

    @cached_property
    def newline(self) -> bytes:
        """Return the line ending that most lines of the file have."""
        crlf = self.data.count(b"\r\n")
        return b"\r\n" if crlf * 2 > self.data.count(b"\n") else b"\n"
