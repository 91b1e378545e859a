"""Do not take a lock that is already held

A mutex does not know who holds it: a function that locks it and calls another which locks it
too waits for itself, for ever, and everyone else waits behind it. The two are often far
apart: a getter that was given a lock later, called three methods down, from a callback, or
by a deferred call that runs before the deferred Unlock.

So does a goroutine that waits for its own end: it says `defer close(c.done)` or `defer
wg.Done()`, and calls what waits for that, a Close most often.

Not reported: a lock of another object of the same type; a lock that is released on the way;
`TryLock`; a call that a flag parameter, a value of the context or a test of the lock's own
state decides about; a call that may run one of several functions, but for those of a table
(`c.commands[name]()`); work in a goroutine of its own.

Unsafe: the inner critical section becomes a part of the outer one; a Close that the goroutine
calls itself has not ended when it goes on.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.file import GoFile
from threadmend.model import Finding

from ._dispatched import dispatched
from ._own_end import own_ends
from ._relock import relocks

CATEGORY = "mutex"
GATE = rb"\.R?Lock\(\)|\.\w*[lL]ock\w*\(|\bfunc\(|\bdefer (?:close\(|[\w.]+\.Done\(\))"


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the places where a held mutex is taken again, directly or through calls."""
    yield from relocks(file, {("write", "write"), ("write", "read")})
    yield from dispatched(file)
    yield from own_ends(file)
