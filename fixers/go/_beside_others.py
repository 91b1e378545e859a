"""Functions that several goroutines may run at the same time, on one object."""

from __future__ import annotations

from threadmend.golang.calls import own_callers
from threadmend.golang.crowds import crowds
from threadmend.golang.file import GoFile
from threadmend.golang.locks import LOCK_CALLS, declaration_of
from threadmend.golang.setup import is_setup
from threadmend.golang.syntax import Node

__all__ = ["runs_beside_others"]

_DEPTH = 3


def runs_beside_others(
    file: GoFile, function: Node, shown: bool = False, depth: int = _DEPTH
) -> bool:
    """Return whether others may run a function at the same time.

    `shown`: the package itself has to launch it several times.
    """
    if any(crowd.body is function for crowd in crowds(file.package)):
        return True
    return not shown and function.kind != "func_literal" and _is_api(file, function, depth)


def _is_api(file: GoFile, function: Node, depth: int) -> bool:
    """Return whether a function is called from outside, by whoever likes: itself, or a caller."""
    decl = declaration_of(file, function)
    if decl is None or _runs_for_long(function):
        return False
    if decl.exported:
        return True
    for site in own_callers(decl, LOCK_CALLS) if depth else ():
        above = site.node.function
        if site.call is None or site.launched or above is None or is_setup(site.file, site.call):
            continue
        if runs_beside_others(site.file, above, depth=depth - 1):
            return True
    return False


def _runs_for_long(function: Node) -> bool:
    """Return whether a function is the loop of a goroutine: nobody else runs it meanwhile."""
    for node in function.own():
        if node.kind == "select_statement":
            return True
        if node.kind == "for_statement" and not any(
            c.kind in {"range_clause", "for_clause"} or c.field == "condition"
            for c in node.children
        ):
            return True
    return False
