"""Lock for writing from the start

Lock waits until all readers are gone. A goroutine that holds the read lock and asks for the
write lock waits for itself; a RWMutex cannot be upgraded.

Not reported: a read lock that is released before; a lock of another object of the same type.

Unsafe: readers exclude each other in this section from now on.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.file import GoFile
from threadmend.model import Finding

from ._relock import relocks

CATEGORY = "mutex"
GATE = rb"\.RLock\(\)|\.\w*[lL]ock\w*\(|\.(?:enter|begin|acquire|hold)\w*\("


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the places where a lock is locked while the function holds its read lock."""
    yield from relocks(file, {("read", "write")})
