"""One finding for each place, where two ways lead to the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from threadmend.golang.file import GoFile
from threadmend.model import Finding

__all__ = ["each_once"]


def each_once(file: GoFile, *ways: Callable[[GoFile], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield what several functions find in a file, where no earlier function found something."""
    known: list[Finding] = []
    for way in ways:
        found = [f for f in way(file) if not any(_overlap(f, other) for other in known)]
        yield from found
        known += found


def _overlap(one: Finding, other: Finding) -> bool:
    return one.path == other.path and one.start < other.end and other.start < one.end
