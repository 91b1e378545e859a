"""Remarks that excuse a line from other linters which say the same (`# noqa: RUF006`)."""

from __future__ import annotations

import ast
import re

from threadmend.python.file import PythonFile

__all__ = ["excused"]

_NOQA = re.compile(rb"#[ \t]*noqa:([ \t]*[A-Z][A-Z0-9, \t]*)", re.I)


def excused(file: PythonFile, node: ast.AST, *codes: str) -> bool:
    """Return whether a line of a node's statement carries a `noqa` of one of these codes, or of
    a family (`ASYNC` for `ASYNC251`).
    """
    if b"noqa" not in file.data:
        return False
    source = file.tree.source
    start, end = file.span(file.statement(node))
    text = file.data[source.line_start(start) : source.line_end(end)]
    said = {
        code.upper()
        for found in _NOQA.finditer(text)
        for code in re.split(r"[,\s]+", found[1].decode().strip())
    }
    return any(code.startswith(one) for one in said if one for code in codes)
