"""Qualified names: what a name or dotted name means, through imports and re-exports."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from threadmend.python import api
from threadmend.python.scope import Binding, Site

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile

__all__ = ["bound", "qualified"]

_DEPTH = 12


def qualified(file: PythonFile, node: ast.AST | None) -> str | None:
    """Return what a name or dotted name means: see PythonFile.qualified."""
    if isinstance(node, ast.Attribute):
        base = qualified(file, node.value)
        return None if base is None else _public(file, f"{base}.{node.attr}")
    if not isinstance(node, ast.Name):
        return None
    binding = file.binding(node)
    if binding is None:
        return node.id
    return bound(file, binding)


def bound(file: PythonFile, binding: Binding) -> str | None:
    """Return what a variable of a file names, None for a local one."""
    imports = [site for site in binding.sites if site.kind == "import"]
    others = [site for site in binding.sites if site.kind != "import"]
    if imports and all(site.kind in {"def", "class", "assign"} for site in others):
        # `try: import queue` / `except ImportError: import Queue as queue`: the first that
        # is known speaks for all.
        names = [_imported(file, site, binding.name) for site in imports]
        known = [name for name in names if name and api.canonical(name) != name]
        return _public(file, (known or names)[0] or binding.name)
    if len(binding.sites) == 1 and binding.sites[0].kind in {"def", "class"}:
        if binding.scope.kind == "module":
            return f"{file.module}.{binding.name}"
        return f"{file.module}.{_path(binding)}"
    if len(binding.sites) == 1 and binding.scope.kind in {"module", "class"}:
        value = binding.sites[0].value
        if isinstance(value, ast.Name | ast.Attribute) and value is not binding.sites[0].node:
            return _alias(file, value, binding)
        return f"{file.module}.{_path(binding)}"
    if binding.scope.kind == "module":
        return f"{file.module}.{binding.name}"
    return None


def _alias(file: PythonFile, value: ast.expr, binding: Binding) -> str:
    """Return what `Lock = threading.Lock` names, or the name itself when that is a variable."""
    root = value
    while isinstance(root, ast.Attribute):
        root = root.value
    known = file.binding(root)
    if known is not None and known is not binding:
        if any(site.kind in {"import", "class", "def"} for site in known.sites):
            found = qualified(file, value)
            if found is not None:
                return found
    return f"{file.module}.{_path(binding)}"


def _path(binding: Binding) -> str:
    parts = [binding.name]
    scope = binding.scope
    while scope.above is not None:
        name = getattr(scope.node, "name", "<lambda>")
        parts.append(name if scope.kind == "class" else f"{name}.<locals>")
        scope = scope.above
    return ".".join(reversed(parts))


def _imported(file: PythonFile, site: Site, name: str) -> str | None:
    alias, node = site.alias, site.node
    if alias is None:
        return None
    if isinstance(node, ast.Import):
        return alias.name if alias.asname else name
    assert isinstance(node, ast.ImportFrom)
    base = node.module or ""
    if node.level:
        parts = file.module.split(".")
        keep = len(parts) - node.level + (1 if file.is_package else 0)
        base = ".".join(filter(None, [*parts[: max(keep, 0)], base]))
    return f"{base}.{alias.name}" if base else alias.name


def _public(file: PythonFile, name: str) -> str:
    """Follow re-exports of the project, then private names of the standard library."""
    for _ in range(_DEPTH):
        found = file.project.find(name) if "." in name else None
        if found is None:
            break
        other, tail = found
        head, _, rest = tail.partition(".")
        if other is file or not head:
            break
        binding = other.tree.scopes[0].bindings.get(head)
        if binding is None:
            break
        target = bound(other, binding)
        if target is None or target == f"{other.module}.{head}":
            break
        name = f"{target}.{rest}" if rest else target
    return api.canonical(name)
