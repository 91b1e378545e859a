"""Guards: which lock the code of a class takes around which attribute, and where it does not."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field

from threadmend.python.classes import Class
from threadmend.python.elementuses import changed_element
from threadmend.python.held import held_at
from threadmend.python.places import Place, only_result
from threadmend.python.sharing import is_synchronized
from threadmend.python.uses import AttributeUse, is_self

__all__ = ["Guard", "guards_of", "is_named_for"]

_LOCK_WORDS = re.compile(r"(?:^|_)r?(?:lock|mutex|cond|condition|guard|cv)$")


@dataclass(slots=True, eq=False)
class Guard:
    """An attribute and the lock that most of its uses stand under.

    Initializers are left out. `unsure` are uses where some lock is held that nobody can name.
    """

    name: str
    lock: Place
    locked: list[AttributeUse] = field(default_factory=list)
    unlocked: list[AttributeUse] = field(default_factory=list)
    unsure: list[AttributeUse] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Return the part of the sure uses that is locked."""
        return len(self.locked) / (len(self.locked) + len(self.unlocked))

    @property
    def is_meant(self) -> bool:
        """Return whether the lock is there for the attribute: two uses, and a change, under it."""
        if len(self.locked) < 2:
            return False
        return any(use.changes for use in self.locked) or any(map(self._changes, self.locked))

    def _changes(self, use: AttributeUse) -> bool:
        """Return whether a use changes a collection under the lock that it looks up."""
        at = changed_element(use)
        return at is not None and self.lock in held_at(use.function.file, at)


def is_named_for(lock: str, data: str) -> bool:
    """Return whether a lock is called after the data it is there for: `_jobs_lock` and `_jobs`."""
    stem, found = _LOCK_WORDS.subn("", lock.lower())
    stem, data = stem.strip("_").rstrip("s"), data.lower().strip("_").rstrip("s")
    return bool(found) and len(data) > 2 and stem == data


def guards_of(cls: Class) -> dict[str, Guard]:
    """Return the attributes of a class that some lock is held around, by name.

    An attribute that only initializers change needs no lock, and is left out, as are objects
    made for several threads. What a property shows is used where the property is.
    """
    known: dict[Class, dict[str, Guard]] = cls.file.__dict__.setdefault("_guards", {})
    if cls not in known:
        known[cls] = _guards_of(cls)
    return known[cls]


def _guards_of(cls: Class) -> dict[str, Guard]:
    quiet = {function for base in cls.mro for function in base.init_only}
    uses: dict[str, list[AttributeUse]] = {}
    for use in (use for base in cls.mro for use in base.uses):
        if use.function not in quiet:
            uses.setdefault(_shown_name(cls, use.name), []).append(use)
    found = {}
    for name, some in uses.items():
        if cls.method(name) is not None:
            continue
        if not any(use.changes for use in some) and not any(map(changed_element, some)):
            continue
        if is_synchronized(cls, name):
            continue
        guard = _guard(name, some)
        if guard is not None:
            found[name] = guard
    return found


def _shown_name(cls: Class, name: str) -> str:
    """Return the attribute that a property shows: `_tasks` for `tasks`."""
    getter = cls.getter(name)
    shown = None if getter is None else only_result(getter)
    if getter is None or not isinstance(shown, ast.Attribute):
        return name
    is_own = is_self(getter.file, shown.value) and cls.method(shown.attr) is None
    return shown.attr if is_own else name


def _guard(name: str, uses: list[AttributeUse]) -> Guard | None:
    held = [(use, held_at(use.function.file, use.node)) for use in uses]
    counts: dict[Place, int] = {}
    for _, locks in held:
        for place in locks.locks:
            counts[place] = counts.get(place, 0) + 1
    if not counts:
        return None
    best = max(sorted(counts), key=lambda place: counts[place])
    guard = Guard(name, best)
    for use, locks in held:
        if best in locks:
            guard.locked.append(use)
        else:
            (guard.unsure if locks.unknown else guard.unlocked).append(use)
    return guard
