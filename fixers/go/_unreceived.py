"""Callers that may not receive from the channel that a function returns to them."""

from __future__ import annotations

from threadmend.golang.calls import Site, callers
from threadmend.golang.channels import Channel, initialised, operation_at
from threadmend.golang.file import GoFile
from threadmend.golang.locks import declaration_of
from threadmend.golang.syntax import Node

__all__ = ["unreceived"]


def unreceived(file: GoFile, function: Node, channel: Channel) -> Node | None:
    """Return the call of a function whose caller may leave its result channel alone.

        Run(job)                     select {
                                     case err := <-Run(job):
        _ = Run(job)                 case <-ctx.Done():
                                     }

    None when the channel goes elsewhere too, or when every caller that is visible receives.
    """
    if function.kind == "func_literal" or not channel.escapes:
        return None
    if any(o.kind != "send" for o in channel.operations):
        return None
    if not all(_is_returned(node, function) for node in channel.escapes):
        return None
    decl = declaration_of(file, function)
    for site in callers(decl) if decl is not None else ():
        if site.call is not None and not (site.file.is_test and not file.is_test):
            if _may_leave_it(site):
                return site.call
    return None


def _is_returned(node: Node, function: Node) -> bool:
    values = node.parent
    statement = values.parent if values is not None else None
    if statement is None or statement.kind != "return_statement":
        return False
    return statement.function is function


def _may_leave_it(site: Site) -> bool:
    call = site.call
    parent = call.parent if call is not None else None
    if call is None or parent is None:
        return False
    if parent.kind == "expression_statement":
        return True
    operation = operation_at(site.file, call)
    if operation is not None:
        return operation.kind == "receive" and operation.has_alternative
    binding = initialised(site.file, call)
    if binding is None:
        return _is_blank(call)
    uses = [operation_at(site.file, u) for u in binding.uses if u is not binding.node]
    return bool(uses) and all(u is not None and u.has_alternative for u in uses)


def _is_blank(call: Node) -> bool:
    statement = call.statement
    if statement is None or statement.kind != "assignment_statement":
        return False
    return statement["left"].text == b"_" and statement["right"].text == call.text
