"""Getters: methods that only hand out a channel that a field holds.

func (s *T) Updates() <-chan int { return s.updates }   // x.Updates() is x.updates
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.calls import callers, importers
from threadmend.golang.locks import declaration_of
from threadmend.golang.syntax import Node
from threadmend.golang.targets import targets
from threadmend.golang.types import Chan
from threadmend.golang.uses import is_api

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl

__all__ = ["calls_of_getter", "returned_field"]


def returned_field(file: GoFile, call: Node) -> tuple[GoFile, Node] | None:
    """Return the field that a method returns, when it returns nothing else but nil."""
    if not isinstance(file.underlying(file.type_of(call)), Chan):
        return None
    certain = targets(file, call).certain
    if certain is None or certain.decl is None or certain.node.text.count(b"return") > 3:
        return None
    fields = []
    for statement in certain.node.own():
        if statement.kind == "return_statement":
            values = statement.children[1].children if len(statement.children) > 1 else []
            if len(values) != 1 or values[0].kind not in {"nil", "selector_expression"}:
                return None
            fields += [v for v in values if v.kind != "nil"]
    return (certain.file, fields[0]) if len(fields) == 1 else None


def calls_of_getter(file: GoFile, node: Node) -> list[tuple[GoFile, Node]] | None:
    """Return the calls of `func (s *T) Done() <-chan X { return s.done }`, if all can be seen."""
    group = node.parent
    statement = group.parent if group is not None else None
    if statement is None or statement.kind != "return_statement" or len(group.children) != 1:  # type: ignore[union-attr]
        return None
    function = node.function
    decl = declaration_of(file, function) if function is not None else None
    if decl is None or is_api(decl) or _is_called_elsewhere(decl):
        return None
    found = []
    for site in callers(decl):
        certain = targets(site.file, site.call).certain if site.call is not None else None
        if site.call is None or certain is None or certain.node is not decl.node:
            return None
        found.append((site.file, site.call))
    return found or None  # who calls it, if nobody here does?


def _is_called_elsewhere(decl: Decl) -> bool:
    """Return whether a method may be called by packages that do not know its type.

    Through an interface of theirs, as `context` calls Done.
    """
    if not decl.exported or decl.kind != "method":
        return False
    package = decl.file.package
    near = {p.directory for p in (package, *importers(package))}
    called = f".{decl.name}(".encode()
    return decl.name == "Done" or any(
        called in package.workspace.source(path).data
        for path in package.workspace.go_files
        if path.rpartition("/")[0] not in near
    )
