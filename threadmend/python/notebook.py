"""Notebooks: the code cells of an .ipynb file as one Python text, and the way back.

A rule sees Python; findings and edits are translated into places of the JSON text, so that
outputs, metadata and every other cell stay byte for byte. Lines for the shell and magics are
masked without a change of length.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from threadmend.model import Edit, Finding, Fix
from threadmend.python.newer import parsed
from threadmend.source import UnreadableError

__all__ = ["Notebook", "read", "translated"]

_BLANK = re.compile(rb"[ \t\r\n]*+")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.S)
_SCALAR = re.compile(rb"[^\s,\]}]+")
_ESCAPE = re.compile(rb"\\u[dD][89abAB]\w\w\\u\w{4}|\\u\w{4}|\\.")
_MAGIC = re.compile(r"^[ \t]*(?:\w[\w.,\[\] \t]*=[ \t]*)?(?P<mark>[%!?])(?!=)", re.M)
_HELP = re.compile(r"^[ \t]*(?P<mark>[\w.]+)\?\??[ \t]*$", re.M)
_PYTHON_MAGICS = frozenset({"time", "timeit", "capture", "prun", "python", "python3"})


class _Text(NamedTuple):
    """A JSON string: where its content lies, without the quotes."""

    start: int
    end: int


class _Piece(NamedTuple):
    """Bytes of the Python text and of the JSON text that mean the same."""

    python: int
    json: int
    length: int
    """In the Python text; pieces of one byte each, or an escape as a whole."""
    plain: bool


@dataclass(frozen=True, slots=True)
class _Cell:
    """Where the text of a cell ends, in both texts, and what stands between its strings."""

    start: int
    end: int
    json_end: int
    between: bytes | None
    """`",\\n    "` between the lines of a list; None for a cell that is one string."""


class Notebook:
    """The code of a notebook as Python (`data`), with a map from its bytes to the file's."""

    def __init__(self, path: str, text: bytes) -> None:
        self.path = path
        self._text = text
        self._pieces: list[_Piece] = []
        self._cells: list[_Cell] = []
        self._parts: list[bytes] = []
        self._length = 0
        for strings in _code_cells(text):
            self._add(strings)
        self.data = b"".join(self._parts)
        self._starts = [piece.python for piece in self._pieces]

    def _add(self, strings: list[_Text]) -> None:
        start, code = self._length, bytearray()
        for string in strings:
            for piece, content in _pieces(self._text, string):
                self._pieces.append(piece._replace(python=start + len(code)))
                code += content
        if not code.strip():
            del self._pieces[bisect_right([p.python for p in self._pieces], start - 1) :]
            return
        between = None
        if len(strings) > 1:
            between = self._text[strings[0].end : strings[1].start]
        elif self._text[strings[0].start - 2 : strings[0].start - 1] != b":":
            between = _indented(self._text, strings[0].start)
        end = start + len(code)
        self._cells.append(_Cell(start, end, strings[-1].end, between))
        # An empty line between two cells keeps what is added at the end of one apart from
        # what is added at the start of the next.
        self._parts += [masked(bytes(code)), b"\n\n"]
        self._length = end + 2

    # -- the way back ---------------------------------------------------------------------

    def _cell(self, offset: int) -> _Cell:
        at = bisect_right([cell.start for cell in self._cells], offset) - 1
        return self._cells[max(at, 0)]

    def offset(self, offset: int) -> int:
        """Return where a byte of the Python text stands in the file."""
        if not self._cells:
            return 0
        cell = self._cell(offset)
        if offset >= cell.end:
            return cell.json_end
        piece = self._pieces[bisect_right(self._starts, offset) - 1]
        return piece.json + (offset - piece.python if piece.plain else 0)

    def edit(self, edit: Edit) -> Edit:
        """Return an edit of the Python text as one of the file; lists stay one line each."""
        cell = self._cell(edit.start)
        new = edit.new.decode()
        start, end = self.offset(edit.start), self.offset(edit.end)
        if edit.start > cell.end and new:
            new = "\n" + new.removesuffix("\n")  # behind the last line of a cell
        elif edit.start <= cell.end < edit.end:
            new = new.removesuffix("\n")
        code = json.dumps(new, ensure_ascii=False)[1:-1]
        if cell.between is not None:
            between = len(cell.between)
            last = not code and end == cell.json_end and edit.start > cell.start
            if last and start < end and self._text[start - between : start] == cell.between:
                return Edit(edit.path, start - between, end, b"")  # no empty line in the list
            code = code.replace("\\n", "\\n" + cell.between.decode())
        return Edit(edit.path, start, max(start, end), code.encode())


def translated(found: Finding, notebook: Callable[[str], Notebook | None]) -> Finding:
    """Return a finding with the places of the files instead of those of notebooks' Python."""

    def place(path: str, offset: int) -> int:
        book = notebook(path)
        return offset if book is None else book.offset(offset)

    def edited(edit: Edit) -> Edit:
        book = notebook(edit.path)
        return edit if book is None else book.edit(edit)

    paths = {found.path, *(r.path for r in found.related)}
    paths.update(edit.path for fix in found.fixes for edit in fix.edits)
    if not any(path.endswith(".ipynb") for path in paths):
        return found
    fixes = tuple(replace(fix, edits=tuple(map(edited, fix.edits))) for fix in found.fixes)
    kept = tuple(fix for fix in fixes if not _overlap(fix))
    start = place(found.path, found.start)
    return replace(
        found,
        start=start,
        end=max(start, place(found.path, found.end)),
        fixes=kept,
        reason=found.reason if kept or not fixes else "the edits touch each other in the JSON",
        related=tuple(
            replace(r, start=place(r.path, r.start), end=place(r.path, r.end))
            for r in found.related
        ),
    )


