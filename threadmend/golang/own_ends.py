"""Channels of an object that tell of its worker's end, and order nobody to stop.

func (p *producer) run() {           p.done = make(chan struct{})
    defer close(p.done)              go p.run()
    for p.publish() {}
}
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.calls import code_callers
from threadmend.golang.locks import declaration_of
from threadmend.golang.syntax import FUNCTIONS, Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["is_own_end", "tells_of_worker"]

_DEPTH = 4


def is_own_end(file: GoFile, node: Node, name: str) -> bool:
    """Return whether a field's channel is closed by a defer of what alone runs a place.

    While the place runs, its caller has not ended: the channel cannot be closed by then.
    """
    closed = re.compile(rb"\bdefer close\([\w.]*\." + re.escape(name.encode()) + rb"\)")
    if not file.package.holds(closed):
        return False
    return _is_run_by(file, node, closed, _DEPTH)


def _is_run_by(file: GoFile, node: Node, closed: re.Pattern[bytes], depth: int) -> bool:
    """Return whether a function around a place, or each that calls it, defers a close."""
    function = node.up(*FUNCTIONS)
    while function is not None:
        if any(closed.search(n.text) for n in function.find("defer_statement")):
            return True
        if function.kind != "func_literal":
            break
        if function.parent is not None and function.parent.is_launched:
            return False
        function = function.up(*FUNCTIONS)
    decl = declaration_of(file, function) if function is not None else None
    if decl is None or not depth or decl.exported:
        return False
    sites = code_callers(decl)
    return bool(sites) and all(
        site.call is not None
        and not site.launched
        and _is_run_by(site.file, site.call, closed, depth - 1)
        for site in sites
    )


def tells_of_worker(file: GoFile, name: str) -> bool:
    """Return whether a field's channel is made where a method is launched that closes it.

    `c.readDone = make(chan struct{}); go c.read()`: it tells that `read` has ended.
    """
    field = re.escape(name.encode())
    made = re.compile(rb"\." + field + rb" = make\(chan\b")
    closed = re.compile(rb"\bclose\([\w.]*\." + field + rb"\)")
    methods = file.package.all_methods()
    for other in file.package.files:
        for declaration in other.declarations(made):
            launched = _LAUNCHED.findall(other.data, declaration.start, declaration.end)
            for decls in (d for own in methods.values() for d in own.items()):
                if decls[0].encode() in launched:
                    if any(closed.search(d.file.data, *d.span) for d in decls[1]):
                        return True
    return False


_LAUNCHED = re.compile(rb"\bgo [\w.]+\.(\w+)\(")
