"""Questions that may need their own answer: what a function takes that calls itself in the end.

While a question is open, whoever asks it again gets a stand-in. An answer that such a stand-in went
into is right for the question that the search began with only; kept for good it would make what is
known depend on who was asked first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile

__all__ = ["Circles", "asked"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def asked(file: PythonFile, kind: str, key: K, stand_in: V, answer: Callable[[], V]) -> V:
    """Return what a file remembers under `kind`, or the answer to the question; what is open of a
    kind is open for the whole project.
    """
    known: dict[K, V] | None = file.__dict__.get(kind)
    if known is None:
        known = file.__dict__[kind] = {}
    if key in known:
        return known[key]
    circles: Circles[K, V] | None = file.project.__dict__.get(kind)
    if circles is None:
        circles = file.project.__dict__[kind] = Circles(stand_in)
    return circles.ask(key, known, answer)


class Circles(Generic[K, V]):
    """The open questions of one kind, each with its depth, and the answers that go with them."""

    def __init__(self, stand_in: V) -> None:
        self._stand_in = stand_in
        self._open: dict[K, int] = {}
        self._partial: dict[K, tuple[V, int]] = {}
        self._lowest = sys.maxsize
        """The depth of the outermost open question that was asked again."""

    def ask(self, key: K, known: dict[K, V], answer: Callable[[], V]) -> V:
        """Return what is known, or answer the question; `known` keeps what holds for good."""
        if key in known:
            return known[key]
        if key in self._open:
            self._lowest = min(self._lowest, self._open[key])
            return self._stand_in
        if key in self._partial:
            found, lowest = self._partial[key]
            self._lowest = min(self._lowest, lowest)
            return found
        return self._answer(key, known, answer)

    def _answer(self, key: K, known: dict[K, V], answer: Callable[[], V]) -> V:
        depth, around = len(self._open), self._lowest
        self._open[key], self._lowest = depth, sys.maxsize
        try:
            found = answer()
        finally:
            del self._open[key]
            lowest, self._lowest = self._lowest, around
        if lowest >= depth:
            known[key] = found
            # What leaned on this question is asked anew, now that its answer is known.
            self._partial = {k: p for k, p in self._partial.items() if p[1] < depth}
        else:
            # What leaned on this question leans on the one that it leans on.
            self._partial = {k: (v, min(n, lowest)) for k, (v, n) in self._partial.items()}
            self._partial[key] = (found, lowest)
            self._lowest = min(around, lowest)
        return found
