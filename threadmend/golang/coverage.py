"""Context coverage: which waits can be cancelled, and where contexts are made anew."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from threadmend.golang.ambient import ambient
from threadmend.golang.builders.signatures import parameters
from threadmend.golang.context_forms import context_form, names_with_forms
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named
from threadmend.inventory import Call, Spot

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.workspace import Workspace

__all__ = ["coverage"]

_SUFFIXES = ("Context", "WithContext", "Ctx")
_OTHERS = ("BeginTx", "LookupIPAddr", "LookupNetIP")
_TOP = frozenset({"main", "init"})


def coverage(file: GoFile) -> Iterator[Call]:
    """Yield the calls of a file that take a context or could, its sleeps and new contexts."""
    workspace = file.package.workspace
    for call in file.calls(*names_with_forms(workspace)):
        form = context_form(file, call)
        if form is not None and not form.carries:
            yield Call("without", _spot(file, call), form.old)
    for call in file.calls(*_names_with_context(workspace)):
        if _takes_context(file, call):
            yield Call("with", _spot(file, call), call["function"].name)
    for call in file.calls("Sleep"):
        if _package_of(file, call) == "time":
            yield Call("sleep", _spot(file, call), "time.Sleep")
    for call in file.calls("Background", "TODO"):
        if _package_of(file, call) == "context":
            yield from _made_anew(file, call)


def _spot(file: GoFile, node: Node) -> Spot:
    return Spot(file.path, file.source.line_of(node.start))


def _names_with_context(workspace: Workspace) -> tuple[str, ...]:
    known: tuple[str, ...] | None = workspace.facts.get("names_with_context")
    if known is None:
        bases = names_with_forms(workspace)
        names = {base + suffix for base in bases for suffix in _SUFFIXES}
        known = workspace.facts["names_with_context"] = tuple(sorted({*names, *_OTHERS}))
    return known


def _takes_context(file: GoFile, call: Node) -> bool:
    """Return whether a call is the form of something that exists without a context as well."""
    decl = file.callee(call)
    if decl is None or decl.kind not in {"func", "method"}:
        return False
    package = decl.file.package
    if (package.module is None and "." in package.path) or package.path == "log/slog":
        return False
    if package.module is not None and not _has_plain_form(decl.name, package.names.keys()):
        methods = package.methods(decl.receiver) if decl.receiver else {}
        if not _has_plain_form(decl.name, methods.keys()):
            return False
    taken = parameters(decl.header)
    return bool(taken) and is_named(decl.file.type_from(taken[0].type), "context.Context")


def _has_plain_form(name: str, known: Collection[str]) -> bool:
    return any(name.endswith(s) and name.removesuffix(s) in known for s in _SUFFIXES)


def _package_of(file: GoFile, call: Node) -> str | None:
    """Return the import path of `pkg` in `pkg.F(…)`."""
    function = call["function"]
    if function.kind != "selector_expression" or function["operand"].kind != "identifier":
        return None
    if file.binding(function["operand"]) is not None:
        return None
    return file.imported(function["operand"].name)


def _made_anew(file: GoFile, call: Node) -> Iterator[Call]:
    """Yield a context that is made below the top of a program."""
    name = f"context.{call['function']['field'].name}"
    kind = "todo" if name.endswith("TODO") else "background"
    outer = call.function
    if outer is None:
        return  # a package variable: lives as long as the program
    while outer.kind == "func_literal" and outer.function is not None:
        outer = outer.function
    named = outer.get("name")
    if kind == "background" and named is not None and named.name in _TOP:
        return
    around = ambient(file, call)
    text = around.text if around is not None and around.kind != "test" else ""
    yield Call(kind, _spot(file, call), name, text)
