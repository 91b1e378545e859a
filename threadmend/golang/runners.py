"""Runners: which goroutines run a function, by themselves or through its callers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from threadmend.golang.calls import callers
from threadmend.golang.goroutines import Launch, launch_of_literal
from threadmend.golang.locks import declaration_of, runs_in_place
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["Runners", "runners_of"]


@dataclass(slots=True)
class Runners:
    """Who runs a function: the launches that start it, and whether anybody else may call it."""

    launches: list[Launch] = field(default_factory=list)
    called: bool = False


def runners_of(file: GoFile, function: Node, depth: int = 3) -> Runners:
    """Return the goroutines that run a function, callers followed three levels up."""
    found = Runners()
    _add_runners(file, function, depth, found, set())
    return found


def _add_runners(file: GoFile, function: Node, depth: int, found: Runners, seen: set[Node]) -> None:
    if function in seen:
        return
    seen.add(function)
    if function.kind == "func_literal":
        launch = launch_of_literal(file, function)
        if launch is not None:
            found.launches.append(launch)
            return
        outer = function.function
        if outer is not None and (runs_in_place(file, function) or function.is_deferred):
            _add_runners(file, outer, depth, found, seen)
        else:
            found.called = True
        return
    decl = declaration_of(file, function)
    if decl is None or depth == 0:
        found.called = True
        return
    if decl.exported:
        found.called = True
    for site in callers(decl):
        if site.call is None:
            value = site.node.up("selector_expression") or site.node
            if site.node.function is not None and runs_in_place(site.file, value):
                _add_runners(site.file, site.node.function, depth - 1, found, seen)
            else:
                found.called = True
        elif site.launched and site.call.parent is not None:
            launch = launch_of_literal(site.file, site.call.parent)
            if launch is not None:
                found.launches.append(launch)
        elif site.node.function is not None:
            _add_runners(site.file, site.node.function, depth - 1, found, seen)
