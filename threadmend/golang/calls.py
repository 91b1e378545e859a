"""The call graph: who calls a function or method, and where it is used as a value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package

__all__ = ["Site", "callers", "importers"]


@dataclass(slots=True)
class Site:
    """One use of a function: `call` is the call it is the callee of, None for a value.

    `launched`: the call is that of a `go` statement. `node` is the name that stands there.
    """

    file: GoFile
    node: Node
    call: Node | None

    @property
    def launched(self) -> bool:
        """Return whether a `go` statement makes the call."""
        parent = self.call.parent if self.call is not None else None
        return parent is not None and parent.kind == "go_statement"

    @property
    def deferred(self) -> bool:
        """Return whether a `defer` statement makes the call."""
        parent = self.call.parent if self.call is not None else None
        return parent is not None and parent.kind == "defer_statement"


def callers(decl: Decl) -> list[Site]:
    """Return every use of a function or method: in its package, if exported in importers too.

    For a method: every selector of its name whose receiver may be of its type; a selector
    with an unknown receiver counts as a use as a value, so that nobody takes silence for
    "no other callers".
    """
    package = decl.file.package
    known: dict[tuple[str, int], list[Site]] = package.facts.setdefault("callers", {})
    found = known.get(decl.key)
    if found is None:
        found = known[decl.key] = []
        packages = [package, *(importers(package) if decl.exported else ())]
        pattern = re.compile(rb"\b" + re.escape(decl.name.encode()) + rb"\b")
        for using in packages:
            for file in using.files:
                if pattern.search(file.data):
                    found.extend(_sites(file, decl, pattern))
    return found


def importers(package: Package) -> list[Package]:
    """Return the packages of the workspace that import a package."""
    workspace = package.workspace
    known: dict[str, list[Package]] = workspace.facts.setdefault("importers", {})
    found = known.get(package.path)
    if found is None:
        quoted = f'"{package.path}"'.encode()
        found = known[package.path] = [
            other
            for other in workspace.packages
            if other is not package
            and any(quoted in workspace.source(path).data for path in other.file_paths)
        ]
    return found


def _sites(file: GoFile, decl: Decl, pattern: re.Pattern[bytes]) -> list[Site]:
    found = []
    for declaration in file.tree.declarations:
        if not pattern.search(file.data, declaration.start, declaration.end):
            continue
        for node in declaration.node.walk():
            if node.children or node.name != decl.name or node.kind not in _NAMES:
                continue
            if node.parent is None or node is declaration.node.get("name"):
                continue
            if _means(file, node, decl):
                used = node.parent if node.field == "field" else node
                found.append(Site(file, node, _call_of(used)))
    return found


_NAMES = frozenset({"identifier", "field_identifier"})


def _means(file: GoFile, node: Node, decl: Decl) -> bool:
    parent = node.parent
    if node.field == "field" and parent is not None and parent.kind == "selector_expression":
        selection = file.selection(parent)
        if selection is None:
            return decl.kind == "method"
        if selection.decl is not None:
            return selection.decl.key == decl.key
        # An interface's method of this name may be this one.
        return selection.kind == "method" and decl.kind == "method" and selection.node is not None
    if decl.kind == "method" or node.kind != "identifier":
        return False
    meant = file.resolve(node)
    return getattr(meant, "key", None) == decl.key


def _call_of(function: Node) -> Node | None:
    inner, outer = function, function.parent
    while outer is not None and outer.kind in _AROUND:
        if outer.kind == "index_expression" and inner.field != "operand":
            return None
        inner, outer = outer, outer.parent
    if outer is not None and outer.kind == "call_expression" and inner.field == "function":
        return outer
    return None


_AROUND = frozenset(
    {"parenthesized_expression", "index_expression", "type_instantiation_expression"}
)
