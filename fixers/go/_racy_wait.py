"""Wait for the goroutine of a command that was killed, before what it writes is used."""

from __future__ import annotations

import re

from threadmend.golang.builders import BuilderError, insert_after
from threadmend.golang.channels import Channel, local_channels
from threadmend.golang.goroutines import Launch, launch_of_literal
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Fix, Safety

from ._racy import Race

__all__ = ["by_wait"]

_KILLS = re.compile(rb"\b([\w.]+)\.Process\.Kill\(\)")


def by_wait(race: Race) -> Fix | None:
    """Receive the goroutine's signal, which comes last, behind the call that ends its command.

    Sound: `cmd.Wait` returns when the process has been killed, and the signal orders all that
    the goroutine wrote before what the function does behind the select.
    """
    found = {a.node.function for a in race.racing if a.inside}
    literal = found.pop() if len(found) == 1 else None
    launch = launch_of_literal(race.file, literal) if literal is not None else None
    if literal is None or launch is None or launch.loop is not None or launch.function is None:
        return None
    for channel in local_channels(race.file, launch.function):
        signal = _last_signal(channel, literal)
        select = _select(channel, launch) if signal is not None else None
        edits = _waits(channel, select, literal) if select is not None else None
        if select is not None and edits and _is_behind(race, select, channel):
            title = f"Receive from {channel.binding.name} after the Kill"
            return Fix(title, edits, Safety.UNSAFE, "the function waits until the process is gone")
    return None


def _last_signal(channel: Channel, literal: Node) -> Node | None:
    """Return the plain send or close with which a goroutine ends, of a channel of one receiver."""
    statements = literal["body"].statements
    last = statements[-1] if statements else None
    if last is None or channel.escapes:
        return None
    signals = [o.node.statement or o.node for o in channel.of("send", "close")]
    return last if signals == [last] else None


def _select(channel: Channel, launch: Launch) -> Node | None:
    """Return the select, in no loop of its own, in which alone the signal is received."""
    receives = channel.of("receive", "range")
    select = receives[0].select if len(receives) == 1 else None
    if select is None or select.function is not launch.function:
        return None
    return select if select.parent is launch.statement.parent else None


def _waits(channel: Channel, select: Node, literal: Node) -> tuple[Edit, ...] | None:
    """Return the edits that receive the signal in each other case, all of which end the command."""
    edits: tuple[Edit, ...] = ()
    own = channel.of("receive")[0].case
    for case in select.children:
        if case is own or (case.get("communication") is None and case.kind != "default_case"):
            continue
        statements = case.statements
        killing = next((s for s in statements if _ends(s, literal)), None)
        if killing is None:
            return None
        try:
            edits += insert_after(killing, f"<-{channel.binding.name}")
        except BuilderError:
            return None
    return edits


def _ends(statement: Node, literal: Node) -> bool:
    """Return whether a statement kills the command for which the goroutine waits."""
    found = _KILLS.search(statement.text)
    if found is None:
        return False
    if statement.kind == "if_statement":
        head = statement.get("initializer")
        if head is None or found.start() >= head.end - statement.start:
            return False  # in a branch
    return re.search(rb"\b" + re.escape(found[1]) + rb"\.Wait\(\)", literal.text) is not None


def _is_behind(race: Race, select: Node, channel: Channel) -> bool:
    """Return whether all that races with the goroutine comes after its signal then."""
    own = channel.of("receive")[0].case
    outside = [a.node for a in race.racing if not a.inside]
    return bool(outside) and all(
        node.start >= select.end or (own is not None and own.contains(node)) for node in outside
    )
