"""Test and change in one step

`if key not in cache: cache[key] = make(key)`: two threads see that the key is missing, and both
make it. `if stack: stack.pop()` finds the stack empty after all. What was tested is only true
while others are kept out. The same goes for what a method answers under the lock, when another
one changes it under the lock afterwards, and for what one section of a function reads under the
lock and the next one relies on.

Not reported: tests and changes under one lock, tests that are repeated under it (see
`double-checked-once`), data that one thread alone changes, flags like `if self.started: return`
that only whoever calls sets.

Unsafe: what ran at the same time now runs one after the other; a lock becomes re-entrant
where a function that was handed in runs under it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.model import Finding
from threadmend.python.file import PythonFile

from ._answered import answered
from ._guarding import findings
from ._two_sections import in_two_sections

CATEGORY = "shared-state"
GATE = rb"Thread|Executor|executor|to_thread|Timer\b|[lL]ock\b"

_THREADS = re.compile(rb"Thread|Executor|executor|to_thread|Timer\b")


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the tests of shared data that decide on a change of it."""
    said = "{} may be another when it is changed than when it was tested"
    if _THREADS.search(file.data):
        yield from findings(file, "check", said)
    yield from answered(file)
    yield from in_two_sections(file)
