"""A stop channel of the receiver's own, in the place of its close of the sender's channel.

sheets := make(chan Sheet)              sheets := make(chan Sheet)
go func() {                             stop := make(chan struct{})
    for page := range pages {           defer close(stop)
        sheets <- layout(page)          …
    }                                   select {
}()                                     case sheets <- layout(page):
…                                       case <-stop:
if err := print(<-sheets); err != nil {     return
    close(sheets)                       }
    return err
}
"""

from __future__ import annotations

from threadmend.golang.builders import (
    BuilderError,
    at_margin,
    delete,
    free_name,
    insert_after,
    realigned,
    replace,
    taken_names,
)
from threadmend.golang.channels import Channel, ChannelOperation, runner_of
from threadmend.golang.file import GoFile
from threadmend.golang.flow import is_never_after
from threadmend.golang.functions import result_nodes
from threadmend.golang.goroutines import Launch
from threadmend.golang.leaving import owed_after
from threadmend.golang.repeats import is_repeated
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Fix, Safety

from ._closer import by_producer

__all__ = ["told_to_stop"]


def told_to_stop(
    file: GoFile, function: Node, channel: Channel, close: ChannelOperation
) -> Fix | None:
    """Return the fix that tells the one goroutine which sends to end, when the function returns.

    Sound: nobody receives after the close, and nobody else waits for it; the goroutine does
    nothing after its sends.
    """
    made, statement = channel.make.statement, close.node.parent
    if made is None or made.parent is not function["body"] or statement is None:
        return None
    if statement.kind != "expression_statement" or close.node.function is not function:
        return None
    sends = channel.of("send")
    body = _sender(function, sends)
    if body is None or any(owed_after(body, send.node) is not None for send in sends):
        return None
    for receive in channel.of("receive", "range"):
        own = receive.node.function is function and not receive.calls
        if not own or not is_never_after(receive.node, close.node):
            return None
    if len(channel.operations) != len(sends) + 1 + len(channel.of("receive", "range")):
        return None
    name = free_name("stop", taken_names(function))
    edits: list[Edit] = [
        *insert_after(made, f"{name} := make(chan struct{{}})\ndefer close({name})")
    ]
    try:
        for send in sends:
            code = f"select {{\ncase {at_margin(send.node)}:\ncase <-{name}:\n\treturn\n}}"
            edits += replace(send.node, code)
        edits += delete(statement)
        if channel.of("range"):  # it comes to its end where the receiver stays
            launch = runner_of(sends[0], function)
            if not isinstance(launch, Launch) or is_repeated(file, launch, channel.make):
                return None
            edits += by_producer(file, channel, launch)
    except BuilderError:
        return None
    title = f"Tell the sender to stop instead of closing {channel.binding.name}"
    reason = "the sender ends when the receiver has left"
    return Fix(title, realigned(file.package.workspace, edits), Safety.UNSAFE, reason)


def _sender(function: Node, sends: list[ChannelOperation]) -> Node | None:
    """Return the literal without results that is launched, and makes all sends as statements."""
    bodies = {send.node.function for send in sends}
    body = bodies.pop() if len(bodies) == 1 else None
    if body is None or body.kind != "func_literal" or result_nodes(body):
        return None
    runners = [runner_of(send, function) for send in sends]
    if not all(isinstance(r, Launch) and r.kind == "go" and r.literal is body for r in runners):
        return None
    return None if any(send.calls or send.case is not None for send in sends) else body
