"""Guard a map that several goroutines write

The map, a field, a package variable or an argument of what a loop launches, is written by code
that runs in several goroutines at the same time. Go's maps find out: "fatal error: concurrent
map writes" ends the process, and no recover helps.

What starts the goroutines is visible: a launch in a loop, the same method launched twice, or
an HTTP handler, which the server runs once for each request at the same time. Followed
through calls whose callee is certain.

Not reported: a write under a lock, an Once, a channel used as a lock, or a test for one
goroutine (`if id == 0`, CompareAndSwap); an element of its own for each goroutine; objects
that a handler makes for its request; rounds that wait for what they launched; code whose
comment speaks of locks or races.

Unsafe: always. Every function of the package that uses the variable takes the new
lock; with an argument it is passed along.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.package import Package
from threadmend.model import Finding

from ._launched_parameter import passed_maps
from ._new_lock import owner_races, variable_races

CATEGORY = "shared-state"
GATE = rb"\bgo\s+[\w(]|\.Go\(|\bAfterFunc\b|\bResponseWriter\b|[(,] ?\w+\.[a-z]\w*\)|\bfunc\("


def check(package: Package) -> Iterator[Finding]:
    """Yield the maps that several goroutines write."""
    yield from owner_races(package, maps=True)
    yield from variable_races(package, maps=True)
    yield from passed_maps(package)
