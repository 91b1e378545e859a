"""Literals that get their channel from a function that takes all they send: it ranges over it.

parallel(func(queue chan<- func()) {        func parallel(feed func(chan<- func())) {
    for { … queue <- work … }                   queue := make(chan func())
})                                              defer close(queue)
                                                for range n { go drain(queue) }
                                                feed(queue)
                                            }
"""

from __future__ import annotations

from threadmend.golang.file import GoFile
from threadmend.golang.keepers import parameter_name
from threadmend.golang.local_fields import held_channels
from threadmend.golang.scope import Binding, position_of
from threadmend.golang.stops import leaves_loop

__all__ = ["drained_by_caller"]


def drained_by_caller(file: GoFile, parameter: Binding) -> bool:
    """Return whether who calls a literal gives it a channel over which goroutines range to the end.

    Such a send waits for a receiver, and one comes.
    """
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
    return bool(found) and all(
        channel is not None
        and bool(channel.of("range"))
        and not channel.of("receive")
        and not any(leaves_loop(r.node.parent) for r in channel.of("range") if r.node.parent)
        for channel in found
    )
