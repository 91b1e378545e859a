"""Release the lock before Wait

Wait returns when the last goroutine has called Done. A goroutine that needs the lock before
that, while the waiting function holds it, never gets there: both wait for ever.

Not reported: goroutines that take no lock, or another object's; a lock that is released
before Wait.

Unsafe: what is behind Wait runs without the lock.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.file import GoFile
from threadmend.model import Finding

from ._blocking import blocked

CATEGORY = "waitgroup"
GATE = rb"\.R?Lock\(\)|\.\w*[lL]ock\w*\(|\.(?:enter|begin|acquire|hold)\w*\("


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the Waits under a lock which a goroutine takes before its Done."""
    yield from blocked(file, {"wait"})
