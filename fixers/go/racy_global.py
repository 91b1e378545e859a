"""Guard a package variable that several goroutines write

The package variable is written by code that runs in several goroutines at the same time.
Updates get lost, readers see half-written values, and what a slice, string or interface
holds then need not even be valid.

What starts the goroutines is visible: a launch in a loop, the same method launched twice, or
an HTTP handler, which the server runs once for each request at the same time. Followed
through calls whose callee is certain.

Not reported: a write under a lock, an Once, a channel used as a lock, or a test for one
goroutine (`if id == 0`, CompareAndSwap); an element of its own for each goroutine; objects
that a handler makes for its request; rounds that wait for what they launched; code whose
comment speaks of locks or races.

Unsafe: always. Every function of the package that uses the variable takes the new lock.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.package import Package
from threadmend.model import Finding

from ._new_lock import variable_races

CATEGORY = "shared-state"
GATE = rb"\bgo\s+[\w(]|\.Go\(|\bAfterFunc\b|\bResponseWriter\b|[(,] ?\w+\.[a-z]\w*\)|\bfunc\("


def check(package: Package) -> Iterator[Finding]:
    """Yield the package variables that several goroutines write."""
    yield from variable_races(package, maps=False)
