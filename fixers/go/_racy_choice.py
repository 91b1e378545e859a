"""Which rewrite of a race on a local variable: the smallest that is right."""

from __future__ import annotations

from threadmend.model import Fix, Safety

from ._racy import Race
from ._racy_atomic import by_atomic
from ._racy_copy import fresh_copy, own_copy
from ._racy_index import by_index
from ._racy_mutex import by_mutex, is_partly_locked
from ._racy_wait import by_wait

__all__ = ["fixes_of"]


def fixes_of(race: Race) -> tuple[tuple[Fix, ...], str]:
    """Return the rewrites that fit, best first, and the reason where none does."""
    if any(a.kind == "address" and a.inside for a in race.accesses):
        return (), f"the address of {race.name} is taken in a goroutine"
    own = own_copy(race)
    if own is not None:
        return (own,), ""
    index = by_index(race)
    if index is not None and index.safety is Safety.SAFE:
        return (index,), ""
    atomic = by_atomic(race)
    if atomic is not None and not is_partly_locked(race):
        return (atomic,), ""
    fresh = fresh_copy(race)
    if fresh is not None:
        return (fresh,), ""
    waiting = by_wait(race)
    if waiting is not None:
        return (waiting,), ""
    mutex, reason = by_mutex(race)
    if mutex is None and atomic is not None:
        return (atomic,), ""
    found = [fix for fix in (mutex, index) if fix is not None]
    return tuple(sorted(found, key=lambda fix: fix.safety is not Safety.SAFE)), reason
