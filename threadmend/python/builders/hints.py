"""Annotations of code that is added: a module that says the types of everything goes on to."""

from __future__ import annotations

import ast
import re

from threadmend.model import Edit
from threadmend.python.builders.imports import reference
from threadmend.python.builders.lines import BuilderError
from threadmend.python.file import PythonFile

__all__ = ["hint", "is_annotated", "nothing"]

_NAME = re.compile(r"[A-Za-z_]\w*(?:\.\w+)+")
_SUBSCRIPTS = (3, 9)
"""Since when `set[int]` and `Future[int]` may be written where they are evaluated."""


def is_annotated(file: PythonFile) -> bool:
    """Return whether every function of a module says what it returns, and there is one."""
    known: bool | None = file.__dict__.get("_is_annotated")
    if known is None:
        nodes = file.nodes(ast.FunctionDef, ast.AsyncFunctionDef)
        known = bool(nodes) and all(_says_so(node) for node in nodes)
        file.__dict__["_is_annotated"] = known
    return known


def _says_so(node: ast.stmt) -> bool:
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    if node.returns is not None:
        return True
    # An initializer need not say so when it says what it takes.
    return node.name == "__init__" and any(a.annotation is not None for a in node.args.args)


def nothing(file: PythonFile) -> str:
    """Return ` -> None` for a function of an annotated module, else nothing."""
    return " -> None" if is_annotated(file) else ""


def hint(file: PythonFile, text: str, at: ast.AST | None = None) -> tuple[str, tuple[Edit, ...]]:
    """Return `: text` for a variable or parameter of an annotated module, with the dotted names in
    it as the file calls them (`concurrent.futures.Future[typing.Any]`), and the edits of imports;
    nothing where that may not be written.
    """
    if not is_annotated(file):
        return "", ()
    later = b"from __future__ import annotations" in file.data
    if not later and file.python_version < _SUBSCRIPTS:
        return "", ()
    edits: list[Edit] = []
    try:
        for name in dict.fromkeys(_NAME.findall(text)):
            spelled, added = reference(file, name, at)
            text = text.replace(name, spelled)
            edits += added
    except BuilderError:
        return "", ()
    return f": {text}", tuple(edits)
