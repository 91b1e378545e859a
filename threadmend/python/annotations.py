"""Annotations: what kind of object they promise."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from threadmend.python.names import qualified
from threadmend.python.value import Value, agreed

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile

__all__ = ["DEPTH", "annotated"]

DEPTH = 12
"""How far an answer may be from the question."""

_OPTIONAL = frozenset({"typing.Optional", "typing.Final", "typing.ClassVar", "typing.Annotated"})
_BUILTIN_GENERICS = {
    "typing.Dict": "dict", "typing.List": "list", "typing.Set": "set",
    "typing.Deque": "collections.deque", "typing.DefaultDict": "collections.defaultdict",
}  # fmt: skip


def annotated(file: PythonFile, node: ast.expr | None, depth: int = 0) -> Value | None:
    """Return what an annotation promises: `Lock`, `"Lock"`, `Optional[Lock]`, `Lock | None`."""
    if node is None or depth > DEPTH:
        return None
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            inner = ast.parse(node.value.strip(), mode="eval").body
        except (SyntaxError, ValueError):
            return None
        for child in ast.walk(inner):
            child.scope_ = file.tree.scopes[0]  # type: ignore[attr-defined]
        return annotated(file, inner, depth + 1)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        sides = [s for s in (node.left, node.right) if not _is_none(s)]
        return agreed(annotated(file, side, depth + 1) for side in sides)
    if isinstance(node, ast.Subscript):
        name = qualified(file, node.value)
        if name in _OPTIONAL:
            inside = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) else node.slice
            return annotated(file, inside, depth + 1)
        return annotated(file, node.value, depth + 1)
    name = qualified(file, node)
    if name is None:
        return None
    name = _BUILTIN_GENERICS.get(name, name)
    cls = file.project.class_named(name) if "." in name else None
    return Value(name if cls is None else cls.qualified, file, None, cls)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
