"""Sends on a field's channel from which no code receives: for `send-without-receiver`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import selector_meant
from threadmend.golang.calls import callers
from threadmend.golang.capacities import is_counted, slots_of
from threadmend.golang.channel_fields import Make, SharedChannel, shared_channel
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import declaration_of
from threadmend.golang.package import Package
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Finding, Related

__all__ = ["never_received"]

_SENDS = re.compile(rb" <- ")


def never_received(file: GoFile) -> Iterator[Finding]:
    """Yield the sends on a channel that only this package can see, and nobody receives from."""
    if file.is_test or file.generated:
        return
    for send in file.find("send_statement", _SENDS):
        operand = selector_meant(file, send["channel"])
        if send.field == "communication" or operand is None:
            continue
        if operand["field"].name[:1].isupper() or _is_received(file.package, operand):
            continue
        channel = shared_channel(file, operand)
        if channel is not None and _is_known(channel) and not channel.of("receive", "range"):
            yield _finding(file, send, channel)


def _is_received(package: Package, operand: Node) -> bool:
    """Return whether code receives from a field of this name, of whatever type."""
    name = operand["field"].name
    known: dict[str, bool] = package.facts.setdefault("received_names", {})
    if name not in known:
        word = re.escape(name.encode())
        pattern = re.compile(rb"(?:<-\s*|\brange )[\w.()\[\]]*\." + word + rb"\b")
        known[name] = any(pattern.search(f.data) for f in package.files)
    return known[name]


def _is_known(channel: SharedChannel) -> bool:
    """Return whether all that is done to a field's channel is in sight, and it has no room.

    A number of slots may be enough for all that is sent, unless more calls than that send and
    nobody looks how many are taken; a count that comes from elsewhere may be none at all.
    """
    if not channel.is_field or channel.escapes or channel.stores or not channel.makes:
        return False
    return all(m.unbuffered or _may_be_none(m) or _is_too_small(channel, m) for m in channel.makes)


def _is_too_small(channel: SharedChannel, make: Make) -> bool:
    """Return whether more calls send than there are slots, and each send waits for its slot."""
    slots = slots_of(make.file, make.capacity) if make.capacity is not None else None
    sends = channel.of("send")
    if slots is None or channel.of("len", "cap") or any(s.has_alternative for s in sends):
        return False
    calls = 0
    for send in sends:
        function = send.node.function
        decl = declaration_of(send.file, function) if function is not None else None
        if decl is None or innermost_loop(send.node) is not None:
            return False  # how many this sends is another question
        made = [site.call for site in callers(decl) if site.call is not None]
        calls += sum(1 if _is_made_once(call) else slots + 1 for call in made)
    return calls > slots


def _is_made_once(call: Node) -> bool:
    """Return whether a call is in no loop, or each round calls the method of another object."""
    loop = innermost_loop(call)
    if loop is None:
        return True
    clause = next((c for c in loop.children if c.kind == "range_clause"), None)
    function = call["function"]
    called = function["operand"].text if function.kind == "selector_expression" else b""
    each = clause.get("left") if clause is not None else None
    return each is not None and any(n.text == called for n in each.children)


def _may_be_none(make: Make) -> bool:
    """Return whether a capacity comes from who knows where: no number, and counted nowhere."""
    capacity = make.capacity
    return capacity is not None and not is_counted(make.file, capacity)


def _finding(file: GoFile, send: Node, channel: SharedChannel) -> Finding:
    name = send["channel"].name
    full = any(not m.unbuffered for m in channel.makes)
    when = "waits for ever once it is full" if full else "waits for ever"
    made = channel.makes[0].call
    return Finding(
        path=file.path,
        start=send.start,
        end=send.end,
        message=f"the send to {name} {when}: nobody receives from it",
        related=(Related(made.path, made.start, made.end, "made here"),),
        reason="who should receive cannot be told",
        confidence=Confidence.MEDIUM if full else Confidence.HIGH,
    )
