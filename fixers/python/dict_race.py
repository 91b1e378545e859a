"""Change an entry under a lock

`hits[key] = hits.get(key, 0) + 1` reads the entry and writes it later. What another thread has
written in between is lost, as with every `counts[key] += 1`.

Not reported: single steps, which are safe (`append`, `d[k] = v`, `setdefault`); dictionaries
that one thread alone changes; changes under a lock or in helpers that are always called with it.

Unsafe: what ran at the same time now runs one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.model import Finding
from threadmend.python.file import PythonFile

from ._guarding import findings

CATEGORY = "shared-state"
GATE = rb"Thread|Executor|executor|to_thread|Timer\b"


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the containers whose entries several threads compute from their old values."""
    said = (
        "an entry of {} is read and written in two steps, and another thread may write in between"
    )
    yield from findings(file, "element", said)
