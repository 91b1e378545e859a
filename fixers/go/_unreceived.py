"""Callers that may not receive from the channel that a function returns to them."""

from __future__ import annotations

from collections.abc import Callable

from threadmend.golang.calls import Site, callers
from threadmend.golang.channels import Channel, ChannelOperation, holder_of, operation_at
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import declaration_of
from threadmend.golang.stops import endless, leaves_loop
from threadmend.golang.syntax import Node

__all__ = ["is_returned", "partly_received", "unreceived"]


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
    if not all(is_returned(node, function) for node in channel.escapes):
        return None
    return _call_where(file, function, _may_leave_it)


def partly_received(file: GoFile, function: Node, channel: Channel) -> Node | None:
    """Return the call of a function whose caller may stop before it has received all results.

    acks := broadcast(nodes)             first := <-race(urls)
    for range nodes {                    all := collect(race(urls))
        if ack := <-acks; ack.bad {
            return                       // the others wait
        }
    }
    """
    if function.kind == "func_literal" or any(o.kind != "send" for o in channel.operations):
        return None
    if not channel.escapes or not all(is_returned(e, function) for e in channel.escapes):
        return None
    return _call_where(file, function, _leaves_some)


def _call_where(file: GoFile, function: Node, applies: Callable[[Site], bool]) -> Node | None:
    """Return the first call of a function of which something is so; tests do not count for code."""
    decl = declaration_of(file, function)
    for site in callers(decl) if decl is not None else ():
        if site.call is not None and not (site.file.is_test and not file.is_test):
            if applies(site):
                return site.call
    return None


def _leaves_some(site: Site) -> bool:
    """Return whether a caller, who alone has the channel, stops in the middle."""
    call = site.call
    holder = holder_of(site.file, call) if call is not None else None
    own = operation_at(site.file, call) if call is not None else None
    if holder is None:
        return own is not None and own.kind == "receive" and innermost_loop(own.node) is None
    file, binding, _ = holder
    uses = [operation_at(file, u) for u in binding.uses if u is not binding.node]
    received = [u for u in uses if u is not None and u.kind in {"receive", "range"}]
    if not received or len(received) != len(uses):
        return False
    if any(u.node.function is not binding.function for u in received):
        return False
    loops = [_receiving(binding.node, u) for u in received]
    looping = [loop for loop in loops if loop is not None]
    if not looping:
        return len(received) == 1
    return len(looping) == len(received) and all(_stops_early(loop) for loop in looping)


def _stops_early(loop: Node) -> bool:
    """Return whether a receiving loop is left in the middle, and not by its own count."""
    if not endless(loop):
        return leaves_loop(loop)
    counted = {n.children[0].text for n in loop["body"].own() if n.kind in _COUNTS and n.children}
    for node in loop["body"].own():
        if node.kind in {"return_statement", "break_statement"}:
            test = node.up("if_statement", "for_statement")
            if test is None or test.kind != "if_statement":
                return False
            if any(n.text in counted for n in test["condition"].find("identifier")):
                return False
    return leaves_loop(loop)


_COUNTS = frozenset({"inc_statement", "dec_statement"})


def _receiving(made: Node, operation: ChannelOperation) -> Node | None:
    """Return the loop that receives again and again, the channel being the same."""
    parent = operation.node.parent if operation.kind == "range" else None
    loop = parent or innermost_loop(operation.node)
    return loop if loop is not None and not loop.contains(made) else None


def is_returned(node: Node, function: Node) -> bool:
    """Return whether a channel is what its function returns."""
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
    holder = holder_of(site.file, call)
    if holder is None:
        return _is_blank(call)
    file, binding, _ = holder
    uses = [operation_at(file, u) for u in binding.uses if u is not binding.node]
    return bool(uses) and all(u is not None and u.has_alternative for u in uses)


def _is_blank(call: Node) -> bool:
    statement = call.statement
    if statement is None or statement.kind != "assignment_statement":
        return False
    return statement["left"].text == b"_" and statement["right"].text == call.text
