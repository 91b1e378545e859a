"""A value: an object by its kind, as its constructor tells it."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.python import api

if TYPE_CHECKING:
    from threadmend.python.classes import Class
    from threadmend.python.file import PythonFile

__all__ = ["Value", "agreed", "common", "shared"]


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """An object by its kind.

    `type` is the qualified name of its constructor: `threading.Lock`, `dict`,
    `pkg.mod.Class`; a class itself is `type`. `made` is the call or display that makes it
    (None when only an annotation tells), and stands in `file`. `cls` is the class of the
    project that it is an instance of (or, with `is_class`, the class itself).
    """

    type: str
    file: PythonFile
    made: ast.expr | None = None
    cls: Class | None = None
    is_class: bool = False

    def is_a(self, kinds: frozenset[str] | set[str] | str) -> bool:
        """Return whether this is an instance of one of the kinds or of a subclass."""
        wanted = {kinds} if isinstance(kinds, str) else kinds
        if self.is_class:
            return False
        if self.type in wanted:
            return True
        return self.cls is not None and not self.cls.ancestry.isdisjoint(wanted)


def agreed(values: Iterable[Value | None]) -> Value | None:
    """Return the value that all agree on; None constants say nothing."""
    first: Value | None = None
    for value in values:
        if value is None:
            return None
        if value.type == "NoneType":
            continue
        if first is None:
            first = value
        elif first.type != value.type or first.is_class != value.is_class:
            return None
    return first


def shared(values: Iterable[Value | None]) -> Value | None:
    """Return the value that all agree on; of objects of several classes, one of the nearest class
    that they have in common: of the project, or a kind of thread.
    """
    known: list[Value] = []
    for value in values:
        if value is None:
            return None
        if value.type != "NoneType":
            known.append(value)
    found = agreed(known)
    if found is not None or not known or any(v.cls is None or v.is_class for v in known):
        return found
    classes = [value.cls for value in known if value.cls is not None]
    for cls in classes[0].mro:
        if all(cls in other.mro for other in classes):
            return Value(cls.qualified, cls.file, None, cls)
    kinds = _THREADS.intersection(*(cls.ancestry for cls in classes))
    return Value(kinds.pop(), known[0].file) if len(kinds) == 1 else None


_THREADS = set(api.THREADS | api.PROCESSES)


def common(values: Iterable[Value | None]) -> Value | None:
    """Return the value that all agree on; of classes of which one is a base of the others, that
    one: `FastJob if fast else Job` is a Job.
    """
    known = list(values)
    found = agreed(known)
    if found is not None:
        return found
    classes = [value.cls for value in known if value is not None and value.is_class]
    for value in known if len(classes) == len(known) else ():
        if value is not None and all(cls and value.cls in cls.mro for cls in classes):
            return value
    return None
