"""Parameters that are called as a class is, and used as its objects are: `def run(block)`, where
there is a class `Block`; or kept in an attribute of the name, which is.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from threadmend.python.functions import attributes_of
from threadmend.python.names import bound
from threadmend.python.scope import Binding, Site, parent

if TYPE_CHECKING:
    from threadmend.python.classes import Class
    from threadmend.python.file import PythonFile

__all__ = ["class_named_after"]

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def class_named_after(file: PythonFile, site: Site) -> Class | None:
    """Return the class of a file, or one that it imports, after which a parameter is named that
    nobody says anything else of: whatever is asked of it in its function, that class has.
    """
    if not isinstance(site.node, ast.arg) or site.annotation is not None:
        return None
    name = site.node.arg
    named = _names(file).get(name)
    arguments = parent(site.node.parent_) if named is not None else None  # type: ignore[attr-defined]
    function = file.function(arguments) if arguments is not None else None
    if named is None or function is None:
        return None
    binding = function.scope.bindings.get(name)
    if binding is None or len(binding.sites) != 1 or function.self_name == name:
        return None
    cls = _class(file, named)
    uses = file.uses(binding)
    asked = {node.attr for use in uses if (node := _asked(use)) is not None}
    if not asked and len(uses) == 1 and _is_kept(uses[0]):
        kept = (_asked(node) for node in attributes_of(file).get(name, ()))
        asked = {node.attr for node in kept if node is not None}
    return cls if cls is not None and asked and all(map(cls.has, asked)) else None


def _is_kept(use: ast.Name) -> bool:
    """Return whether a statement keeps a parameter in an attribute of its name, or hands it to who
    does: `self.ledger = ledger`, `Server(ledger)`.
    """
    above = parent(use)
    if isinstance(above, ast.Call):
        return use in above.args
    target = above.targets[0] if isinstance(above, ast.Assign) and len(above.targets) == 1 else None
    return isinstance(target, ast.Attribute) and target.attr == use.id


def _asked(use: ast.expr) -> ast.Attribute | None:
    above = parent(use)
    return above if isinstance(above, ast.Attribute) else None


def _names(file: PythonFile) -> dict[str, Binding]:
    """Return the classes of a module and what it imports, by how a variable for one is called."""
    known: dict[str, Binding] | None = file.__dict__.get("_snake_names")
    if known is None:
        known = file.__dict__["_snake_names"] = {
            _WORDS.sub("_", name).lower(): binding
            for name, binding in file.tree.scopes[0].bindings.items()
            if name[:1].isupper() and not name.isupper()
        }
    return known


def _class(file: PythonFile, binding: Binding) -> Class | None:
    site = binding.sites[0]
    if len(binding.sites) != 1:
        return None
    if isinstance(site.node, ast.ClassDef):
        return file.class_of(site.node)
    if site.kind != "import":
        return None
    name = bound(file, binding)
    return None if name is None else file.project.class_named(name)
