"""What a called function does with its argument: known keepers, and the parameter's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["keeper", "parameter_name"]

_KEEPERS = {
    ("time", "AfterFunc"): "timer function",
    ("context", "AfterFunc"): "goroutine",
    ("net/http", "HandleFunc"): "stored function",
    ("net/http", "Handle"): "stored function",
    ("expvar", "Publish"): "stored function",
    ("runtime", "SetFinalizer"): "finalizer",
}
_KEEPING_METHODS = {
    ("golang.org/x/sync/errgroup.Group", "Go"): "goroutine",
    ("golang.org/x/sync/errgroup.Group", "TryGo"): "goroutine",
    ("sync.WaitGroup", "Go"): "goroutine",
    ("github.com/sourcegraph/conc.WaitGroup", "Go"): "goroutine",
    ("github.com/sourcegraph/conc/pool.Pool", "Go"): "goroutine",
    ("gopkg.in/tomb.v2.Tomb", "Go"): "goroutine",
    ("net/http.ServeMux", "HandleFunc"): "stored function",
    ("net/http.ServeMux", "Handle"): "stored function",
}
_METHODS = frozenset(name for _, name in _KEEPING_METHODS)


def keeper(file: GoFile, function: Node) -> str | None:
    """Return as what a called `x.F` keeps its function argument, None for others.

    The words are those of `closures.Later.how`.
    """
    name = function["field"].name
    operand = function["operand"]
    if operand.kind == "identifier" and file.binding(operand) is None:
        how = _KEEPERS.get((file.imported(operand.name) or "", name))
        if how is not None:
            return how
    if name not in _METHODS:
        return None
    selection = file.selection(function)
    owner = file.type_of(operand)
    owner = selection.owner if selection and selection.owner else owner
    for (type_name, method), how in _KEEPING_METHODS.items():
        if method == name and is_named(owner, type_name):
            return how
    return None


def parameter_name(function: Node, index: int | None) -> Node | None:
    """Return the parameter that receives an argument by its index; None for a variadic one."""
    if index is None:
        return None
    names: list[Node] = []
    for declaration in function["parameters"].children:
        if declaration.kind != "parameter_declaration":
            return names[index] if index < len(names) else None
        names += declaration.all("name")
    return names[index] if index < len(names) else None
