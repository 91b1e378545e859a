"""At calls: what holds at a place, or at every call of the function that is the way to it.

func (s *Server) Close() {          func (s *Server) end() {
    s.once.Do(func() { s.end() })       close(s.done)  // once, though nothing here says so
}                                   }
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from threadmend.golang.calls import code_callers
from threadmend.golang.locks import declaration_of, runs_in_place
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["on_every_way"]

_LEVELS = 2


def on_every_way(
    file: GoFile, node: Node, test: Callable[[GoFile, Node], bool], levels: int = _LEVELS
) -> bool:
    """Return whether a test holds at a node, or at each call of the function that it stands in.

    Only of one that nobody else can call: not exported, and no value. Tests are left out, and
    calls that a goroutine makes hold nothing. A literal that runs where it stands, as that of a
    Once, is a part of the function around it.
    """
    if test(file, node):
        return True
    function = node.function
    while function is not None and function.kind == "func_literal":
        if not runs_in_place(file, function):
            break
        function = function.function
    decl = declaration_of(file, function) if function is not None and levels else None
    if decl is None or decl.exported:
        return False
    sites = code_callers(decl)
    return bool(sites) and all(
        site.call is not None
        and not site.launched
        and on_every_way(site.file, site.call, test, levels - 1)
        for site in sites
    )
