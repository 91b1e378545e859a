"""Count under a lock

`self.total = self.total + f()` reads, computes and writes. Another thread that writes in between
has counted for nothing. A bare `self.n += 1` loses nothing on CPython 3.10 to 3.13, whose
interpreter does not switch threads inside of it: that is luck of the implementation; with a call
in it a third of the additions was lost in a measurement, and builds without the global lock
(3.13t, 3.14t) lose them both ways. An attribute that the rest of its class counts under a lock is
one that threads share, wherever they are started.

Not reported: what one thread alone changes; objects that each thread makes for itself; changes
under a lock, in private helpers that are always called with it, or before the threads start
and after they were joined; `itertools.count`, queues.

Unsafe: what ran at the same time now runs one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.model import Finding
from threadmend.python.file import PythonFile

from ._guarding import findings, raced
from ._uneven import uneven

CATEGORY = "shared-state"
GATE = rb"Thread|Executor|executor|to_thread|Timer\b|[lL]ock|Condition"

_THREADS = re.compile(rb"Thread|Executor|executor|to_thread|Timer\b")
_UNEVEN = "{} is read and written in two steps without {}, which {} other uses are under"


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the variables that several threads compute from their own old value."""
    said = "{} is read and written in two steps, and another thread may write it in between"
    known = set()
    if _THREADS.search(file.data):
        yield from findings(file, "counter", said)
        known = {(data.cls, data.name) for data, _ in raced(file)}
    for one in uneven(file):
        if one.is_step and (one.cls, one.use.name) not in known:
            yield one.finding(_UNEVEN)
