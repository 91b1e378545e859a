"""Do not wait for a channel with the lock held that the other side needs

A send or receive under a lock waits for another goroutine, and that goroutine waits for the
lock. Nothing moves any more, and everybody else who wants the lock stands behind them. It
goes well for as long as the other side happens to be ready, or the buffer has room. Likewise
sends to subscribers, in a loop over the list from which one takes itself under the same lock; and
a lock for a key, waited for under the lock that whoever has it needs in order to give it back.

Not reported: an operation that another side can complete which never takes the lock; a
select with another case, unless that only says that all is over; a channel of which some use
is out of sight; a lock that is released on the way.

Unsafe: the critical section ends earlier, so that others may come in before the send.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.file import GoFile
from threadmend.model import Finding

from ._blocking import blocked
from ._lock_handed_out import handed_out
from ._to_subscribers import to_subscribers

CATEGORY = "mutex"
GATE = rb"\.R?Lock\(\)|\.\w*[lL]ock\w*\(|\.(?:enter|begin|acquire|hold)\w*\("


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the sends and receives under a lock which the other side needs."""
    yield from blocked(file, {"send", "receive"})
    yield from to_subscribers(file)
    yield from handed_out(file)
