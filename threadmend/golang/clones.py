"""Clones: the code that copies a slice or map, in the form that the file's Go version knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.builders import add_import, free_name, import_name, taken_names
from threadmend.golang.scope import resolve_local
from threadmend.golang.syntax import Node
from threadmend.golang.types import Map, Slice
from threadmend.model import Edit

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.types import Type

__all__ = ["clone", "map_loop"]

_GENERIC_PACKAGES = (1, 21)


def clone(
    file: GoFile, function: Node, value: str, type_: Type | None
) -> tuple[str, tuple[Edit, ...]] | None:
    """Return an expression that copies a slice or map, and the edits for its import.

    nil stays nil and empty stays empty. `value` is evaluated twice where `slices` is not to
    be had, so it must be a path. None for a map before Go 1.21: see `map_loop`.
    """
    under = file.underlying(type_)
    if isinstance(under, Slice):
        found = _package(file, function, "slices")
        if found is not None:
            return f"{found[0]}.Clone({value})", found[1]
        return f"append({value}[:0:0], {value}...)", ()
    if isinstance(under, Map):
        found = _package(file, function, "maps")
        if found is not None:
            return f"{found[0]}.Clone({value})", found[1]
    return None


def _package(file: GoFile, function: Node, path: str) -> tuple[str, tuple[Edit, ...]] | None:
    """Return the name by which `slices` or `maps` can be used in a function."""
    experimental = f"golang.org/x/exp/{path}"
    if file.imported(path) == experimental:
        return (path, ()) if not _is_hidden(file, function, path) else None
    if file.go_version < _GENERIC_PACKAGES:
        return None
    name = import_name(file.tree, path, package=path)
    if name is not None:
        return (name, ()) if not _is_hidden(file, function, name) else None
    if file.imported(path) is not None or file.package.lookup(path) is not None:
        return None
    if _is_hidden(file, function, path):
        return None
    return path, add_import(file.tree, path)


def _is_hidden(file: GoFile, function: Node, name: str) -> bool:
    """Return whether the function has a name of its own that would hide the package."""
    if file.package.lookup(name) is not None:
        return True
    return any(
        node.name == name and resolve_local(node) is not None
        for node in function.find("identifier")
    )


def map_loop(function: Node, name: str, value: str, type_text: str, *, declare: bool = True) -> str:
    """Return statements that copy a map into a variable, element by element; nil stays nil."""
    taken = set(taken_names(function)) | {name}
    key = free_name("k", taken)
    element = free_name("v", taken | {key})
    first = f"var {name} {type_text}\n" if declare else ""
    return (
        f"{first}if {value} != nil {{\n"
        f"\t{name} = make({type_text}, len({value}))\n"
        f"\tfor {key}, {element} := range {value} {{\n"
        f"\t\t{name}[{key}] = {element}\n"
        "\t}\n"
        "}"
    )
