"""Closes of a field's channel on which goroutines send through a method: a flag under a lock."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import (
    BuilderError,
    add_field,
    insert_at_start,
    or_reason,
    package_name,
    reach_import,
    realign,
)
from threadmend.golang.channel_fields import (
    SharedChannel,
)
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.locks import locks_of
from threadmend.golang.runners import runners_of
from threadmend.golang.stops import endless
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._beside import beside

__all__ = ["closed_under_senders"]


def closed_under_senders(
    file: GoFile, call: Node, channel: SharedChannel, method: Node
) -> Iterator[Finding]:
    """Yield the close by a method that meets the sends of another, which a goroutine may call.

    The goroutine loops without end, and nobody waits for it: its next send panics.
    """
    sends = [s for s in channel.of("send") if not s.file.is_test]
    send = sends[0] if len(sends) == 1 else None
    body = send.node.function if send is not None else None
    if send is None or body is None or send.calls or send.select is not None:
        return
    if body.kind != "method_declaration" or send.node.parent is not body["body"]:
        return
    launch = _looping(send)
    if launch is None or any(locks_of(f, b).operations for f, b in _both(file, method, send)):
        return
    fix = _fix(file, call, channel, method, send)
    name = call["arguments"].children[0].name
    yield Finding(
        path=file.path,
        start=call.start,
        end=call.end,
        message=f"{name} is closed while a goroutine may still send to it",
        fixes=(fix,) if isinstance(fix, Fix) else (),
        related=(
            Related(send.node.path, send.node.start, send.node.end, "sent here"),
            Related(launch.node.path, launch.node.start, launch.node.start + 2, "launched here"),
        ),
        reason=fix if isinstance(fix, str) else "",
        confidence=Confidence.MEDIUM,
    )


def _both(file: GoFile, method: Node, send: ChannelOperation) -> Iterator[tuple[GoFile, Node]]:
    yield file, method
    if send.node.function is not None:
        yield send.file, send.node.function


def _looping(send: ChannelOperation) -> Launch | None:
    """Return a goroutine of the package that calls what sends again and again."""
    body = send.node.function
    assert body is not None
    name = body["name"].name
    for launch in runners_of(send.file, body).launches:
        if launch.body is None or launch.body is body:
            continue
        for call in launch.body.own():
            if call.kind != "call_expression" or call["function"].name.rpartition(".")[2] != name:
                continue
            loop = innermost_loop(call)
            if loop is not None and endless(loop):
                return launch
    return None


@or_reason
def _fix(
    file: GoFile, call: Node, channel: SharedChannel, method: Node, send: ChannelOperation
) -> Fix:
    """Close under a lock, and send only under it and before.

    Sound: a send holds the read lock until its value is taken, so that the close comes after
    it; the next one sees the flag.
    """
    body = send.node.function
    if body is None or body.get("result") is not None:
        raise BuilderError("what the method that sends should return then cannot be told")
    sender, closer = _pointer(body), _pointer(method)
    if sender is None or closer is None:
        raise BuilderError("a method has no pointer to its object")
    place = beside(channel)
    mu, flag = place.free("mu"), place.free("closed")
    tree = channel.decl.file.tree
    sync = package_name(tree, "sync")
    check = (
        f"{sender}.{mu}.RLock()\ndefer {sender}.{mu}.RUnlock()\nif {sender}.{flag} {{\n\treturn\n}}"
    )
    code = f"{closer}.{mu}.Lock()\ndefer {closer}.{mu}.Unlock()\n{closer}.{flag} = true"
    edits: tuple[Edit, ...] = add_field(place.struct, mu, f"{sync}.RWMutex", before=place.field)
    edits += add_field(place.struct, flag, "bool", after=place.field)
    edits += reach_import(tree, "sync")
    edits += insert_at_start(body["body"], check) + insert_at_start(method["body"], code)
    here = [e for e in edits if e.path == channel.decl.file.path]
    rest = tuple(e for e in edits if e.path != channel.decl.file.path)
    title = f"Send to {channel.name} only until it is closed"
    reason = "what is sent later is dropped, and the close waits for a send that waits"
    return Fix(title, (*realign(tree, here), *rest), Safety.UNSAFE, reason)


def _pointer(method: Node) -> str | None:
    receiver = method.get("receiver")
    if receiver is None or next(receiver.find("pointer_type"), None) is None:
        return None
    names = [n.name for d in receiver.children for n in d.all("name")]
    return names[0] if names and names[0] != "_" else None
