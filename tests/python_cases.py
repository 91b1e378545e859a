"""Python files in memory for tests of the fact layer and the builders."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

from threadmend.model import Edit
from threadmend.project import Project
from threadmend.python.builders import applied
from threadmend.python.file import PythonFile
from threadmend.python.project import PythonProject


def project_of(**files: str | bytes) -> PythonProject:
    """Return a project of files by module name: `pkg__mod="…"` is pkg/mod.py."""
    overlay: dict[str, bytes | None] = {
        _path(name): text.encode() if isinstance(text, str) else text
        for name, text in files.items()
    }
    return Project(Path("/nowhere"), sorted(overlay), overlay=overlay).python


def _path(name: str) -> str:
    return f"{name.replace('__', '/')}.py".replace("/init.py", "/__init__.py")


def file_of(text: str | bytes) -> PythonFile:
    """Return one file, a.py."""
    return project_of(a=text).file("a.py")


def after(file: PythonFile, edits: Sequence[Edit]) -> str:
    """Return the text after edits; it has to parse."""
    data = applied(file, edits)
    ast.parse(data)
    return data.decode(file.tree.encoding)


def statement(file: PythonFile, text: str) -> ast.stmt:
    """Return the first statement whose source begins with a text."""
    for node in file.nodes(*file.tree.by_type):
        if isinstance(node, ast.stmt) and file.text(node).startswith(text):
            return node
    raise AssertionError(f"no statement {text}")


def expression(file: PythonFile, text: str, number: int = 0) -> ast.expr:
    """Return an expression with just this source."""
    found = [
        node
        for node in file.nodes(*file.tree.by_type)
        if isinstance(node, ast.expr) and file.text(node) == text
    ]
    return found[number]
