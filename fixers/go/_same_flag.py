"""Goroutines that leave by a flag that who waits for them asks as well, before it waits.

func (s *svc) drain() {          func (s *svc) Shutdown() {
    if !s.active.Load() {            if !s.IsActive() {
        return                           return
    }                                }
    …                                <-s.drained
    close(s.drained)             }
}
"""

from __future__ import annotations

from threadmend.golang.branches import decisions
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node

__all__ = ["asks_the_same"]


def asks_the_same(file: GoFile, exit_: Node, waiter: ChannelOperation) -> bool:
    """Return whether a way out hangs on a field which the waiter asks whether to wait at all."""
    function = waiter.node.function
    test = exit_.up("if_statement")
    if function is None or test is None or test.function is not exit_.function:
        return False
    asked = {f for d in decisions(exit_, exit_.function) for f in _flags(file, d.condition)}
    if not asked:
        return False
    for other in function.own():
        if other.kind != "if_statement" or other.start > waiter.node.start:
            continue
        left = other["consequence"].statements[-1:]
        around = other["consequence"].contains(waiter.node)
        if around or (left and left[0].kind == "return_statement"):
            if asked & set(_flags(waiter.file, other["condition"])):
                return True
    return False


def _flags(file: GoFile, condition: Node, depth: int = 1) -> list[str]:
    """Return the fields of receivers that a condition reads, also by a method that only does so."""
    found = []
    for node in condition.walk():
        if node.kind != "selector_expression" or node["operand"].kind != "identifier":
            continue
        binding = file.binding(node["operand"])
        if not isinstance(binding, Binding) or binding.kind != "receiver":
            continue
        selection = file.selection(node)
        if selection is not None and selection.kind == "field":
            found.append(node["field"].name)
        elif selection is not None and selection.decl is not None and depth:
            decl = selection.decl
            body = decl.node.get("body")
            if body is not None and len(body.statements) == 1:
                found += _flags(decl.file, body.statements[0], depth - 1)
    return found
