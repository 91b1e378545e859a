"""Every call of a function or of a closure in a variable, where there is no other use of it."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import uses_of
from threadmend.golang.calls import callers
from threadmend.golang.file import GoFile
from threadmend.golang.functions import call_of
from threadmend.golang.locks import declaration_of
from threadmend.golang.syntax import Node

__all__ = ["all_calls", "each_call"]


def all_calls(file: GoFile, function: Node) -> list[tuple[GoFile, Node]] | None:
    """Return all calls of a function, None when it is used in other ways too."""
    found = []
    for use in each_call(file, function):
        if use is None:
            return None
        found.append(use)
    return found


def each_call(file: GoFile, function: Node) -> Iterator[tuple[GoFile, Node] | None]:
    """Yield the calls of a function one after the other, None for what uses it in another way.

    For a question that the first calls can answer, while a helper of tests has thousands.
    """
    decl = declaration_of(file, function)
    if decl is not None:
        for site in callers(decl):
            is_plain = site.call is not None and not site.launched and not site.deferred
            yield (site.file, site.call) if is_plain and site.call is not None else None
        return
    declared = function.up("short_var_declaration")
    names = declared["left"].children if declared is not None else []
    if declared is None or len(names) != 1 or declared["right"].children != [function]:
        yield None
        return
    binding = file.binding(names[0])
    for use in uses_of(binding)[1:] if binding is not None else ():
        call = call_of(use.node)
        yield (file, call) if call is not None else None
