"""Filled before: what goroutines would set where it is not, when who launches them has done so.

    t.ensure()                          func (t *T) ensure() {
    for _, arg := range args {              if t.dns == nil {
        go func() { t.run(arg) }()              t.dns = start()
    }                                       }
                                        }

`run` calls `ensure` again, and finds it set.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from threadmend.golang.flow import flow_of
from threadmend.golang.functions import outer_function
from threadmend.golang.locks import declaration_of
from threadmend.golang.syntax import FUNCTIONS, Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl

__all__ = ["is_filled_before"]

_UNSET = re.compile(rb"(?:\w+\.)*(\w+) == (?:nil|\"\"|0)|!(?:\w+\.)*(\w+)")


def is_filled_before(file: GoFile, root: Node, at: Sequence[Node]) -> bool:
    """Return whether a function that asks first whether something is set runs before a launch.

    `at` are the write and the calls that lead to it from the launch `root`.
    """
    launcher = root.function
    if launcher is None or root.kind in FUNCTIONS:
        return False
    name = at[0]["field"].text if at[0].kind == "selector_expression" else at[0].text
    asking = [decl for node in at if (decl := _asks(file, node, name)) is not None]
    if not asking:
        return False
    flow = flow_of(launcher)
    start = flow.point_of(root)
    home = file.package.workspace.file_of(root)
    for call in launcher.own():
        if call.kind != "call_expression" or call.end > root.start:
            continue
        callee = home.callee(call)
        if callee is None or all(callee.key != decl.key for decl in asking):
            continue
        point = flow.point_of(call)
        if point is not None and start is not None and flow.dominates(point, start):
            return True
    return False


def _asks(file: GoFile, node: Node, name: bytes) -> Decl | None:
    """Return the function around a node that comes there only where that is not set."""
    inner = node
    for outer in node.ancestors():
        if outer.kind in FUNCTIONS:
            return None
        if outer.kind == "if_statement" and inner is outer["consequence"]:
            asked = _UNSET.fullmatch(outer["condition"].text)
            if asked is not None and name in asked.groups():
                function = outer_function(node)
                where = file.package.workspace.file_of(node)
                return declaration_of(where, function) if function is not None else None
        inner = outer
    return None
