"""Literals that get their channel from a function that takes all they send: it ranges over it.

parallel(func(queue chan<- func()) {        func parallel(feed func(chan<- func())) {
    for { … queue <- work … }                   queue := make(chan func())
})                                              defer close(queue)
                                                for range n { go drain(queue) }
                                                feed(queue)
                                            }
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import is_assigned_once
from threadmend.golang.calls import callers
from threadmend.golang.channels import Channel, initialised
from threadmend.golang.file import GoFile
from threadmend.golang.keepers import parameter_name
from threadmend.golang.local_fields import held_channels
from threadmend.golang.locks import declaration_of
from threadmend.golang.scope import Binding, position_of
from threadmend.golang.stops import leaves_loop
from threadmend.golang.syntax import Node

__all__ = ["drained_by_caller"]


def drained_by_caller(file: GoFile, parameter: Binding) -> bool:
    """Return whether who calls a literal gives it a channel over which goroutines range to the end.

    Such a send waits for a receiver, and one comes.
    """
    if _drained_by_callers(file, parameter):
        return True
    literal = parameter.scope
    group = literal.parent
    call = group.parent if group is not None and group.kind == "argument_list" else None
    if literal.kind != "func_literal" or group is None or call is None:
        return False
    decl = file.callee(call) if call.kind == "call_expression" else None
    place = position_of(literal, parameter)
    if decl is None or not decl.sound or not decl.has_body or place is None:
        return False
    position = next(i for i, child in enumerate(group.children) if child is literal)
    name = parameter_name(decl.node, position)
    binding = decl.file.binding(name) if name is not None else None
    calls = [u.parent for u in binding.uses if u.field == "function"] if binding else []
    given = [
        decl.file.binding(c["arguments"].children[place])
        for c in calls
        if c is not None and len(c["arguments"].children) > place
    ]
    channels = {c.binding: c for c in held_channels(decl.file, decl.node)}
    found = [channels.get(b) if b is not None else None for b in given]
    return bool(found) and all(c is not None and _is_taken_whole(c) for c in found)


def _drained_by_callers(file: GoFile, parameter: Binding) -> bool:
    """Return whether all who call a function give it a channel that somebody takes to the end.

    events := make(chan event); go show(events); go monitor(events, stop), where show ranges.
    """
    place = position_of(parameter.scope, parameter)
    given = [*_arguments(file, parameter.scope, place)] if place is not None else []
    names = {name for _, name in given}
    return bool(given) and all(
        name is not None
        and (binding := using.binding(name)) is not None
        and binding.function is not None
        and any(
            c.binding is binding and names.issuperset(c.escapes) and _is_taken_whole(c)
            for c in held_channels(using, binding.function)
        )
        for using, name in given
    )


def _arguments(file: GoFile, function: Node, place: int) -> Iterator[tuple[GoFile, Node | None]]:
    """Yield what each call of a function gives as one of its arguments, None for another use."""
    if function.kind == "func_literal":
        holder = initialised(file, function)
        if holder is None or not is_assigned_once(holder):
            return
        sites = [(file, u.parent if u.field == "function" else None) for u in holder.uses[1:]]
    else:
        decl = declaration_of(file, function)
        if decl is None or decl.exported:
            return
        sites = [(site.file, site.call) for site in callers(decl)]
    for using, call in sites:
        arguments = call["arguments"].children if call is not None else []
        named = len(arguments) > place and arguments[place].kind == "identifier"
        yield using, arguments[place] if named else None


def _is_taken_whole(channel: Channel) -> bool:
    """Return whether only loops that nobody leaves receive from a channel."""
    loops = [r.node.parent for r in channel.of("range") if r.node.parent is not None]
    return bool(loops) and not channel.of("receive") and not any(map(leaves_loop, loops))
