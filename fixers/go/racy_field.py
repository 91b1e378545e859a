"""Guard a field that several goroutines write

The field of a struct without a lock is written by code that runs in several goroutines at
the same time, on one object. Updates get lost, readers see half-written values, and what a
slice, string or interface holds then need not even be valid.

What starts the goroutines is visible: a launch in a loop, the same method launched twice, or
an HTTP handler, which the server runs once for each request at the same time. Followed
through calls whose callee is certain.

Likewise a channel that is closed and then set to nil, while a goroutine reads the field again in
each of its rounds: that one gets a variable with the channel.

Likewise a flag that a goroutine, left running by a constructor or a start method, looks at in each
of its rounds and an exported method sets.

Likewise a field that a goroutine sets when it begins to serve, and the method that stops it reads.

Likewise what a method counts or collects in a goroutine that each of its calls launches, and what
one writes that a field keeps and a timer or goroutine calls.

Likewise a sync.Once that an exported method replaces by a fresh one.

Not reported: a write under a lock, an Once, a channel used as a lock, or a test for one
goroutine (`if id == 0`, CompareAndSwap); an element of its own for each goroutine; objects
that a handler makes for its request; rounds that wait for what they launched; code whose
comment speaks of locks or races.

Unsafe: where a new lock is needed. Every function of the package that uses the variable takes
it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from threadmend.golang.package import Package
from threadmend.model import Finding

from ._channel_taken_away import channels_taken_away
from ._left_running import left_running
from ._new_lock import owner_races
from ._once_replaced import once_replaced
from ._stopped_while_running import stopped_while_running

CATEGORY = "shared-state"
GATE = rb"\bgo\s+[\w(]|\.Go\(|\bAfterFunc\b|\bResponseWriter\b|[(,] ?\w+\.[a-z]\w*\)|\bfunc\("


def check(package: Package) -> Iterator[Finding]:
    """Yield the structs whose fields several goroutines write, each place once.

    `s.options.nodes = …` writes the options, and the nodes.
    """
    seen: set[tuple[str, int]] = set()
    for finding in chain(
        owner_races(package, maps=False),
        channels_taken_away(package),
        left_running(package),
        stopped_while_running(package),
        once_replaced(package),
    ):
        if (finding.path, finding.start) not in seen:
            seen.add((finding.path, finding.start))
            yield finding
