"""Receives from a field's channel on which no code sends: for `receive-without-exit`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import selector_meant
from threadmend.golang.channel_fields import SharedChannel, literals_of, shared_channel
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Finding, Related

__all__ = ["never_sent"]

_ENDS_BY_ITSELF = re.compile(rb"^time\.|\.(?:Done|After|C)(?:\(\))?$")
_ON_PURPOSE = re.compile(r"(?i)never|block|forever|unused|dummy|noop")


def never_sent(file: GoFile, receive: Node) -> Iterator[Finding]:
    """Yield the finding for a receive that nothing can end.

    The channel is an unexported field that is made, never set to anything else and never
    handed out of sight; in no file, tests included, does anybody send on it or close it.
    """
    operand = selector_meant(file, receive["operand"]) or receive["operand"]
    if operand.kind not in {"selector_expression", "call_expression"} or file.is_test:
        return
    if _ENDS_BY_ITSELF.search(operand.text):
        return
    if ChannelOperation("receive", receive, file).has_alternative:
        return
    channel = shared_channel(file, operand)
    if channel is None or not channel.is_field or not channel.makes or channel.exported:
        return
    if channel.escapes or channel.stores or channel.of("send", "close") or _hidden(channel):
        return
    name = f"{channel.decl.name}.{channel.name}"
    make = channel.makes[0].call
    yield Finding(
        path=receive.path,
        start=receive.start,
        end=receive.end,
        message=f"nobody sends on {name}, or closes it: this receive waits for ever",
        related=(Related(make.path, make.start, make.end, "the channel is made here"),),
        reason="who should send is not to be seen",
        confidence=Confidence.MEDIUM,
    )


def _hidden(channel: SharedChannel) -> bool:
    """Return whether the field may be set by its position, or is there to wait for ever."""
    if _ON_PURPOSE.search(channel.name):
        return True
    for file, literal in literals_of(channel.decl):
        if any(e.kind != "keyed_element" for e in literal["body"].children):
            return True
        if file.package is not channel.package:
            return True
    return False
