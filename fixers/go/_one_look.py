"""Double-checked locking with one look left: under the lock, the other one tells nothing new.

if c.conn != nil {             c.mu.Lock()
    return c.conn          →   defer c.mu.Unlock()
}                              if c.conn == nil {
c.mu.Lock()                        c.conn = dial()
defer c.mu.Unlock()            }
if c.conn == nil {             return c.conn
    c.conn = dial()
}
return c.conn
"""

from __future__ import annotations

from threadmend.golang.builders import BuilderError, delete, replace
from threadmend.golang.builders.statements import at_margin
from threadmend.golang.node import bare
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["first_dropped", "inner_alone", "is_answered"]

_OPPOSITE = {"==": "!=", "!=": "=="}


def first_dropped(outer: Node, second: Node | None) -> tuple[Edit, ...]:
    """Return the edits that drop a first look which only returns early, () where it does more.

    Sound: the look under the lock comes to the same return.
    """
    early = _branch(outer)
    if second is None or len(early) != 1 or early[0].kind != "return_statement":
        return ()
    if second.kind != "if_statement" or not _is_plain(outer) or not _is_plain(second):
        return ()
    if second["condition"].text == outer["condition"].text:
        same = [s.text for s in _branch(second)] == [early[0].text]
    else:
        after = second.next
        same = after is not None and after.text == early[0].text
        same = same and _is_negated(second["condition"], outer["condition"])
    return delete(outer, comments="drop") if same else ()


def is_answered(outer: Node, second: Node | None) -> bool:
    """Return whether a second look asks for the contrary of the look around it, and leaves then."""
    if second is None or second.kind != "if_statement" or not _is_plain(second):
        return False
    leaves = _branch(second)[-1:]
    if not leaves or leaves[0].kind != "return_statement":
        return False
    return _is_negated(second["condition"], outer["condition"])


def inner_alone(outer: Node, second: Node | None, lock: str, *, deferred: bool) -> tuple[Edit, ...]:
    """Return the edits that leave of two equal looks, one around the other, the inner one.

    () where the branch does more than to lock and to look again.
    """
    if second is None or second.kind != "if_statement":
        return ()
    if not _is_plain(outer) or not _is_plain(second):
        return ()
    if second["condition"].text != outer["condition"].text or len(_branch(outer)) != 3:
        return ()
    if _branch(outer)[1 if not deferred else 2] is not second:
        return ()
    lines = [f"{lock}.Lock()", f"defer {lock}.Unlock()", at_margin(second)]
    if not deferred:
        lines = [f"{lock}.Lock()", at_margin(second), f"{lock}.Unlock()"]
    try:
        return replace(outer, "\n".join(lines))
    except BuilderError:
        return ()


def _branch(statement: Node) -> list[Node]:
    return statement["consequence"].statements


def _is_plain(statement: Node) -> bool:
    return statement.get("initializer") is None and statement.get("alternative") is None


def _is_negated(one: Node, other: Node) -> bool:
    """Return whether two conditions are `x` and `!x`, or `x == y` and `x != y`."""
    one, other = bare(one), bare(other)
    for a, b in ((one, other), (other, one)):
        if a.kind == "unary_expression" and a["operator"].kind == "!":
            return bare(a["operand"]).text == b.text
    if one.kind != "binary_expression" or other.kind != "binary_expression":
        return False
    if _OPPOSITE.get(one["operator"].kind) != other["operator"].kind:
        return False
    return (one["left"].text, one["right"].text) == (other["left"].text, other["right"].text)