def _overlap(fix: Fix) -> bool:
    """Return whether edits that lay side by side in Python no longer do in JSON."""
    pairs = zip(fix.edits, fix.edits[1:], strict=False)
    return any(a.path == b.path and a.end > b.start for a, b in pairs)


def read(path: str, text: bytes) -> Notebook:
    """Return the notebook of a file; raises UnreadableError when it is none."""
    try:
        return Notebook(path, text)
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise UnreadableError(path, "is no notebook that can be read") from None


def _indented(text: bytes, start: int) -> bytes:
    """Return what separates lines where there is only one: its own indentation again."""
    line = text.rfind(b"\n", 0, start) + 1
    return b'",\n' + text[line:start]


def _pieces(text: bytes, string: _Text) -> Iterator[tuple[_Piece, bytes]]:
    """Yield the runs of a string and what they are in Python."""
    at = string.start
    for escape in _ESCAPE.finditer(text, string.start, string.end):
        if escape.start() > at:
            yield _Piece(0, at, escape.start() - at, True), text[at : escape.start()]
        said: str = json.loads(b'"' + escape[0] + b'"')
        content = said.encode("utf-8")
        yield _Piece(0, escape.start(), len(content), False), content
        at = escape.end()
    if string.end > at:
        yield _Piece(0, at, string.end - at, True), text[at : string.end]


def masked(code: bytes) -> bytes:
    """Return a cell with magics and shell lines as `0#…`, of the same length; one that is no
    Python even so as comments: it does not run either, and the others do.
    """
    text = code.decode()
    if _parses(text):
        return code  # `% b` at the start of a line may go on with the one above
    first = text.lstrip().partition("\n")[0]
    if first.startswith("%%"):
        words = first[2:].split()
        if not words or words[0] not in _PYTHON_MAGICS:
            return re.sub(rb"[^\n]", b"#", code)
        at = text.index("%%")
        text = f"{text[:at]}0#{text[at + 2 :]}"
    for pattern in (_MAGIC, _HELP):
        for found in reversed(list(pattern.finditer(text))):
            text = _covered(text, found.start("mark"))
    return text.encode() if _parses(text) else re.sub(rb"[^\n]", b"#", code)


def _parses(text: str) -> bool:
    try:
        parsed(text.encode())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _covered(text: str, at: int) -> str:
    """Replace the letter at a place by 0 and the next, where it is ASCII, by a comment."""
    following = text[at + 1 : at + 2]
    if following in {"", "\n"} or not following.isascii():
        return f"{text[:at]}0{text[at + 1 :]}"
    return f"{text[:at]}0#{text[at + 2 :]}"


# -- JSON with places -----------------------------------------------------------------------


def _code_cells(text: bytes) -> Iterator[list[_Text]]:
    """Yield the strings of every code cell's source."""
    top, _ = _value(text, _skip(text, 0))
    if not isinstance(top, dict):
        raise ValueError("no object")
    cells = top.get("cells")
    if cells is None:
        cells = [cell for sheet in top["worksheets"] for cell in sheet["cells"]]
    for cell in cells:
        kind = cell["cell_type"]
        if text[kind.start : kind.end] == b"code":
            source = cell.get("source", cell.get("input"))
            strings = source if isinstance(source, list) else [source]
            if strings:
                yield strings


def _skip(text: bytes, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _value(text: bytes, at: int) -> tuple[Any, int]:
    """Return a value with its strings as places, and where it ends."""
    mark = text[at : at + 1]
    if mark == b'"':
        found = _STRING.match(text, at)
        if found is None:
            raise ValueError("a string does not end")
        return _Text(at + 1, found.end() - 1), found.end()
    if mark == b"{":
        return _object(text, _skip(text, at + 1))
    if mark == b"[":
        return _array(text, _skip(text, at + 1))
    scalar = _SCALAR.match(text, at)
    if scalar is None:
        raise ValueError("a value is missing")
    return None, scalar.end()


def _object(text: bytes, at: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while text[at : at + 1] != b"}":
        key, at = _value(text, at)
        at = _skip(text, at)
        if text[at : at + 1] != b":":
            raise ValueError("a colon is missing")
        value, at = _value(text, _skip(text, at + 1))
        found[text[key.start : key.end].decode()] = value
        at = _next(text, at, b"}")
    return found, at + 1


def _array(text: bytes, at: int) -> tuple[list[Any], int]:
    found: list[Any] = []
    while text[at : at + 1] != b"]":
        value, at = _value(text, at)
        found.append(value)
        at = _next(text, at, b"]")
    return found, at + 1


def _next(text: bytes, at: int, end: bytes) -> int:
    """Step over a comma; what follows is a value, or the end."""
    at = _skip(text, at)
    if text[at : at + 1] == b",":
        return _skip(text, at + 1)
    if text[at : at + 1] != end:
        raise ValueError("a comma is missing")
    return at
