"""Locks that a common base gives to classes which have nothing else to do with each other: each has
one of its own, though a single statement makes them all.
"""

from __future__ import annotations

from threadmend.python.classes import Class
from threadmend.python.lockorder import Nesting
from threadmend.python.locks import Section

__all__ = ["families"]


def families(nesting: Nesting) -> tuple[str, str] | None:
    """Return the two kinds of objects whose locks are nested, where both have theirs of one base;
    None where they may be of one kind.
    """
    if nesting.held.anywhere != nesting.inner.place.anywhere:
        return None
    held, taken = _family(nesting.outer), _family(nesting.inner.section)
    if held is None or taken is None or held is taken:
        return None
    if not {held, *held.heirs}.isdisjoint({taken, *taken.heirs}):
        return None
    return held.qualified, taken.qualified


def _family(section: Section) -> Class | None:
    """Return the class right below the one that makes the lock of an object, by the method that
    takes it.
    """
    place, home = section.lock.place, None if section.function is None else section.function.home
    if home is None or place.kind != "attribute" or place.base != "self":
        return None
    below = [cls for cls in home.mro if any(base.qualified == place.owner for base in cls.bases)]
    return below[0] if len(below) == 1 else None
