"""Waits for news that an object sends to those it has in a list: some day, or never.

    func (k *kiln) at(degrees int) <-chan sample {      func (k *kiln) await(ctx context.Context) {
        reached := make(chan sample, 1)                     …
        k.marks = append(k.marks, mark{degrees, reached})   s := <-k.at(1200)
        return reached                                      …
    }                                                   }

The context of who waits went nowhere: it ends nothing. Likewise where the waiter keeps the channel
in the object itself.
"""

from __future__ import annotations

from threadmend.golang.ambient import ambient, left
from threadmend.golang.channels import Channel, local_channels
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import held_at
from threadmend.golang.scope import Binding
from threadmend.golang.stops import Stop
from threadmend.golang.syntax import Node

from ._asked import call_that_gave, listens
from ._unreceived import is_returned

__all__ = ["registered"]


def registered(file: GoFile, receive: Node) -> tuple[Stop, Channel] | None:
    """Return the context that a wait for news should listen to, and the channel of the news."""
    if file.is_test or held_at(file, receive) or innermost_loop(receive) is not None:
        return None
    found = _of_callee(file, receive) or _of_own(file, receive)
    if found is None:
        return None
    channel, since = found
    context = ambient(file, receive)
    if context is None or context.kind != "context" or context.binding.kind != "parameter":
        return None
    if left(file, receive, context) or listens(context.text, receive):
        return None
    if context.binding.function is not receive.function or _is_used(context.binding, since):
        return None
    return Stop(f"{context.text}.Done()", context.text), channel


def _is_used(context: Binding, since: Node) -> bool:
    """Return whether something may end the wait with the context: it gets it, then or later."""
    later = (use for use in context.uses if use is not context.node and use.start >= since.start)
    return any(use.field != "operand" for use in later)


def _of_callee(file: GoFile, receive: Node) -> tuple[Channel, Node] | None:
    call = call_that_gave(file, receive["operand"])
    decl = file.callee(call) if call is not None else None
    if call is None or call.statement is None or decl is None or not decl.has_body:
        return None
    for channel in local_channels(decl.file, decl.node):
        kept = [e for e in channel.escapes if _is_kept(decl.file, e)]
        given = [e for e in channel.escapes if is_returned(e, decl.node)]
        if kept and given and len(kept) + len(given) == len(channel.escapes):
            return (channel, call.statement) if _is_of_news(channel) else None
    return None


def _of_own(file: GoFile, receive: Node) -> tuple[Channel, Node] | None:
    function, name = receive.function, receive["operand"]
    if function is None or name.kind != "identifier":
        return None
    for channel in local_channels(file, function):
        if not any(o.node is receive for o in channel.of("receive")):
            continue
        statement = channel.make.statement
        if statement is None or channel.function is not function or not channel.escapes:
            return None
        if all(_is_kept(file, e) for e in channel.escapes) and _is_of_news(channel):
            return channel, statement
    return None


def _is_of_news(channel: Channel) -> bool:
    """Return whether all that its function does with a channel is to give it news at once."""
    return all(not o.calls and o.kind in {"send", "receive"} for o in channel.operations)


def _is_kept(file: GoFile, value: Node) -> bool:
    """Return whether a value goes into a list or map of the method's own object.

    `k.marks = append(k.marks, mark{n, c})`, `b.waiting[id] = c`
    """
    statement = value.statement
    if statement is None or statement.kind != "assignment_statement":
        return False
    if len(statement["left"].children) != 1:
        return False
    target = statement["left"].children[0]
    if target.kind != "index_expression" and not _appends(statement):
        return False
    while target.kind in {"index_expression", "selector_expression"}:
        target = target["operand"]
    binding = file.binding(target) if target.kind == "identifier" else None
    return binding is not None and binding.kind == "receiver" and _is_part(value, statement)


def _appends(statement: Node) -> bool:
    value = statement["right"].children[0]
    return value.kind == "call_expression" and value["function"].text == b"append"


def _is_part(value: Node, statement: Node) -> bool:
    """Return whether a value is stored as it is, or in a literal, and no call gets it."""
    for outer in value.ancestors():
        if outer is statement:
            return True
        if outer.kind == "call_expression" and outer["function"].text != b"append":
            return False
        if outer.kind == "func_literal":
            return False
    return False
