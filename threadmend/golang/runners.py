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

__all__ = ["Runners", "only_launches", "runners_of"]


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
    _Search(found, through_fields).add(file, function, depth)
    return found


def only_launches(file: GoFile, function: Node, *, through_fields: bool = False) -> list[Launch]:
    """Return the launches of a function that goroutines run and nobody else: `runners_of`, which
    stops at the first one that may call it. None where somebody may.
    """
    found = Runners()
    _Search(found, through_fields, until_called=True).add(file, function, 3)
    return [] if found.called else found.launches


@dataclass(slots=True)
class _Search:
    """A walk up the callers of a function."""

    found: Runners
    through_fields: bool
    until_called: bool = False
    seen: set[Node] = field(default_factory=set)

    def add(self, file: GoFile, function: Node, depth: int) -> None:
        """Add who runs a function, callers followed so many levels up."""
        found = self.found
        if function in self.seen:
            return
        self.seen.add(function)
        if function.kind == "func_literal":
            launch = launch_of_literal(file, function)
            outer = function.function
            if launch is not None:
                found.launches.append(launch)
            elif outer is not None and (runs_in_place(file, function) or function.is_deferred):
                self.add(file, outer, depth)
            else:
                found.called = True
            return
        decl = declaration_of(file, function)
        if decl is None or depth == 0:
            found.called = True
            return
        if decl.exported:
            found.called = True
        for site in _followed(decl) if self.through_fields else callers(decl):
            if found.called and self.until_called:
                return
            self._add_site(decl, site, depth)

    def _add_site(self, decl: Decl, site: Site, depth: int) -> None:
        found = self.found
        if site.call is None:
            value = site.node.up("selector_expression") or site.node
            launch = launched_value(decl, site)
            if launch is not None:
                found.launches.append(launch)
            elif site.node.function is not None and runs_in_place(site.file, value):
                self.add(site.file, site.node.function, depth - 1)
            else:
                found.called = True
        elif site.launched and site.call.parent is not None:
            launch = launch_of_literal(site.file, site.call.parent)
            if launch is not None:
                found.launches.append(launch)
        elif site.node.function is not None:
            self.add(site.file, site.node.function, depth - 1)


def _followed(decl: Decl) -> Iterator[Site]:
    """Yield the uses of a function; for what a field calls (`emit: p.put`) the field's calls."""
    for site in callers(decl):
        yield from (calls_of_stored(site) if site.call is None else None) or [site]
