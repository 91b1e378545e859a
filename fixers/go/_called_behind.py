"""Methods that only close a channel, and are called where all that was sent has been sent.

go func() {
    defer lines.finish()        // func (s *stage) finish() { close(s.out) }
    for scanner.Scan() {
        lines.emit(scanner.Text())
    }
}()
go func() { group.Wait(); rows.finish() }()
"""

from __future__ import annotations

import re

from threadmend.golang.calls import Site, code_callers
from threadmend.golang.file import GoFile
from threadmend.golang.locks import declaration_of
from threadmend.golang.syntax import Node

__all__ = ["called_behind"]

_WAIT = re.compile(rb"\.Wait\(\)")


def called_behind(file: GoFile, close: Node, sending: Node) -> bool:
    """Return whether each caller of a closing method has sent, or waited for who sends, before.

    `sending` is the function that sends; a caller that calls it is the sender.
    """
    method = close.function
    decl = declaration_of(file, method) if method is not None else None
    sites = code_callers(decl) if decl is not None else []
    return bool(sites) and all(_is_behind(site, sending) for site in sites)


def _is_behind(site: Site, sending: Node) -> bool:
    call, function = site.call, site.node.function
    if call is None or function is None or site.launched:
        return False
    name = sending.get("name")
    if name is not None and any(
        c["function"].name.rpartition(".")[2] == name.name
        for c in function.own()
        if c.kind == "call_expression"
    ):
        return True
    text, around = function.tree.data, call.up("defer_statement", "func_literal")
    if around is not None and around.kind == "defer_statement":
        return _WAIT.search(text, call.end, function.end) is not None
    return _WAIT.search(text, function.start, call.start) is not None
