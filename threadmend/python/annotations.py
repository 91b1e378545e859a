"""Annotations: what kind of object they promise."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from threadmend.python.flow import is_none
from threadmend.python.names import qualified
from threadmend.python.value import Value, agreed

if TYPE_CHECKING:
    from threadmend.python.classes import Class
    from threadmend.python.file import PythonFile

__all__ = ["DEPTH", "annotated", "annotated_element", "is_data"]

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
        return annotated(file, _parsed(file, node.value), depth + 1)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        sides = [s for s in (node.left, node.right) if not is_none(s)]
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


def is_data(file: PythonFile, node: ast.expr | None, depth: int = 0) -> bool:
    """Return whether an annotation promises something that nobody can call: `int`, `list[str]`,
    `float | None`, or an object of a class of the project that is known down to its last base and
    has no `__call__`.
    """
    if node is None or depth > DEPTH:
        return False
    if is_none(node):
        return True
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return is_data(file, _parsed(file, node.value), depth + 1)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return all(is_data(file, side, depth + 1) for side in (node.left, node.right))
    if isinstance(node, ast.Subscript):
        name = qualified(file, node.value)
        if name in _OPTIONAL or name == "typing.Union":
            inside = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            said = inside[:1] if name == "typing.Annotated" else inside
            return all(is_data(file, one, depth + 1) for one in said)
        return name in _DATA or (name or "").rpartition(".")[2].lower() in _MAPPINGS | _ROWS
    name = qualified(file, node)
    if name is None:
        return False
    if name in _DATA or name.rpartition(".")[2] in _NAMED:
        return True
    cls = file.project.class_named(name) if "." in name else None
    return cls is not None and cls.method("__call__") is None and _is_whole(cls)


def _is_whole(cls: Class) -> bool:
    """Return whether a class of the project has no base of other people, so that all of its
    methods are seen.
    """
    foreign = (len(set(one.base_names) - {"object"}) - len(one.bases) for one in cls.mro)
    return not any(foreign) and not cls.overrides("__call__")


def annotated_element(
    file: PythonFile, node: ast.expr | None, *, is_mapping: bool, depth: int = 0
) -> Value | None:
    """Return what an annotation promises of what a collection holds: `list[Lock]`, and the values
    of `dict[str, Lock]`.
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        node = _parsed(file, node.value)
    if not isinstance(node, ast.Subscript) or depth > DEPTH:
        return None
    name = qualified(file, node.value) or ""
    if name in _OPTIONAL and not isinstance(node.slice, ast.Tuple):
        return annotated_element(file, node.slice, is_mapping=is_mapping, depth=depth + 1)
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name.rpartition(".")[2].lower() not in (_MAPPINGS if is_mapping else _ROWS):
        return None
    return annotated(file, parts[-1], depth + 1) if len(parts) == 1 + is_mapping else None


_DATA = frozenset({"int", "float", "complex", "bool", "str", "bytes", "bytearray", "list", "dict",
                   "set", "frozenset", "tuple", "range", "memoryview", "typing.Tuple",
                   "decimal.Decimal", "fractions.Fraction", "pathlib.Path", "datetime.datetime",
                   "datetime.date", "datetime.timedelta", "uuid.UUID"})  # fmt: skip
_NAMED = frozenset({"Sequence", "Mapping", "List", "Dict", "Set"})
"""Names of collections that stand bare as well."""
_MAPPINGS = frozenset({"dict", "mapping", "mutablemapping", "ordereddict", "defaultdict"})
_ROWS = frozenset({"list", "sequence", "iterable", "iterator", "set", "deque", "collection",
                   "frozenset", "mutablesequence"})  # fmt: skip


def _parsed(file: PythonFile, text: str) -> ast.expr | None:
    """Return the expression that an annotation in quotes is."""
    try:
        inner = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None
    for child in ast.walk(inner):
        child.scope_ = file.tree.scopes[0]  # type: ignore[attr-defined]
    return inner
