"""Calm functions: those that certainly synchronise with nobody, nor anything that they call."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl
    from threadmend.golang.syntax import Node

__all__ = ["is_calm", "runs_calmly"]

_LONGEST = 2000


def is_calm(decl: Decl) -> bool:
    """Return whether a function's body is at hand, and gives and awaits no signal.

    What it calls has to be calm, too: a function value, or a package that is not at hand, is not.
    """
    from threadmend.golang.signal_sources import signals_in

    known: dict[tuple[str, int], bool] = decl.file.package.facts.setdefault("calm", {})
    if decl.key not in known:
        known[decl.key] = False  # one that leads back to itself is left alone
        start, end = decl.span
        short = decl.sound and decl.has_body and end - start <= _LONGEST
        known[decl.key] = short and not any(signals_in(decl.file, decl.node["body"]))
    return known[decl.key]


def runs_calmly(file: GoFile, call: Node) -> bool:
    """Return whether all that a call may run is at hand and calm."""
    from threadmend.golang.targets import targets

    decl = file.callee(call)
    if decl is not None:
        return is_calm(decl)
    found = targets(file, call)
    return found.complete and all(b.decl is not None and is_calm(b.decl) for b in found.bodies)
