"""Goroutines that are given a channel, on which somebody waits, and do nothing with it."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import BuilderError, insert_at_start
from threadmend.golang.channels import Channel, local_channels, passed_to
from threadmend.golang.file import GoFile
from threadmend.golang.makers import making
from threadmend.golang.syntax import Node
from threadmend.model import Finding, Fix, Related, Safety

__all__ = ["never_signalled"]


def never_signalled(file: GoFile) -> Iterator[Finding]:
    """Yield the receives from a channel that its goroutine was given and does nothing with."""
    for function in file.functions(making(file.package)):
        for channel in local_channels(file, function):
            receives = [o for o in channel.of("receive") if o.node.function is function]
            if channel.escapes or not receives or len(channel.operations) != len(receives):
                continue
            given = _given(file, channel)
            if given is None or any(o.select is not None for o in receives):
                continue
            body, name = given
            try:
                edits = insert_at_start(body["body"], f"defer close({name})")
                fix = Fix(f"Defer close({name})", edits, Safety.UNSAFE, "the waiter goes on then")
            except BuilderError:
                continue
            node = receives[0].node
            yield Finding(
                path=file.path,
                start=node.start,
                end=node.end,
                message=f"the goroutine that has {channel.binding.name} neither sends nor closes",
                fixes=(fix,),
                related=(Related(body.path, body.start, body["body"].start, "never signals"),),
            )


def _given(file: GoFile, channel: Channel) -> tuple[Node, str] | None:
    """Return the one launched function that a channel is passed to, and its parameter."""
    found = []
    for node in channel.binding.uses:
        passed = passed_to(file, node) if node is not channel.binding.node else None
        if passed is None:
            continue
        call, _, parameter = passed
        if not call.is_launched or len(parameter.uses) > 1:
            return None
        found.append((parameter.scope, parameter.name))
    return found[0] if len(found) == 1 and found[0][1] != "_" else None
