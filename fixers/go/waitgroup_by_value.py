"""Pass a WaitGroup by pointer.

A function that takes a sync.WaitGroup by value counts down a copy: Done never reaches the
WaitGroup that Wait looks at, and Wait blocks for ever (or Add on the copy is never waited
for). The parameter, result, variable or field becomes a pointer, and every call in the
project passes `&wg`.

Not reported:
- a fresh value: `sync.WaitGroup{}`, the result of a call;
- a WaitGroup that is copied before anything was done with it;
- a struct that contains a WaitGroup: see mutex-copied.

Unsafe: where the function is exported from the module, so that callers elsewhere have to
follow.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.copies import Copy
from threadmend.golang.file import GoFile
from threadmend.golang.types import Named
from threadmend.model import Confidence, Finding

from ._copied import found

CATEGORY = "waitgroup"
ALSO = "govet copylocks revive"
GATE = rb"\bWaitGroup\b"

_WAIT_GROUP = Named("sync", "WaitGroup")


def check(file: GoFile) -> Iterator[Finding]:
    """Yield a finding for every copy of a WaitGroup that is in use."""
    for finding in found(file, _is_wanted):
        if finding.confidence is Confidence.HIGH:
            yield finding


def _is_wanted(copy: Copy) -> bool:
    return copy.type == _WAIT_GROUP
