"""Edits of statements: insert, replace, delete, wrap in a block, acquire … release to `with`.

Code is given as text with four blanks per level and LF; it is written with the file's own
indentation and line endings. All functions raise BuilderError when a statement shares its
line with another one.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from threadmend.model import Edit
from threadmend.python.builders.lines import (
    BuilderError,
    full_span,
    indent_of,
    indent_unit,
    is_alone,
    line_span,
    lines_of,
    text_lines,
    untouchable,
)
from threadmend.python.file import PythonFile
from threadmend.python.flow import block_of
from threadmend.python.newer import parsed
from threadmend.python.scope import parent

__all__ = [
    "comments_above",
    "delete",
    "insert_after",
    "insert_at_end",
    "insert_at_start",
    "insert_before",
    "put_under",
    "replace",
    "replace_statement",
    "unwrap",
    "wrap",
]

Edits = tuple[Edit, ...]


def insert_before(file: PythonFile, statement: ast.stmt, text: str) -> Edits:
    """Insert lines before a statement, below the comments above it."""
    start, _ = line_span(file, statement)
    code = text_lines(file, text, indent_of(file, statement), indent_unit(file, statement))
    return (Edit(file.path, start, start, code),)


def insert_after(file: PythonFile, statement: ast.stmt, text: str) -> Edits:
    """Insert lines after a statement (and the comment at its end)."""
    last = statement
    if not _ends_line(file, last):
        raise BuilderError("the statement shares its line with another one")
    indent = _block_indent(file, statement)
    code = text_lines(file, text, indent, indent_unit(file, statement))
    return (_at_line_end(file, full_span(file, last)[1], code),)


def insert_at_start(file: PythonFile, block: Sequence[ast.stmt], text: str) -> Edits:
    """Insert lines at the start of a block, after a docstring."""
    first = block[0]
    is_doc = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    if is_doc and isinstance(first.value.value, str):  # type: ignore[attr-defined]
        if isinstance(parent(first), ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return insert_after(file, first, text)
    return insert_before(file, first, text)


def insert_at_end(file: PythonFile, block: Sequence[ast.stmt], text: str) -> Edits:
    """Insert lines after the last statement of a block."""
    return insert_after(file, block[-1], text)


def replace(file: PythonFile, node: ast.expr, text: str) -> Edits:
    """Replace an expression, parentheses around it kept; `text` gets its own where it is a
    looser expression than what may stand there.
    """
    if not file.tree.is_placed(node):
        raise BuilderError("the place inside of the f-string is not known")
    start, end = file.span(node)
    if _needs_parentheses(file, node, text):
        text = f"({text})"
    code = file.encode(text).replace(b"\n", file.source.newline)
    return (Edit(file.path, start, end, code),)


def replace_statement(file: PythonFile, statement: ast.stmt, text: str) -> Edits:
    """Replace a statement by lines of code; the comment at its end stays."""
    start, end = full_span(file, statement)
    if "\n" in text.strip("\n") and not is_alone(file, statement):
        raise BuilderError("the statement shares its line with another one")
    if not is_alone(file, statement):
        return (Edit(file.path, start, end, file.encode(text.strip())),)
    indent = indent_of(file, statement)
    code = text_lines(file, text, indent, indent_unit(file, statement))
    code = code[len(indent) :].removesuffix(file.source.newline)
    return (Edit(file.path, start, end, code),)


def delete(file: PythonFile, statement: ast.stmt, *, comments: bool = True) -> Edits:
    """Delete a statement with its lines and, unless told otherwise, the comments right above.

    The only statement of a block becomes `pass`.
    """
    block = block_of(statement)
    start, end = full_span(file, statement)
    if not is_alone(file, statement):
        return (_delete_in_line(file, statement),)
    if len(block) == 1:
        return (Edit(file.path, start, end, b"pass"),)
    first, last = line_span(file, statement)
    if comments:
        first = comments_above(file, first, indent_of(file, statement))
    return (Edit(file.path, first, last, b""),)


def wrap(file: PythonFile, block: Sequence[ast.stmt], header: str, footer: str = "") -> Edits:
    """Put consecutive statements of one block under a header: `with self._lock:`, `try:`.

    Comments between them are indented as well, text inside of strings is not. `footer` are
    lines after them at the header's level (`finally:` and what it runs).
    """
    first, last = block[0], block[-1]
    start, _ = line_span(file, first)
    if not _ends_line(file, last):
        raise BuilderError("the statement shares its line with another one")
    _, end = full_span(file, last)
    indent, unit = indent_of(file, first), indent_unit(file, first)
    edits = [Edit(file.path, at, at, unit) for at in indented_lines(file, block, start, end)]
    head = text_lines(file, header, indent, unit)
    edits = [Edit(e.path, e.start, e.end, head + e.new) if e.start == start else e for e in edits]
    if footer:
        edits.append(_at_line_end(file, end, text_lines(file, footer, indent, unit)))
    return tuple(edits)


def put_under(
    file: PythonFile, statement: ast.stmt, header: str, block: Sequence[ast.stmt]
) -> Edits:
    """Replace a statement by a header, and put the statements that follow it under that; the
    comments at the end of its line and between them stay.
    """
    if not is_alone(file, statement) or not _ends_line(file, block[-1]):
        raise BuilderError("the statement shares its line with another one")
    start, end = full_span(file, statement)
    first, last = line_span(file, statement)[1], full_span(file, block[-1])[1]
    unit = indent_unit(file, statement)
    edits = [Edit(file.path, start, end, file.encode(header))]
    edits += [Edit(file.path, at, at, unit) for at in indented_lines(file, block, first, last)]
    return tuple(edits)


def unwrap(file: PythonFile, statement: ast.With | ast.AsyncWith) -> Edits:
    """Replace a `with` statement by its body: the header goes, the lines move a level out."""
    first, last = statement.body[0], statement.body[-1]
    if not is_alone(file, statement) or not is_alone(file, first) or not _ends_line(file, last):
        raise BuilderError("the statement shares its line with another one")
    start = line_span(file, statement)[0]
    [(_, stop)] = lines_of(file, start, start + 1)
    if not file.data[start:stop].rstrip().endswith(b":"):
        raise BuilderError("the header of the block is more than a line of code")
    outer, inner = indent_of(file, statement), indent_of(file, first)
    if not inner.startswith(outer):
        raise BuilderError("the indentation is not regular")
    kept = untouchable(file, statement.body)
    edits = [Edit(file.path, start, stop, b"")]
    for at, end in lines_of(file, stop, full_span(file, last)[1]):
        if at not in kept and file.data[at:end].startswith(inner):
            edits.append(Edit(file.path, at + len(outer), at + len(inner), b""))
    return tuple(edits)


def indented_lines(file: PythonFile, block: Sequence[ast.stmt], start: int, end: int) -> list[int]:
    """Return where a level of indentation has to go in to indent some lines."""
    kept = untouchable(file, block)
    return [
        at
        for at, stop in lines_of(file, start, end)
        if at not in kept and file.data[at:stop].strip()
    ]


# -- helpers --------------------------------------------------------------------------------


def _ends_line(file: PythonFile, statement: ast.stmt) -> bool:
    end = full_span(file, statement)[1]
    line = file.tree.line_of(end)
    starts = file.tree.starts
    stop = starts[line] if line < len(starts) else len(file.data)
    rest = file.data[end:stop].strip()
    return not rest or rest.startswith(b"#")


def _at_line_end(file: PythonFile, offset: int, code: bytes) -> Edit:
    line = file.tree.line_of(offset)
    starts = file.tree.starts
    at = starts[line] if line < len(starts) else len(file.data)
    if at == len(file.data) and not file.data.endswith((b"\n", b"\r")):
        newline = file.source.newline
        code = newline + code.removesuffix(newline)
    return Edit(file.path, at, at, code)


def _block_indent(file: PythonFile, statement: ast.stmt) -> bytes:
    for one in (statement, *block_of(statement)):
        if is_alone(file, one):
            return indent_of(file, one)
    raise BuilderError("the statement shares its line with another one")


def _delete_in_line(file: PythonFile, statement: ast.stmt) -> Edit:
    """Delete `b; ` of `a; b; c` and `; c` at the end; `if x: b` keeps a `pass`."""
    block = block_of(statement)
    start, end = full_span(file, statement)
    if len(block) == 1:
        return Edit(file.path, start, end, b"pass")
    number = block.index(statement)
    if number + 1 < len(block):
        following = full_span(file, block[number + 1])[0]
        if b"\n" not in file.data[end:following]:
            return Edit(file.path, start, following, b"")
    earlier = full_span(file, block[number - 1])[1]
    if number and b"\n" not in file.data[earlier:start]:
        return Edit(file.path, earlier, end, b"")
    raise BuilderError("the statement shares its line with another one")


def comments_above(file: PythonFile, at: int, indent: bytes) -> int:
    """Return where the comment that ends right above a line begins, else the line itself."""
    starts = file.tree.starts
    line = file.tree.line_of(at)
    while line > 1:
        text = file.data[starts[line - 2] : starts[line - 1]]
        bare = text.lstrip(b" \t")
        if not bare.startswith(b"#") or text[: len(text) - len(bare)] != indent:
            break
        if line == 2 and bare.startswith(b"#!"):
            break
        line -= 1
    return starts[line - 1]


_TIGHT = (ast.Name, ast.Constant, ast.Call, ast.Attribute, ast.Subscript, ast.List, ast.Dict,
          ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.JoinedStr)  # fmt: skip
_ROOMY = (ast.Expr, ast.Return, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.keyword,
          ast.If, ast.While, ast.Assert, ast.arguments)  # fmt: skip


def _needs_parentheses(file: PythonFile, node: ast.expr, text: str) -> bool:
    try:
        (only,) = parsed(f"(\n{text}\n)".encode()).body
    except (SyntaxError, ValueError):
        return False
    if not isinstance(only, ast.Expr):
        return False
    new = only.value
    above = parent(node)
    if text.startswith("(") and text.endswith(")") and not isinstance(new, ast.Tuple):
        if isinstance(ast.parse(f"f{text}", mode="eval").body, ast.Call):
            return False
    if isinstance(new, _TIGHT) or (
        isinstance(above, _ROOMY) and not isinstance(new, ast.NamedExpr)
    ):
        return False
    if isinstance(new, ast.Tuple):
        return not text.startswith("(")
    if isinstance(above, ast.Call) and node in above.args:
        return isinstance(new, ast.GeneratorExp) and len(above.args) + len(above.keywords) > 1
    start, end = file.span(node)
    left, right = file.data[:start].rstrip()[-1:], file.data[end:].lstrip()[:1]
    return not (left == b"(" and right == b")")
