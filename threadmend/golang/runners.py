"""Runners: which goroutines run a function, by themselves or through its callers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from threadmend.golang.callback_fields import calls_of_stored
from threadmend.golang.calls import Site, callers
from threadmend.golang.goroutines import Launch, launch_of_literal, launched_value
from threadmend.golang.locks import declaration_of, runs_in_place
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl

__all__ = ["Runners", "runners_of"]


@dataclass(slots=True)
class Runners:
    """Who runs a function: the launches that start it, and whether anybody else may call it."""

    launches: list[Launch] = field(default_factory=list)
    called: bool = False


def runners_of(
    file: GoFile, function: Node, depth: int = 3, *, through_fields: bool = False
) -> Runners:
    """Return the goroutines that run a function, callers followed three levels up.

    With `through_fields` also those that call it as a callback: `&tailer{emit: p.put}`.
    """
    found = Runners()
    _add_runners(file, function, depth, found, set(), through_fields)
    return found


def _add_runners(
    file: GoFile, function: Node, depth: int, found: Runners, seen: set[Node], fields: bool
) -> None:
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
            _add_runners(file, outer, depth, found, seen, fields)
        else:
            found.called = True
        return
    decl = declaration_of(file, function)
    if decl is None or depth == 0:
        found.called = True
        return
    if decl.exported:
        found.called = True
    for site in _followed(decl) if fields else callers(decl):
        if site.call is None:
            value = site.node.up("selector_expression") or site.node
            launch = launched_value(decl, site)
            if launch is not None:
                found.launches.append(launch)
            elif site.node.function is not None and runs_in_place(site.file, value):
                _add_runners(site.file, site.node.function, depth - 1, found, seen, fields)
            else:
                found.called = True
        elif site.launched and site.call.parent is not None:
            launch = launch_of_literal(site.file, site.call.parent)
            if launch is not None:
                found.launches.append(launch)
        elif site.node.function is not None:
            _add_runners(site.file, site.node.function, depth - 1, found, seen, fields)


def _followed(decl: Decl) -> Iterator[Site]:
    """Yield the uses of a function; for what a field calls (`emit: p.put`) the field's calls."""
    for site in callers(decl):
        yield from (calls_of_stored(site) if site.call is None else None) or [site]
