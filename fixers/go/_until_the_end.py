"""Goroutines of a test that take what an object gives until a deferred call ends that.

defer p.Stop()                          // closes a channel, and waits for nobody
go func() {
    for ev := range p.Events() {
        t.Log(ev)                       // what comes after Stop, too
    }
}()
p.Show("Lyra")                          // tells nothing of the goroutine
"""

from __future__ import annotations

import re

from threadmend.golang.channel_fields import shared_channel
from threadmend.golang.file import GoFile
from threadmend.golang.functions import method_call
from threadmend.golang.goroutines import Launch
from threadmend.golang.scope import Binding
from threadmend.golang.stops import leaves_loop
from threadmend.golang.syntax import Node

from ._ending_calls import only_ends

__all__ = ["ranges_until_the_end"]

_WAITS = re.compile(r"(?i)wait|done|close|drain|flush|join|finish|end")


def ranges_until_the_end(file: GoFile, launch: Launch, binding: Binding) -> bool:
    """Return whether a goroutine only ranges over what an object gives, and goes on until the
    test ends that in a deferred call, which waits for nobody.

    No other call of the test's can wait for the goroutine's end, as it lasts longer.
    """
    literal = launch.literal
    last = literal["body"].statements[-1:] if literal is not None else []
    if literal is None or not last or last[0].kind != "for_statement" or leaves_loop(last[0]):
        return False
    clause = next((c for c in last[0].children if c.kind == "range_clause"), None)
    if clause is None or not _is_closed(file, clause["right"]):
        return False
    inside = [u for u in binding.uses if literal.contains(u)]
    if not inside or not all(clause["right"].contains(use) for use in inside):
        return False
    outside = [u for u in binding.uses if not launch.node.contains(u) and u is not binding.node]
    ends = [u for u in outside if u.up("defer_statement") is not None and only_ends(file, u)]
    others = [u for u in outside if u not in ends and u.start > launch.node.end]
    return bool(ends) and all(_only_calls(launch, use) for use in others)


def _is_closed(file: GoFile, operand: Node) -> bool:
    """Return whether somebody closes the channel that a loop takes from: it comes to an end."""
    channel = shared_channel(file, operand)
    return channel is not None and bool(channel.of("close"))


def _only_calls(launch: Launch, use: Node) -> bool:
    """Return whether a test itself calls a method that does not say it waits."""
    call = method_call(use)
    if call is None or use.function is not launch.function:
        return False
    return not _WAITS.search(call["function"]["field"].name)
