"""Do not take a read lock twice

A second RLock by the same goroutine looks harmless, because readers share the lock. But a
writer that asks in between closes the door for new readers: it waits for the first RLock to
end, the second RLock waits for the writer, and both wait for ever. It happens under load
only, when a writer falls into the gap.

Not reported: a lock that nothing in the package locks for writing; a lock of another object
of the same type; a lock that is released in between.

Unsafe: what ran under the second read lock runs under the first.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.file import GoFile
from threadmend.model import Finding

from ._relock import relocks

CATEGORY = "mutex"
GATE = rb"\.RLock\(\)|\.\w*[lL]ock\w*\(|\.(?:enter|begin|acquire|hold)\w*\("


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the places where a read lock that is held is taken once more."""
    yield from relocks(file, {("read", "read")})
