"""Contexts that never end: `context.Background()`, also where callers pass nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.access import is_assigned_once
from threadmend.golang.calls import Site, callers, code_callers
from threadmend.golang.functions import only_returned, result_nodes
from threadmend.golang.locks import declaration_of
from threadmend.golang.scope import Binding, argument_of, position_of
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.types import Named, Type
from threadmend.golang.uses import is_api

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = [
    "field_never_ends",
    "is_endless",
    "is_made_for_each",
    "never_ends",
    "request_never_ends",
]

_BACKGROUND = re.compile(rb"context\.(?:Background|TODO)\(\)")
_ENDS = re.compile(rb"(?i)cancel|timeout|deadline|signal|notify|interrupt|stop|group|limit")
_DEPTH = 3


def never_ends(file: GoFile, binding: Binding, depth: int = _DEPTH) -> bool:
    """Return whether a variable holds `context.Background()` or `context.TODO()` for good.

    A parameter does where all callers are known, and each passes such a context.
    """
    if not is_assigned_once(binding):
        return False
    if binding.kind == "parameter":
        return depth > 0 and _is_given_nothing_else(file, binding, depth - 1)
    values = binding.declaration.get("right") or binding.declaration.get("value")
    if values is None or len(values.children) != 1:
        return False
    return is_endless(file, values.children[0], depth)


def field_never_ends(file: GoFile, owner: Type | None, name: str) -> bool:
    """Return whether all that the package ever stores in a struct's field are such contexts.

    `s.ctx = context.Background()`; not where a call stores it along with something else.
    """
    from threadmend.golang.targets import stored_values

    if not isinstance(owner, Named) or name[:1].isupper():
        return False
    together = re.compile(rb",\s*[\w.]+\." + re.escape(name.encode()) + rb"\s*[,=]")
    if file.package.holds(together):
        return False
    stored = stored_values(file.package, owner, name)
    return bool(stored) and all(is_endless(f, value) for f, value in stored)


def is_made_for_each(file: GoFile, owner: Type | None, name: str) -> bool:
    """Return whether a method makes a struct's context anew for each of its callers.

    `c.stop(); c.ctx, c.stop = context.WithCancel(parent); return c.ctx, c.stop`: what goes on for
    longer than one call does not end with it.
    """
    if not isinstance(owner, Named):
        return False
    known: dict[str, bool] = file.package.facts.setdefault("contexts of calls", {})
    if name not in known:
        known[name] = _is_made_anew(file, name)
    return known[name]


def _is_made_anew(file: GoFile, name: str) -> bool:
    word = rb"\w+\." + re.escape(name.encode())
    anew = re.compile(rb"\b" + word + rb", ([\w.]+) = context\.With\w+\((?s:.*?)\breturn " + word)
    for other in file.package.files:
        for function in other.functions(anew):
            found = anew.search(other.data, function.start, function.end)
            stops = found[1] + b"()" if found is not None else b""
            if found is not None and stops in other.data[function.start : found.start()]:
                return True
    return False


def is_endless(file: GoFile, value: Node, depth: int = _DEPTH) -> bool:
    """Return whether a value is such a context, or one with more values and no end of its own.

    `trace.With(context.Background(), id)`: without a cancel function, or a word of an end.
    """
    if _BACKGROUND.fullmatch(value.text):
        return True
    if value.kind == "identifier":
        binding = file.binding(value)
        return binding is not None and depth > 0 and never_ends(file, binding, depth - 1)
    if value.kind != "call_expression" or depth == 0:
        return False
    decl = file.callee(value)
    said = only_returned(decl.node) if decl is not None and decl.sound else None
    if decl is not None and said is not None and is_endless(decl.file, said, depth - 1):
        return True  # func root() context.Context { return context.Background() }
    arguments = value["arguments"].children
    if not arguments or not is_endless(file, arguments[0], depth - 1):
        return False
    if decl is not None and decl.has_body:
        if _ENDS.search(decl.file.data, *decl.span):
            return False
        return [n.text for n in result_nodes(decl.node)] == [b"context.Context"]
    return _ENDS.search(value["function"].text) is None


def request_never_ends(file: GoFile, node: Node, binding: Binding, depth: int = 2) -> bool:
    """Return whether a request is made here, also by a client's own NewRequest, by a function
    that is given no context; or by all who call the function, which they alone can.
    """
    function = node.up(*FUNCTIONS)
    while function is not None and function is not binding.function:
        function = function.up(*FUNCTIONS)
    if function is not None and binding.kind == "parameter" and depth:
        return _is_given_without(file, function, binding, depth - 1)
    if binding.kind != "variable" or function is None:
        return False
    name = re.escape(binding.name.encode())
    made = re.compile(
        rb"\b" + name + rb"(?:, \w+)? :?= [\w.]*(?:New|Read)Request\((?!\w*(?:ctx|[cC]ontext))"
    )
    return made.search(function.text) is not None and b".WithContext(" not in function.text


def _is_given_without(file: GoFile, function: Node, binding: Binding, depth: int) -> bool:
    decl = declaration_of(file, function)
    sites = callers(decl) if decl is not None and not decl.exported else []
    for site in sites:
        given = argument_of(site.call, function, binding) if site.call is not None else None
        named = site.file.binding(given) if given is not None else None
        if site.call is None or named is None:
            return False
        if not request_never_ends(site.file, site.call, named, depth):
            return False
    return bool(sites)


def _is_given_nothing_else(file: GoFile, binding: Binding, depth: int) -> bool:
    position = position_of(binding.scope, binding)
    decl = declaration_of(file, binding.scope)
    if position is None or decl is None or is_api(decl):
        return False
    sites = code_callers(decl)
    return bool(sites) and all(_passes_nothing_else(site, position, depth) for site in sites)


def _passes_nothing_else(site: Site, position: int, depth: int) -> bool:
    arguments: list[Node] = site.call["arguments"].children if site.call is not None else []
    if position >= len(arguments):
        return False
    given = arguments[position]
    binding = site.file.binding(given) if given.kind == "identifier" else None
    if binding is not None:
        return never_ends(site.file, binding, depth)
    return is_endless(site.file, given, depth)
