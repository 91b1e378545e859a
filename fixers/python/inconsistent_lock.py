"""Take the lock here as everywhere else

Most uses of an attribute stand under one lock, and a few do not. Either those few are mistakes,
or the lock is not what keeps the attribute safe; whoever reads the code cannot tell.

Not reported: values that are computed from the old one, see `counter-unlocked`; single reads,
which see the value before or the one after; attributes with fewer than two thirds of their uses
under the lock, or that are never changed under it; initializers and what only they call; handlers
after a fork, of pickling and of `repr`; private helpers that are always called with the lock,
names and docstrings that say that the caller holds it.

Unsafe: what ran at the same time now runs one after the other; code that left the lock out
on purpose, because one thread alone uses it then, waits for no reason.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.model import Finding
from threadmend.python.file import PythonFile

from ._uneven import uneven

CATEGORY = "shared-state"
GATE = rb"[lL]ock|Condition"
OPT_IN = True

_SAID = "{} is used without {}, which {} other uses are under"


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the uses without the lock that most others are under."""
    for one in uneven(file):
        if not one.is_step:
            yield one.finding(_SAID)
