"""Lines: indentation, whole-line spans of statements, and what makes an edit impossible."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from threadmend.model import Edit
from threadmend.python.file import PythonFile

__all__ = [
    "BuilderError",
    "applied",
    "full_span",
    "indent_of",
    "indent_unit",
    "is_alone",
    "line_span",
    "lines_of",
]


class BuilderError(Exception):
    """The edit cannot be written well; the rule offers no fix, or another one."""


def applied(file: PythonFile, edits: Iterable[Edit]) -> bytes:
    """Return the bytes of a file after edits of one fix."""
    pieces, at = [], 0
    for edit in sorted(edits):
        pieces += [file.data[at : edit.start], edit.new]
        at = edit.end
    return b"".join([*pieces, file.data[at:]])


def with_comment(file: PythonFile, statement: ast.stmt) -> str:
    """Return a statement as it is written, with the comment behind it: to be moved whole."""
    start, end = full_span(file, statement)
    rest = file.data[end : file.source.line_end(end)].rstrip()
    text = file.data[start:end] + (rest if rest.lstrip().startswith(b"#") else b"")
    return text.decode(file.tree.encoding)


def full_span(file: PythonFile, statement: ast.stmt) -> tuple[int, int]:
    """Return the bytes of a statement with its decorators."""
    start, end = file.span(statement)
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    if decorators:
        first = file.span(decorators[0])[0]
        start = file.data.rfind(b"@", 0, first)
    return start, end


def is_alone(file: PythonFile, statement: ast.stmt) -> bool:
    """Return whether no other statement shares a line with this one: `a; b`, `if x: a`."""
    start, end = full_span(file, statement)
    if file.data[_line_start(file, start) : start].strip(b" \t\x0c\xef\xbb\xbf"):
        return False
    rest = file.data[end : _line_end(file, end)].strip()
    return not rest or rest.startswith(b"#")


def line_span(file: PythonFile, statement: ast.stmt) -> tuple[int, int]:
    """Return the whole lines of a statement, comment and line ending included.

    Raises BuilderError when it shares them.
    """
    if not is_alone(file, statement):
        raise BuilderError("the statement shares its line with another one")
    start, end = full_span(file, statement)
    return _line_start(file, start), _line_end(file, end)


def indent_of(file: PythonFile, statement: ast.stmt) -> bytes:
    """Return the blanks before a statement that stands alone."""
    start = full_span(file, statement)[0]
    return file.data[_line_start(file, start) : start].removeprefix(b"\xef\xbb\xbf")


def indent_unit(file: PythonFile, near: ast.stmt | None = None) -> bytes:
    """Return what one level of indentation is, where possible around `near`."""
    found: bytes | None = file.__dict__.get("_indent_unit")
    if found is None:
        found = file.__dict__["_indent_unit"] = _measured(file)
    if near is not None and is_alone(file, near):
        own = indent_of(file, near)
        if own and not own.strip(b"\t"):
            return b"\t"
        if own and b"\t" not in own and found == b"\t":
            return b"    "
    return found


def _measured(file: PythonFile) -> bytes:
    kinds = (ast.FunctionDef, ast.ClassDef, ast.If, ast.For, ast.With, ast.While)
    for node in file.nodes(*kinds):
        body: list[ast.stmt] = node.body  # type: ignore[attr-defined]
        assert isinstance(node, ast.stmt)
        if body and is_alone(file, node) and is_alone(file, body[0]):
            outer, inner = indent_of(file, node), indent_of(file, body[0])
            if inner.startswith(outer) and len(inner) > len(outer):
                return inner[len(outer) :]
    return b"    "


def lines_of(file: PythonFile, start: int, end: int) -> list[tuple[int, int]]:
    """Return (start, end) of every line that begins in some bytes."""
    tree = file.tree
    found = []
    for number in range(tree.line_of(start), len(tree.starts) + 1):
        at = tree.starts[number - 1]
        if at >= end:
            break
        if at >= start:
            stop = tree.starts[number] if number < len(tree.starts) else len(file.data)
            found.append((at, stop))
    return found


def text_lines(file: PythonFile, text: str, indent: bytes, unit: bytes) -> bytes:
    """Return code written with four blanks per level as lines of the file.

    Each line gets `indent`; levels become the file's unit, line endings the file's own.
    """
    out = []
    for line in text.rstrip("\n").split("\n"):
        bare = line.lstrip(" ")
        depth, rest = divmod(len(line) - len(bare), 4)
        lead = indent + unit * depth + b" " * rest if bare else b""
        out.append(lead + file.encode(bare) + file.source.newline)
    return b"".join(out)


def _line_start(file: PythonFile, offset: int) -> int:
    line = file.tree.line_of(offset)
    return file.tree.starts[line - 1] if line else 0


def _line_end(file: PythonFile, offset: int) -> int:
    line = file.tree.line_of(offset)
    starts = file.tree.starts
    return starts[line] if line < len(starts) else len(file.data)


def untouchable(file: PythonFile, block: Sequence[ast.stmt]) -> set[int]:
    """Return the starts of lines that lie inside of a string, where blanks are content."""
    found: set[int] = set()
    starts = file.tree.starts
    for statement in block:
        for node in ast.walk(statement):
            is_text = isinstance(node, ast.JoinedStr) or (
                isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
            )
            if not is_text or node.end_lineno == node.lineno:  # type: ignore[attr-defined]
                continue
            start, end = file.span(node)
            text = file.data[start:end]
            if b'"""' in text or b"'''" in text or b"\\\n" in text or b"\\\r" in text:
                first, last = file.tree.line_of(start), file.tree.line_of(end)
                found.update(starts[line - 1] for line in range(first + 1, last + 1))
    return found
