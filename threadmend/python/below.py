"""The classes of a project below a class, found by the bytes of its files at first: those of the
class that is asked for are the only ones that are parsed.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from threadmend.python.classes import Class
    from threadmend.python.file import PythonFile
    from threadmend.python.functions import Function
    from threadmend.source import SourceFile

__all__ = ["BASES", "WORD", "Below"]

# Patterns that begin with plain text are found ten times as fast as those that begin with a line;
# what a docstring shows of classes brings a file more to read.
BASES = re.compile(rb"class(?<!\wclass)[ \t]+\w+\(([\w., \t\n=\[\]]+)\)")
WORD = re.compile(rb"\b_*[A-Z]\w*")
_DERIVED = re.compile(rb"class(?<!\wclass)[ \t]+(\w+)\(([\w., \t\n=\[\]]+)\)")
_METHOD = re.compile(rb"def(?<=[ \t]def)[ \t]+([^\s(]+)")
_MANY = 100


class Below:
    """Who derives from whom in the files of a project; `readable` parses one of them."""

    def __init__(
        self,
        paths: Iterable[str],
        source: Callable[[str], SourceFile],
        readable: Callable[[str], PythonFile | None],
    ) -> None:
        self._paths = paths
        self._source = source
        self._readable = readable
        self._known: dict[bytes, frozenset[str]] = {}

    def heirs(self, cls: Class) -> list[Class]:
        """Return the classes below a class, the nearest first."""
        found: list[Class] = []
        pending = [cls]
        while pending:
            above = pending.pop()
            paths = {above.file.path, *self._deriving.get(above.name.encode(), {})}
            for file in (self._readable(path) for path in sorted(paths)):
                below = [] if file is None else [c for c in file.classes if above in c.bases]
                pending += [c for c in below if c not in found]
                found += [c for c in below if c not in found]
        return found

    def heirs_with(self, cls: Class, word: bytes) -> list[Class]:
        """Return the classes below a class whose files hold some bytes, by path: others are not
        parsed.
        """
        return self._of(cls, [p for p in self._paths_of(cls) if word in self._source(p).data])

    def overrides(self, cls: Class, name: str) -> list[Function]:
        """Return the methods of a name that classes below a class have, by path: only files that
        define one are parsed, which are few of those below a `TestCase`.
        """
        paths = self._paths_of(cls) & self._defining.get(cls.file.encode(name), set())
        below = self._of(cls, paths) if paths else []
        return [heir.methods[name] for heir in below if name in heir.methods]

    def has_many(self, cls: Class) -> bool:
        """Return whether more files name a class as a base than are read for one question."""
        return cls.name.encode() in self.common

    @cached_property
    def common(self) -> frozenset[bytes]:
        """The names of bases that many files have: what a framework gives to all."""
        return frozenset(n for n, paths in self._deriving.items() if len(paths) > _MANY)

    def _of(self, cls: Class, paths: Iterable[str]) -> list[Class]:
        files = [file for file in map(self._readable, sorted(paths)) if file is not None]
        return [c for file in files for c in file.classes if c is not cls and cls in c.mro]

    def _paths_of(self, cls: Class) -> set[str]:
        return {cls.file.path, *self._paths_below(cls.name.encode())}

    @cached_property
    def _defining(self) -> dict[bytes, set[str]]:
        """Return by the name of a method the files that may have one in a class."""
        found: dict[bytes, set[str]] = {}
        for path in self._paths:
            for name in set(_METHOD.findall(self._source(path).data)):
                found.setdefault(name, set()).add(path)
        return found

    def _paths_below(self, name: bytes) -> frozenset[str]:
        """Return the files of classes that may be below one of a name."""
        if name not in self._known:
            seen, paths, pending = {name}, set[str](), [name]
            while pending:
                for path, names in self._deriving.get(pending.pop(), {}).items():
                    paths.add(path)
                    pending += names - seen
                    seen |= names
            self._known[name] = frozenset(paths)
        return self._known[name]

    @cached_property
    def _deriving(self) -> dict[bytes, dict[str, set[bytes]]]:
        """Return by the name of a base the files whose classes have it, and their names there."""
        found: dict[bytes, dict[str, set[bytes]]] = {}
        for path in self._paths:
            for name, bases in _DERIVED.findall(self._source(path).data):
                for base in WORD.findall(bases):
                    found.setdefault(base, {}).setdefault(path, set()).add(name)
        return found
