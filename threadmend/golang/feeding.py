"""Feeding: a loop that hands jobs to the loop of a goroutine, round after round.

    for _, name := range names {          for name := range queue {
        if _, ok := seen[name]; !ok {         seen[name] = load(name)
            queue <- name                 }
        }
    }

What the feeder does before a send is done when that job arrives. What it does in its next round
is not: by then the other one may still be at work on the job before. So neither the sends nor a
lock that both take order what one round does with what another one does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from threadmend.golang.signals import Signal, may_match

if TYPE_CHECKING:
    from threadmend.golang.strands import Level, Place, Strand
    from threadmend.golang.syntax import Node
    from threadmend.golang.waiting import Waiting

__all__ = ["feeding", "orders_no_round"]


def feeding(waiting: Waiting, strand: Strand, launched: Place, parent: Place) -> list[Signal]:
    """Return the sends by which a loop around one place feeds the loop around another's.

    `parent` is the place of the feeder, which has launched the goroutine before its loop.
    """
    sends = [
        signal
        for level in parent.levels
        for loop in _loops(level)
        if strand.launch is not None and not loop.contains(strand.launch.node)
        for signal in _inside(waiting, level, loop)
        if signal.node.kind == "send_statement"
    ]
    if not sends:
        return []
    received = [
        signal
        for level in launched.levels
        for loop in _loops(level)
        for signal in _inside(waiting, level, loop)
        if signal.kind == "receive" and signal.node.start < level.node.start
    ]
    return [s for s in sends if any(may_match(s, r) for r in received)]


def orders_no_round(signal: Signal, feeds: Sequence[Signal]) -> bool:
    """Return whether a signal orders nothing from one round to the next.

    It receives what is fed, or is a lock: whoever comes first goes on.
    """
    if not feeds:
        return False
    if signal.kind == "receive":
        return any(may_match(feed, signal) for feed in feeds)
    return signal.kind == "lock" and signal.name != "Wait"


def _loops(level: Level) -> Iterator[Node]:
    for ancestor in level.node.ancestors():
        if ancestor is level.function:
            return
        if ancestor.kind == "for_statement":
            yield ancestor


def _inside(waiting: Waiting, level: Level, loop: Node) -> Iterator[Signal]:
    for _, signal in waiting.signals_of(level.function):
        if loop.contains(signal.node):
            yield signal
