"""Arguments that are added to a call."""

from __future__ import annotations

import ast

from threadmend.model import Edit
from threadmend.python.arguments import given_to
from threadmend.python.builders import BuilderError
from threadmend.python.file import PythonFile

__all__ = ["with_argument"]


def with_argument(file: PythonFile, call: ast.Call, text: str) -> Edit:
    """Return the edit that adds an argument at the end, in the style of the call."""
    end = file.span(call)[1] - 1
    at = len(file.data[:end].rstrip())
    given = given_to(call)
    if not given:
        return Edit(file.path, at, at, file.encode(text))
    last = file.span(max(given, key=lambda node: file.span(node)[1]))[1]
    if b"#" in file.data[last:end]:
        raise BuilderError("a comment stands behind the last argument")
    if not file.data[:at].endswith(b","):
        return Edit(file.path, at, at, file.encode(f", {text}"))
    between = file.data[at:end]
    if b"\n" not in between:
        return Edit(file.path, at, at, file.encode(f" {text}"))
    line = file.data[file.data.rfind(b"\n", 0, last) + 1 : last]
    indent = line[: len(line) - len(line.lstrip())]
    return Edit(file.path, at, at, file.source.newline + indent + file.encode(f"{text},"))
