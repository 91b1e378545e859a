"""Recovering: whether a function goes on, or ends in order, after a panic in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.calls import own_callers
from threadmend.golang.goroutines import launch_of_literal
from threadmend.golang.locks import declaration_of
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl

__all__ = ["recovered_above", "recovers", "sends_if_open"]

_RECOVERS = re.compile(rb"\brecover\(\)")


def recovers(file: GoFile, body: Node) -> bool:
    """Return whether a function defers a call that recovers: a literal's, or a function's.

    `defer s.rescue()`; what `rescue` calls in its turn cannot recover.
    """
    for deferred in body.find("defer_statement"):
        if deferred.function is not body:
            continue
        if _RECOVERS.search(deferred.text):
            return True
        call = deferred.children[-1]
        decl = file.callee(call) if call.kind == "call_expression" else None
        if decl is not None and decl.has_body and _RECOVERS.search(decl.node.text):
            return True
    return False


_LEVELS = 3


def recovered_above(file: GoFile, function: Node) -> bool:
    """Return whether the package goes on after a panic in a function, levels up.

    The function recovers itself, or one that calls it does, in the same goroutine. Or one that
    calls it answers requests, where the package recovers around those who do.
    """
    own = declaration_of(file, function)
    if recovers(file, function):
        return True
    level, seen = [own] if own is not None else [], {own.key} if own is not None else set()
    for _ in range(_LEVELS):
        above: list[Decl] = []
        for site in (s for d in level for s in own_callers(d, _RECOVERS)):
            if site.call is None or site.launched:
                continue
            around: Node | None = site.node.function
            while around is not None:
                if recovers(site.file, around) or _is_recovered_handler(site.file, around):
                    return True
                if around.kind == "func_literal" and launch_of_literal(site.file, around):
                    break
                if around.function is None:
                    decl = declaration_of(site.file, around)
                    if decl is not None and decl.key not in seen:
                        seen.add(decl.key)
                        above.append(decl)
                around = around.function
        level = above
    return False


_HANDLES = re.compile(rb"\bhttp\.ResponseWriter\b[^()]*\*http\.Request\b")


def _is_recovered_handler(file: GoFile, function: Node) -> bool:
    """Return whether a function answers requests, and others of the package recover around those.

    `http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { defer func() { … recover()
    … }(); next.ServeHTTP(w, r) })`
    """
    if not _handles(function):
        return False
    found: bool | None = file.package.facts.get("handlers are recovered")
    if found is None:
        found = file.package.facts["handlers are recovered"] = any(
            _handles(around) and recovers(other, around) and b".ServeHTTP(" in around.text
            for other in file.package.files
            if not other.is_test and _RECOVERS.search(other.data)
            for declaration in other.declarations(_RECOVERS)
            for around in (declaration.node, *declaration.node.find("func_literal"))
        )
    return found


def _handles(function: Node) -> bool:
    parameters = function.get("parameters")
    return parameters is not None and _HANDLES.search(parameters.text) is not None


_ASIDE = frozenset({"defer_statement", "return_statement", "short_var_declaration"})


def sends_if_open(file: GoFile, send: Node) -> bool:
    """Return whether a function does no more than to send, and recovers where that panics.

    `func (c *conn) put(b int) { defer func() { _ = recover() }(); select { case c.in <- b: … } }`
    """
    function = send.function
    if function is None or not recovers(file, function):
        return False
    statements = [s for s in function["body"].statements if s.kind not in _ASIDE]
    return len(statements) == 1 and statements[0].contains(send)
