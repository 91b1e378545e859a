"""Mixins: classes that others derive from together with the one whose attributes they use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadmend.python.classes import Class

__all__ = ["host_of", "is_mixed_in"]

_HARMLESS = frozenset({"object", "typing.Generic", "typing.Protocol", "abc.ABC"})
"""Bases whose `__init__` is that of every object."""


def is_mixed_in(cls: Class) -> bool:
    """Return whether a class below has other bases as well, whose `__init__` an added one would
    stand before or behind.
    """
    return any(
        len([n for n in heir.base_names if n not in _HARMLESS]) > 1
        and any(cls in base.mro for base in heir.bases)
        for heir in cls.heirs
    )


def host_of(cls: Class, name: str) -> Class | None:
    """Return the class that sets up an attribute which a mixin only changes: the only one, of all
    that the mixin is for.
    """
    if cls.file.project.below.has_many(cls) or any(_sets_up(base, name) for base in cls.mro):
        return None
    found = {
        next((base for base in reversed(heir.mro) if _sets_up(base, name)), None)
        for heir in cls.heirs
        if any(base in cls.mro for base in heir.bases)
    }
    return found.pop() if len(found) == 1 else None


def _sets_up(cls: Class, name: str) -> bool:
    """Return whether a class gives an attribute its first value."""
    return name in cls.scope.bindings or any(
        use.mode == "write" and use.function in cls.init_only
        for use in cls.written_uses
        if use.name == name
    )
