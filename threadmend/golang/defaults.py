"""Defaults: what is only ever written where it is found to be zero, and has been given a value.

func (s *store) Run() {                   func (s *store) init() {
    s.init()                                  s.mu.Lock()
    t := time.NewTicker(s.interval)           defer s.mu.Unlock()
    …                                         if s.interval == 0 { s.interval = time.Second }
}                                         }
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.functions import outer_function
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.field_accesses import FieldAccess
    from threadmend.golang.file import GoFile
    from threadmend.golang.guards import Guard

__all__ = ["has_its_default"]

_ZEROS = frozenset({b"0", b'""', b"nil"})
_DEPTH = 3


def has_its_default(access: FieldAccess, guard: Guard) -> bool:
    """Return whether a read comes when the one function that writes the place has been called.

    That function leaves it alone from then on.
    """
    writes = [a for a in (*guard.locked, *guard.unlocked) if a.writes and not a.setup]
    setters = {outer_function(a.node) for a in writes}
    function = access.node.function
    if access.writes or function is None or len(setters) != 1:
        return False
    if not all(w.kind == "write" and _fills(w.node) for w in writes):
        return False
    setter = setters.pop()
    return setter is not None and _calls(access.file, function, setter, access.node.start, _DEPTH)


def _calls(file: GoFile, function: Node, setter: Node, before: int, depth: int) -> bool:
    """Return whether a function calls the setter in any case, itself or through others."""
    body = function.get("body")
    for statement in body.statements if body is not None else ():
        if statement.end > before:
            return False
        if statement.kind != "expression_statement":
            continue
        call = statement.children[0]
        decl = file.callee(call) if call.kind == "call_expression" else None
        if decl is None or not decl.has_body or depth == 0:
            continue
        if decl.node is setter or _calls(decl.file, decl.node, setter, decl.node.end, depth - 1):
            return True
    return False


def _fills(node: Node) -> bool:
    """Return whether a place is set only where it was found to be zero."""
    inner = node
    for outer in node.ancestors():
        if outer.kind == "func_literal":
            return False
        if outer.kind == "if_statement" and inner.field == "consequence":
            test = outer["condition"]
            if test.kind == "binary_expression" and test["operator"].kind == "==":
                if test["left"].text == node.text and test["right"].text in _ZEROS:
                    return True
        inner = outer
    return False
