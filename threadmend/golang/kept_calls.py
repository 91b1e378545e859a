"""Kept calls: how functions that a field keeps are called: in which goroutine, under what locks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.callback_fields import calls_of_stored
from threadmend.golang.callers_locks import caller_classes, runs_later
from threadmend.golang.calls import own_callers
from threadmend.golang.field_accesses import sources
from threadmend.golang.functions import outer_function
from threadmend.golang.goroutines import Launch, launch_of_literal, launches_in
from threadmend.golang.locks import LOCK_CALLS, declaration_of, held_at

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl
    from threadmend.golang.syntax import Node

    Place = tuple[GoFile, Node]

__all__ = ["is_kept", "kept_calls", "kept_launch", "kept_without_lock"]


def kept_calls(decl: Decl, *, every: bool = True) -> list[Place] | None:
    """Return the calls of a function through the fields that keep it.

    None if it may be called elsewhere too: it is kept in a variable, handed on, or the field
    is one that other packages know. Unless `every` call has to be known, also those of such a
    field.
    """
    known: dict[tuple[tuple[str, int], bool], list[Place] | None]
    known = decl.file.package.facts.setdefault("kept calls", {})
    key = (decl.key, every)
    if key not in known:
        known[key] = None
        known[key] = _kept_calls(decl, every)
    return known[key]


def _kept_calls(decl: Decl, every: bool) -> list[Place] | None:
    found: list[Place] = []
    for site in own_callers(decl, LOCK_CALLS):
        if site.call is not None or runs_later(site):
            continue
        calls = calls_of_stored(site, known=every)
        if calls is None:
            return None
        found.extend((s.file, s.call) for s in calls if s.call is not None and not s.file.is_test)
    return found


def kept_without_lock(decl: Decl) -> bool:
    """Return whether all who call a function through a field that keeps it hold no lock at all."""
    calls = kept_calls(decl)
    return calls is not None and not any(_may_hold(file, call) for file, call in calls)


def kept_launch(decl: Decl) -> Launch | None:
    """Return a launch whose goroutine calls a function through a field that keeps it."""
    for file, call in kept_calls(decl, every=False) or ():
        function = call.function
        while function is not None and function.kind == "func_literal":
            launch = launch_of_literal(file, function)
            if launch is not None:
                return launch
            function = function.function
        own = declaration_of(file, function) if function is not None else None
        for site in own_callers(own, LOCK_CALLS) if own is not None else ():
            if site.launched and site.call is not None:
                found = launches_in(site.file, site.node.function or call)
                launch = next((x for x in found if x.call is site.call), None)
                if launch is not None:
                    return launch
    return None


_KEPT = re.compile(rb"[:=,(][ \t]*\w+(?:\.\w+)*\.(\w+)[ \t]*(?=[,}\n)])")


def is_kept(decl: Decl) -> bool:
    """Return whether a method may be kept as a value, by what its package's bytes say."""
    package = decl.file.package
    known: frozenset[bytes] | None = package.facts.get("kept names")
    if known is None:
        names = (m[1] for file in sources(package) for m in _KEPT.finditer(file.data))
        known = package.facts["kept names"] = frozenset(names)
    return decl.name.encode() in known


def _may_hold(file: GoFile, call: Node) -> bool:
    if held_at(file, call):
        return True
    function = call.function
    while function is not None and function.kind == "func_literal":
        if launch_of_literal(file, function) is not None:
            return False
        function = function.function
    outer = outer_function(call)
    return outer is None or bool(caller_classes(file, outer))
