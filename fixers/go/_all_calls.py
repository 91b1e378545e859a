"""Every call of a function or of a closure in a variable, where there is no other use of it."""

from __future__ import annotations

from threadmend.golang.access import uses_of
from threadmend.golang.calls import callers
from threadmend.golang.file import GoFile
from threadmend.golang.functions import call_of
from threadmend.golang.locks import declaration_of
from threadmend.golang.syntax import Node

__all__ = ["all_calls"]


def all_calls(file: GoFile, function: Node) -> list[tuple[GoFile, Node]] | None:
    """Return all calls of a function, None when it is used in other ways too."""
    decl = declaration_of(file, function)
    if decl is not None:
        sites = callers(decl)
        if any(s.call is None or s.launched or s.deferred for s in sites):
            return None
        return [(s.file, s.call) for s in sites if s.call is not None]
    declared = function.up("short_var_declaration")
    names = declared["left"].children if declared is not None else []
    if declared is None or len(names) != 1 or declared["right"].children != [function]:
        return None
    binding = file.binding(names[0])
    found = []
    for use in uses_of(binding)[1:] if binding is not None else ():
        call = call_of(use.node)
        if call is None:
            return None
        found.append((file, call))
    return found
