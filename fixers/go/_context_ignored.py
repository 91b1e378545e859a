"""Answers of a request, awaited by a function that is given a context and never looks at it.

    func (b *box) ask(ctx context.Context, verb string) (string, error) {
        call := b.link.Go(verb)
        answer := <-call.Reply
        …
    }

Who answers looks the request up in a map, by what somebody else has said: nothing promises that he
does. The channel belongs to that request alone, so that nobody else gets an answer that comes late.
"""

from __future__ import annotations

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import with_capacity
from threadmend.golang.channel_fields import SharedChannel
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import held_at
from threadmend.golang.scope import Binding, bindings_in
from threadmend.golang.stops import Stop
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan, Map, is_named
from threadmend.model import Fix

from ._stop_cases import in_select

__all__ = ["ignored_context", "leaving_room"]

_MAKES = frozenset({"call_expression", "composite_literal", "unary_expression"})


def ignored_context(file: GoFile, receive: Node, channel: SharedChannel) -> Stop | None:
    """Return the context that a function is given, and does not use, beside such a wait."""
    function, operand = receive.function, receive["operand"]
    if file.is_test or function is None or function.kind == "func_literal":
        return None
    if receive.parent is None or receive.parent.kind == "expression_statement":
        return None  # what is not looked at is no answer
    if not channel.is_field or channel.of("close") or held_at(file, receive):
        return None
    if not _is_of_a_request(file, operand) or innermost_loop(receive) is not None:
        return None
    sends = channel.of("send")
    if not sends or not all(_is_looked_up(send) for send in sends):
        return None
    under = file.underlying(file.type_of(operand))
    if not isinstance(under, Chan) or str(under.elem) == "struct{}":
        return None
    context = _unused_context(file, function)
    return Stop(f"{context.name}.Done()", context.name) if context is not None else None


def _is_of_a_request(file: GoFile, operand: Node, made: frozenset[str] = _MAKES) -> bool:
    """Return whether a channel is a field of an object that the function has just got."""
    if operand.kind != "selector_expression" or operand["operand"].kind != "identifier":
        return False
    binding = file.binding(operand["operand"])
    if binding is None or binding.kind != "variable" or not is_assigned_once(binding):
        return False
    return bool(binding.values) and binding.values[0].kind in made


def _is_looked_up(send: ChannelOperation) -> bool:
    """Return whether an answer goes to what a map had under a key: `c := l.pending[id]`."""
    operand = send.node["channel"]
    if not _is_of_a_request(send.file, operand, frozenset({"index_expression"})):
        return False
    binding = send.file.binding(operand["operand"])
    value = binding.declaration["right"].children[0] if binding is not None else None
    if value is None or value.kind != "index_expression":
        return False
    return isinstance(send.file.underlying(send.file.type_of(value["operand"])), Map)


def _unused_context(file: GoFile, function: Node) -> Binding | None:
    type_of = file.package.workspace.inference.binding_type
    for group in bindings_in(function).values():
        for binding in group:
            if binding.kind == "parameter" and is_named(type_of(binding), "context.Context"):
                if binding.name != "_" and all(use is binding.node for use in binding.uses):
                    return binding
    return None


def leaving_room(
    file: GoFile, receive: Node, stop: Stop, channel: SharedChannel, why: str
) -> Fix | str:
    """Wait for the context as well; who answers later needs room for it.

    Sound: an answer belongs to its request, and nobody else receives it.
    """
    made = channel.makes[0] if len(channel.makes) == 1 else None
    if made is None or channel.stores:
        return "how much room an answer finds is not known"
    fix = in_select(file, receive, stop, why)
    if isinstance(fix, str) or not made.unbuffered:
        return fix
    if any(innermost_loop(o.node) is not None for o in channel.of("send")):
        return "several answers may come"
    if made.file.path != file.path:
        return f"{channel.name} is made without a buffer in another file"
    room = with_capacity(made.call, "1", made.maker)
    return Fix(fix.title, (*fix.edits, room), fix.safety, fix.reason)
