"""Place: which variable an expression is, comparable across functions and files."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, NamedTuple

from threadmend.python.classes import is_self

if TYPE_CHECKING:
    from threadmend.python.classes import Class
    from threadmend.python.file import PythonFile

__all__ = ["Place", "place_of"]


class Place(NamedTuple):
    """A variable: `kind` is `attribute`, `global` or `local`.

    `owner` is the qualified name of the class (the topmost of the project that assigns the
    attribute), the module, or the function with its line; `name` the (dotted) name there.
    `base` tells instances apart: `self`, `class` for what the class itself holds, else the
    text of the object's own place. Two equal places are the same variable, seen from the same
    object; `owner` and `name` alone are the class of a lock, for lock order.
    """

    kind: str
    owner: str
    name: str
    base: str = ""

    @property
    def anywhere(self) -> Place:
        """Return the place without its instance: the same for all objects of the class."""
        return self._replace(base="")

    def __str__(self) -> str:
        short = self.owner.rpartition(".")[2]
        return f"{short}.{self.name}" if self.kind == "attribute" else self.name


def place_of(file: PythonFile, node: ast.AST | None) -> Place | None:
    """Return the place of a name or attribute; None for anything computed."""
    if isinstance(node, ast.Name):
        return _name(file, node)
    if isinstance(node, ast.Attribute):
        return _attribute(file, node)
    return None


def _name(file: PythonFile, node: ast.Name) -> Place | None:
    binding = file.binding(node)
    if binding is None:
        return None
    if any(site.kind == "import" for site in binding.sites):
        return _global(file, node)
    scope = binding.scope
    if scope.kind == "module":
        return Place("global", file.module, node.id)
    if scope.kind == "class":
        assert isinstance(scope.node, ast.ClassDef)
        cls = file.class_of(scope.node)
        return Place("attribute", cls.declarer(node.id).qualified, node.id, "class")
    line = getattr(scope.node, "lineno", 0)
    name = getattr(scope.node, "name", "<lambda>")
    return Place("local", f"{file.module}.{name}:{line}", node.id)


def _global(file: PythonFile, node: ast.Name | ast.Attribute) -> Place | None:
    name = file.qualified(node)
    found = file.project.find(name) if name is not None else None
    if found is not None and found[1] and "." not in found[1]:
        return Place("global", found[0].module, found[1])
    if name is not None and "." in name:
        owner, _, last = name.rpartition(".")
        return Place("global", owner, last)
    return None


def _attribute(file: PythonFile, node: ast.Attribute) -> Place | None:
    owner = file.value(node.value)
    if owner is not None and owner.cls is not None:
        cls = owner.cls
        held = cls.declarer(node.attr)
        if _is_of_class(held, node.attr) and not any(
            use.name == node.attr and use.mode == "write" for c in cls.mro for use in c.uses
        ):
            base = "class"
        elif is_self(file, node.value):
            base = "self"
        else:
            inner = place_of(file, node.value)
            base = "?" if inner is None else "/".join(inner)
        return Place("attribute", held.qualified, node.attr, base)
    if file.qualified(node.value) is not None and owner is None:
        found = _global(file, node)
        if found is not None:
            return found
    inner = place_of(file, node.value)
    return None if inner is None else inner._replace(name=f"{inner.name}.{node.attr}")


def _is_of_class(cls: Class, name: str) -> bool:
    """Return whether the class statement gives an attribute a value that instances share."""
    binding = cls.scope.bindings.get(name)
    return binding is not None and any(
        site.kind == "assign"
        and not (
            isinstance(site.value, ast.Call)
            and cls.file.qualified(site.value.func) == "dataclasses.field"
        )
        for site in binding.sites
    )
