"""Endless sends of a launched function, whose launcher alone has the context of the stream.

func (m Model) Stream(ctx context.Context) <-chan Tooth {     func (m Model) descend(
    teeth := make(chan Tooth)                                     teeth chan<- Tooth) {
    go m.descend(teeth)                                           for stratum := 0; ; stratum++ {
    return teeth                                                      teeth <- m.at(stratum)
}                                                                 }}

Also where the channel is in a field of an object that the launcher makes and returns, and has taken
a context for nothing else.
"""

from __future__ import annotations

import re
from dataclasses import replace

from threadmend.golang.builders import BuilderError
from threadmend.golang.calls import callers
from threadmend.golang.channel_fields import SharedChannel
from threadmend.golang.channel_index import behind
from threadmend.golang.channels import Channel, runner_of
from threadmend.golang.file import GoFile
from threadmend.golang.functions import result_nodes
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.locks import declaration_of, held_at
from threadmend.golang.scope import bindings_in
from threadmend.golang.stops import endless, leaves_loop, listens, stops_at
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, deref, is_named
from threadmend.model import Fix

from ._given_context import Given, given_context
from ._stop_cases import in_select
from ._unreceived import is_returned

__all__ = ["streamed", "with_context"]

_REASON = "the function now leaves without having sent"
# What these return outlives the call, and the context that was for it.
_CONSTRUCTS = re.compile(r"(?i)(?:new|make|create|build|dial|connect|open|init|setup|start)")


def streamed(file: GoFile, send: Node) -> Given | None:
    """Return how the function around a send gets the context of those who got its channel."""
    loop, function = innermost_loop(send), send.function
    if loop is None or function is None or function.kind == "func_literal":
        return None
    if not endless(loop) or leaves_loop(loop) or listens(file, loop) or held_at(file, send):
        return None
    channel = behind(file, send)
    if channel.shared is not None:
        if not _is_in_object(file, channel.shared, function):
            return None
    elif not channel.local or not all(_is_streamed(file, made, function) for made in channel.local):
        return None
    return given_context(file, send, 1) if not stops_at(file, send) else None


def _is_streamed(file: GoFile, channel: Channel, function: Node) -> bool:
    """Return whether whoever launches the function makes the channel, and returns it as a stream.

    Nothing else happens to the channel there; who received may leave at any time.
    """
    maker = channel.function
    name = maker.get("name") if maker is not None else None
    if maker is None or name is None or _CONSTRUCTS.match(name.name):
        return False
    result = maker.get("result")
    if result is None or result.kind != "channel_type" or not channel.escapes:
        return False
    if not all(is_returned(escape, maker) for escape in channel.escapes):
        return False
    if channel.of("receive", "range") or any(o.has_alternative for o in channel.of("send")):
        return False
    runners = [runner_of(send, maker) for send in channel.of("send")]
    return all(
        isinstance(runner, Launch)
        and runner.kind == "go"
        and runner.function is maker
        and runner.body is function
        for runner in runners
    )


def _is_in_object(file: GoFile, channel: SharedChannel, function: Node) -> bool:
    """Return whether only the function sends, for an object that its launcher makes and returns.

    The launcher's context is for the stream alone: nothing else uses it.
    """
    decl = declaration_of(file, function)
    sites = callers(decl) if decl is not None else []
    maker = sites[0].node.function if len(sites) == 1 and sites[0].launched else None
    name = maker.get("name") if maker is not None else None
    if maker is None or name is None or _CONSTRUCTS.match(name.name):
        return False
    if not channel.is_field or channel.stores or channel.of("close", "range"):
        return False
    sends = channel.of("send")
    if any(o.has_alternative or o.node.function is not function for o in sends):
        return False
    where = sites[0].file
    if not any(_is_for(where, result, channel) for result in result_nodes(maker)):
        return False
    contexts = [
        b
        for group in bindings_in(maker).values()
        for b in group
        if b.kind == "parameter" and is_named(where.type_of(b.node), "context.Context")
    ]
    return len(contexts) == 1 and all(use is contexts[0].node for use in contexts[0].uses)


def _is_for(file: GoFile, result: Node, channel: SharedChannel) -> bool:
    """Return whether a result is the object, or points to it, that has the channel in a field."""
    type_ = deref(file.package.workspace.inference.type_from(result))
    package = channel.package.key
    return isinstance(type_, Named) and (type_.package, type_.name) == (package, channel.decl.name)


def with_context(file: GoFile, send: Node, given: Given) -> Fix | str:
    """Give the function the context, and let its send listen."""
    fix = in_select(file, send, given.stop, _REASON)
    if isinstance(fix, str):
        return fix
    try:
        return replace(fix, edits=fix.edits + given.edits())
    except BuilderError as error:
        return str(error)
