"""rewrite(): a LibCST transformer's change as minimal edits of bytes."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from threadmend.model import Edit
from threadmend.python.builders.lines import BuilderError, applied
from threadmend.python.file import PythonFile
from threadmend.python.newer import parsed

if TYPE_CHECKING:
    import libcst

__all__ = ["rewrite"]

_TOKEN = re.compile(rb"\w+|[ \t]+|\r?\n|.", re.S)


def rewrite(file: PythonFile, transformer: libcst.CSTTransformer) -> tuple[Edit, ...]:
    """Return the edits that a LibCST transformer amounts to; raises BuilderError.

    The transformer gets no metadata (positions of scopes cost a hundred times the parse): let
    it tell its nodes by source or by what encloses them. Lines that it leaves alone stay
    byte for byte; the result is checked to parse.
    """
    import libcst

    try:
        module = libcst.parse_module(file.data)
        new = module.visit(transformer).bytes
    except (libcst.ParserSyntaxError, UnicodeError) as error:
        raise BuilderError(f"LibCST does not read the file: {error}") from None
    edits = minimal_edits(file.path, file.data, new)
    if applied(file, edits) != new:
        raise BuilderError("the change cannot be written as edits")
    try:
        parsed(new)
    except (SyntaxError, ValueError):
        raise BuilderError("the result does not parse") from None
    return edits


def minimal_edits(path: str, before: bytes, after: bytes) -> tuple[Edit, ...]:
    """Return edits that lead from one text to another: by lines, then by words."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    edits: list[Edit] = []
    starts = _starts(old)
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag != "equal":
            text = b"".join(new[j1:j2])
            edits += _by_words(path, starts[i1], b"".join(old[i1:i2]), text)
    return tuple(edits)


def _by_words(path: str, at: int, before: bytes, after: bytes) -> list[Edit]:
    old, new = _TOKEN.findall(before), _TOKEN.findall(after)
    starts = _starts(old)
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    return [
        Edit(path, at + starts[i1], at + starts[i2], b"".join(new[j1:j2]))
        for tag, i1, i2, j1, j2 in matcher.get_opcodes()
        if tag != "equal"
    ]


def _starts(pieces: list[bytes]) -> list[int]:
    found = [0]
    for piece in pieces:
        found.append(found[-1] + len(piece))
    return found
