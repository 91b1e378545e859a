"""The one function that sends on a field's channel, and what keeps its sends from a close."""

from __future__ import annotations

from dataclasses import dataclass

from threadmend.golang.channel_fields import SharedChannel
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch
from threadmend.golang.lefts import lefts_of
from threadmend.golang.locks import held_at
from threadmend.golang.recovering import sends_if_open
from threadmend.golang.repeats import is_repeated
from threadmend.golang.runners import only_launches, runners_of
from threadmend.golang.syntax import Node
from threadmend.golang.waitgroups import is_run_here

from ._called_behind import called_behind
from ._last_one import left_to_the_last

__all__ = ["SendingLoop", "keeps_out", "outermost", "receiver_of", "sending_loop"]


@dataclass(slots=True)
class SendingLoop:
    """A method that goroutines run and that sends; `launches` start it."""

    file: GoFile
    body: Node
    sends: list[ChannelOperation]
    launches: list[Launch]


def sending_loop(channel: SharedChannel, close: Node) -> SendingLoop | None:
    """Return the one function that sends, if only goroutines of the object run it."""
    found: dict[Node, SendingLoop] = {}
    for send in channel.of("send"):
        body = send.node.function
        if body is None or send.calls or body is close.function or send.file.is_test:
            return None
        if body not in found:
            launches = only_launches(send.file, body)
            if not launches:
                return None
            found[body] = SendingLoop(send.file, body, [], launches)
        found[body].sends.append(send)
    loops = list(found.values())
    return loops[0] if len(loops) == 1 else None


def keeps_out(loop: SendingLoop, file: GoFile, close: Node, *, alone: bool = True) -> bool:
    """Return whether no send can meet the close.

    Or who sends recovers from that. Both run under one lock, the last sender is the one to
    close, or the goroutine that closes at its end is the one that sends: the function that sends
    is called in it, passed to what calls it, or is a literal of it. Likewise the callers of a
    method that only closes. What a goroutine does at its end counts where it is `alone`.
    """
    if all(sends_if_open(send.file, send.node) for send in loop.sends):
        return True
    held = {h.lock_class for h in held_at(file, close)} - {None}
    for send in loop.sends:
        if held & {h.lock_class for h in held_at(send.file, send.node)}:
            return True
    runner = close.function
    if runner is not None and left_to_the_last(file, runner, close):
        return True
    if not alone:
        return False
    if called_behind(file, close, loop.body) or _is_awaited_above(file, close, loop):
        return True
    if _runs_in_the_sender(file, close, loop):
        return True
    while runner is not None and runner.kind == "func_literal" and is_run_here(runner):
        runner = runner.function
    if runner is None:
        return False
    if runner.contains(loop.body):
        return True
    names = {loop.body["name"].name} if loop.body.kind != "func_literal" else set()
    return any(
        c.kind in {"call_expression", "argument_list"}
        and any(
            value.name.rpartition(".")[2] in names
            for value in (c.children if c.kind == "argument_list" else [c["function"]])
        )
        for c in runner.own()
    )


def _runs_in_the_sender(file: GoFile, close: Node, loop: SendingLoop) -> bool:
    """Return whether the one goroutine that sends is also all that comes to the close.

    However many calls are between it and either of them.
    """
    launch = loop.launches[0]
    if len(loop.launches) != 1 or is_repeated(file.package.workspace.file_of(launch.node), launch):
        return False
    closers = runners_of(file, outermost(close))
    nodes = {launch.node for launch in closers.launches}
    return not closers.called and nodes == {launch.node}


def _is_awaited_above(file: GoFile, close: Node, loop: SendingLoop) -> bool:
    """Return whether the close stands behind a call of what launches the senders, each of which
    that waits for before it returns.
    """
    function = close.function
    for call in function.own() if function is not None else ():
        if call.kind != "call_expression" or call.end > close.start or call.runs_later:
            continue
        decl = file.callee(call)
        if decl is None or not decl.has_body or not decl.node.contains(loop.body):
            continue
        left = {one.launch.node for one in lefts_of(decl.file, decl.node)}
        return not any(launch.node in left for launch in loop.launches)
    return False


def outermost(call: Node) -> Node:
    """Return the method around a close, which stands in it or in a literal of it."""
    top = call
    while top.function is not None:
        top = top.function
    return top


def receiver_of(method: Node) -> str | None:
    names = [n for d in method["receiver"].children for n in d.all("name")]
    return names[0].name if names else None
