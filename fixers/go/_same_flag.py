"""Goroutines that leave by a flag that who waits for them asks as well, before it waits.

func (s *svc) drain() {          func (s *svc) Shutdown() {
    if !s.active.Load() {            if !s.IsActive() {
        return                           return
    }                                }
    …                                <-s.drained
    close(s.drained)             }
}

Or that leave what went wrong in a variable, at which the waiter looks, and leaves, before it waits.
Or that another run of the function was quicker than: it has closed what it is the first to close.
"""

from __future__ import annotations

from threadmend.golang.branches import decisions
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import FUNCTIONS, Node

__all__ = ["asks_the_same", "is_late", "leaves_word"]


def is_late(exit_: Node) -> bool:
    """Return whether a way out says that another run of the function is on its way already.

    `select { case <-s.started: return; default: close(s.started) }`: that one gives the signals.
    """
    case = exit_.up("communication_case", *FUNCTIONS)
    communication = case.get("communication") if case is not None else None
    if case is None or case.parent is None or communication is None:
        return False
    closes = b"close(" + communication.text.removeprefix(b"<-") + b")"
    return communication.text.startswith(b"<-") and any(
        statement.text == closes
        for other in case.parent.children
        if other.kind == "default_case"
        for statement in other.statements
    )


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


def leaves_word(file: GoFile, exit_: Node, waiter: ChannelOperation) -> bool:
    """Return whether a way out sets a variable that keeps the waiter from waiting.

    `if err != nil { failed = err; ready.Done(); return }`, and then `ready.Wait(); if failed !=
    nil { return failed }; <-done`.
    """
    function = waiter.node.function
    flow = flow_of(function) if function is not None else None
    end = flow.point_of(waiter.anchor) if flow is not None else None
    words = _words(file, exit_) if flow is not None and flow.complete else []
    if function is None or flow is None or end is None or waiter.file is not file:
        return False
    for word in words:
        for test in function.find("if_statement"):
            if test.function is not function or test.start > waiter.node.start:
                continue
            first = test["consequence"].statements[:1]
            asked = any(test["condition"].contains(use) for use in word.uses)
            point = flow.point_of(first[0]) if first else None
            if asked and point is not None and point is not end:
                if end not in flow.reachable(point):
                    return True
    return False


def _words(file: GoFile, exit_: Node) -> list[Binding]:
    """Return the variables from around a goroutine that the block of a way out sets."""
    found = []
    before = exit_.previous
    while before is not None:
        if before.kind == "assignment_statement":
            for name in before["left"].children:
                binding = file.binding(name) if name.kind == "identifier" else None
                if binding is not None and binding.function is not exit_.function:
                    found.append(binding)
        before = before.previous
    return found
