"""Last users: what is only written when nobody uses the object any more.

p.count--
if p.count == 0 {
    pool.Put(p.buffer)
    p.buffer = nil     // whoever reads the buffer has a share in it, and has not given it back
}
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadmend.golang.field_accesses import FieldAccess
    from threadmend.golang.guards import Guard

__all__ = ["is_written_by_last"]

_NONE_LEFT = re.compile(rb"([\w.]+)(?:\.Load\(\))? *(?:==|<=|<) *[01]")


def is_written_by_last(access: FieldAccess, guard: Guard) -> bool:
    """Return whether an access reads what only the last of the object's users ever writes."""
    writes = [a for a in (*guard.locked, *guard.unlocked) if a.writes and not a.setup]
    return not access.writes and bool(writes) and all(map(_is_for_last, writes))


def _is_for_last(write: FieldAccess) -> bool:
    """Return whether a write stands in a branch for a count of the object that went down to 0."""
    function, inner = write.node.function, write.node
    owner = write.node["operand"].text if write.node.kind == "selector_expression" else None
    if function is None or owner is None:
        return False
    for outer in write.node.ancestors():
        if outer is function:
            return False
        if outer.kind == "if_statement" and inner is outer["consequence"]:
            found = _NONE_LEFT.fullmatch(outer["condition"].text)
            if found is not None and found[1].startswith(owner + b"."):
                name = re.escape(found[1])
                down = name + rb"(?:--| -= 1\b|\.Add\(-1\))"
                return re.search(down, function.text) is not None
        inner = outer
    return False
