"""Place: which variable an expression is, comparable across functions and files."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, NamedTuple

from threadmend.python.flow import is_text
from threadmend.python.uses import is_self

if TYPE_CHECKING:
    from threadmend.python.classes import Class
    from threadmend.python.file import PythonFile
    from threadmend.python.functions import Function
    from threadmend.python.scope import Binding

__all__ = ["Place", "only_result", "only_statement", "place_of", "shown_by"]


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
    """Return the place of a name or attribute; None for anything computed.

    Another name of something is its place (`lock = self._lock`, `me = self`), as are a property
    and a method that return it and do nothing else.
    """
    if isinstance(node, ast.Name):
        return _name(file, node)
    if isinstance(node, ast.Attribute):
        return _attribute(file, node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _shown(file, node, node.func.value)
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
    same = _named_again(file, binding)
    if same is not None:
        return same
    line = getattr(scope.node, "lineno", 0)
    name = getattr(scope.node, "name", "<lambda>")
    return Place("local", f"{file.module}.{name}:{line}", node.id)


def _named_again(file: PythonFile, binding: Binding) -> Place | None:
    """Return the place that a local variable is another name of for good: what it is set to, once,
    is never set again.
    """
    known: dict[Binding, Place | None] = file.__dict__.setdefault("_named_again", {})
    if binding not in known:
        known[binding] = None  # what leads back to itself is no other name
        site = binding.sites[0]
        plain = len(binding.sites) == 1 and site.kind == "assign"
        if plain and isinstance(site.value, ast.Name | ast.Attribute):
            if _is_lasting(file, site.value):
                known[binding] = place_of(file, site.value)
    return known[binding]


def _is_lasting(file: PythonFile, node: ast.expr) -> bool:
    """Return whether a variable keeps what it is first set to."""
    if isinstance(node, ast.Name):
        binding = file.binding(node)
        return binding is not None and [site.kind for site in binding.sites] in (
            ["assign"],
            ["parameter"],
        )
    value = file.value(node.value) if isinstance(node, ast.Attribute) else None
    if value is None or value.cls is None or not isinstance(node, ast.Attribute):
        return False
    shown = shown_by(file, node)
    if shown is not None:
        return _is_lasting(*shown)
    return value.cls.is_lasting(node.attr)


def only_result(function: Function) -> ast.expr | None:
    """Return what a function returns that does nothing else than to give it a name at most."""
    only, names = only_statement(function)
    value = only.value if isinstance(only, ast.Return) else None
    return names.get(value.id, value) if isinstance(value, ast.Name) else value


def only_statement(function: Function) -> tuple[ast.stmt | None, dict[str, ast.expr]]:
    """Return the statement that a function consists of, and what it has given names before:
    `jobs = self._jobs`, or `job = self._jobs.get()` in front of `return job`.
    """
    body = [statement for statement in function.body if not is_text(statement)]
    names: dict[str, ast.expr] = {}
    for statement in body[:-1]:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        if not isinstance(statement, ast.Assign) or not isinstance(target, ast.Name):
            return None, {}
        is_name = isinstance(statement.value, ast.Name | ast.Attribute)
        is_result = statement is body[-2] and _returns(body[-1], target.id)
        if len(statement.targets) > 1 or not (is_name or is_result) or target.id in names:
            return None, {}
        names[target.id] = statement.value
    return (body[-1] if body else None), names


def _returns(statement: ast.stmt, name: str) -> bool:
    value = statement.value if isinstance(statement, ast.Return) else None
    return isinstance(value, ast.Name) and value.id == name


def shown_by(file: PythonFile, node: ast.expr) -> tuple[PythonFile, ast.expr] | None:
    """Return the variable that a property shows, or a method that is called without arguments:
    `self._lock` of `self.lock` and of `self.exclusive()`.
    """
    is_call = isinstance(node, ast.Call) and not node.args and not node.keywords
    named = node.func if isinstance(node, ast.Call) and is_call else node
    owner = file.value(named.value) if isinstance(named, ast.Attribute) else None
    if owner is None or owner.cls is None or owner.is_class or not isinstance(named, ast.Attribute):
        return None
    method = owner.cls.getter(named.attr)
    if is_call:
        method = owner.cls.method(named.attr) if method is None else None
    if method is None or method.is_async or len(method.parameters) != 1 or method.is_static:
        return None
    result = only_result(method)
    return (method.file, result) if isinstance(result, ast.Name | ast.Attribute) else None


def _shown(file: PythonFile, node: ast.expr, owner: ast.expr) -> Place | None:
    """Return the place that a property or a method shows, as who asks for it sees it."""
    shown = shown_by(file, node)
    inner = None if shown is None else place_of(*shown)
    if inner is None or inner.base != "self":
        return inner if inner is not None and inner.kind != "local" else None
    return inner._replace(base=_base(file, owner))


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
        other = cls.completed(node.attr) if is_self(file, node.value) else None
        held = other or cls.declarer(node.attr)
        if _is_of_class(held, node.attr) and not any(
            use.name == node.attr and use.mode == "write" for c in cls.mro for use in c.uses
        ):
            base = "class"
        else:
            shown = _shown(file, node, node.value)
            if shown is not None:
                return shown
            base = _base(file, node.value)
        return Place("attribute", held.qualified, node.attr, base)
    if file.qualified(node.value) is not None and owner is None:
        found = _global(file, node)
        if found is not None:
            return found
    inner = place_of(file, node.value)
    return None if inner is None else inner._replace(name=f"{inner.name}.{node.attr}")


def _base(file: PythonFile, node: ast.expr) -> str:
    """Return what tells apart the object that an expression is."""
    if is_self(file, node):
        return "self"
    inner = place_of(file, node)
    return "?" if inner is None else "/".join(inner)


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
