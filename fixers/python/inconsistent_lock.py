"""Take the lock here as everywhere else

All other methods hold the lock when they use what this one changes: what they tested or counted
is no longer true, and their loops break. Where most uses of an attribute stand under a lock and
a few do not, that is a hint (shown when the rule is selected): either those few are mistakes, or
the lock is not what keeps the attribute safe. A lock that is called after the attribute
(`_jobs_lock` of `_jobs`) is there for it and for the calls of its methods, and where another lock
is held that nothing there needs, it is the wrong one.

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
from dataclasses import replace

from threadmend.model import Confidence, Finding
from threadmend.python.file import PythonFile

from ._forgotten import forgotten
from ._named_calls import named_calls
from ._uneven import uneven

CATEGORY = "shared-state"
GATE = rb"[lL]ock|Condition"

_SAID = "{} is used without {}, which {} other uses are under"
_CALLED = "{} is called without {}, which {} other calls are under"
_CHANGED = "{} is changed without {}, which {} other uses are under"


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the uses without the lock that most others are under."""
    others = uneven(file)
    told = {(one.use.function, one.lock.place) for one in others if one.is_step}
    for method in forgotten(file):
        place = (method.function, method.lock.place)
        if place not in told:  # counter-unlocked tells it
            told.add(place)
            yield method.finding(_CHANGED)
    for call in named_calls(file):
        yield call.finding(_CALLED)
    for one in others:
        if not one.is_step and (one.use.function, one.lock.place) not in told:
            yield replace(one.finding(_SAID), confidence=Confidence.LOW)
