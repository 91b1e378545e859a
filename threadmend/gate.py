"""Gates: which rules can have anything to say about some bytes.

A gate is a regular expression, and sixty of them over a whole project take longer than
parsing it. Nearly all contain plain text without which they cannot match. Which of those
texts a file holds is mostly told by its words, which are taken apart once for all gates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from threadmend.literals import Alternative, alternatives, holds, plain
from threadmend.literals import words as words_of
from threadmend.model import Rule

__all__ = ["Gates", "Text"]

_TELLING = 4
"""Bytes of a piece from which on it says enough: searching the gate itself costs more than a
rule that is asked once more and has nothing to say."""


class Text(NamedTuple):
    """Some bytes, and which pieces of plain text that gates ask for are in them."""

    data: bytes
    pieces: frozenset[bytes]


class Gates:
    """The gates of some rules."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._gated: dict[str, Rule] = {}
        self._asked: dict[str, tuple[Alternative, ...]] = {}
        self._searched: set[str] = set()
        for rule in rules:
            if rule.gate is not None:
                self._gated[rule.name] = rule
                asked = self._asked[rule.name] = alternatives(rule.gate)
                if not asked or not all(map(_is_telling, asked)):
                    self._searched.add(rule.name)
        every = {p for asked in self._asked.values() for sets in asked for s in sets for p in s}
        self._pieces = _Pieces(every)
        self._possible: dict[frozenset[bytes], frozenset[str]] = {}

    def text(self, data: bytes) -> Text:
        """Return bytes as `admitted` takes them: read once, for all rules."""
        return Text(data, self._pieces.of(data))

    def admitted(self, rules: Sequence[Rule], texts: Sequence[Text]) -> list[Rule]:
        """Return those of the rules whose gate may match a text, or that have none."""
        possible = [self._may_match(text.pieces) for text in texts]
        return [rule for rule in rules if rule.gate is None or self._admits(rule, texts, possible)]

    def _admits(
        self, rule: Rule, texts: Sequence[Text], possible: Sequence[frozenset[str]]
    ) -> bool:
        assert rule.gate is not None
        if rule.name not in self._searched:
            return any(rule.name in names for names in possible)
        return any(
            rule.name in names and holds(text.data, rule.gate)
            for text, names in zip(texts, possible, strict=True)
        )

    def _may_match(self, pieces: frozenset[bytes]) -> frozenset[str]:
        """Return the rules whose gates find what they ask for; most files are like another."""
        found = self._possible.get(pieces)
        if found is None:
            found = self._possible[pieces] = frozenset(
                name
                for name, asked in self._asked.items()
                if not asked or any(_has_all(sets, pieces) for sets in asked)
            )
        return found


def _has_all(sets: Alternative, pieces: frozenset[bytes]) -> bool:
    return not any(map(pieces.isdisjoint, sets))


def _is_telling(sets: Alternative) -> bool:
    return any(all(map(_is_long, pieces)) for pieces in sets)


def _is_long(piece: bytes) -> bool:
    if _ONE_WORD.fullmatch(piece) or len(plain(piece)) >= _TELLING:
        return True
    return len(plain(piece)) > 1 and _WORD.search(piece) is None


_ONE_WORD = re.compile(rb"\0\w+\0")
_WORD = re.compile(rb"\w+")


class _Pieces:
    """Finds which of many pieces are in a text."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        # By the longest word of a piece: one that stands alone in it (`.Lock(`) is looked up
        # among the words of a text, one that may go on (`close(`) searched in them.
        self._whole: dict[bytes, list[bytes]] = {}
        self._parts: dict[bytes, list[bytes]] = {}
        self._other: list[bytes] = []
        for piece in sorted(pieces):
            words = list(_WORD.finditer(piece))
            if not words:
                self._other.append(piece)
                continue
            word = max(words, key=lambda found: len(found[0]))
            alone = word.start() > 0 and word.end() < len(piece)
            (self._whole if alone else self._parts).setdefault(word[0], []).append(piece)
        self._words = frozenset(self._whole)

    def of(self, data: bytes) -> frozenset[bytes]:
        """Return the pieces that are in some bytes."""
        words = words_of(data)
        found = [piece for piece in self._other if plain(piece) in data]
        for word in self._words & words:
            found += _with(word, self._whole[word], data)
        joined = b" ".join(words)
        for word, pieces in self._parts.items():
            if word in joined:
                found += _with(word, pieces, data)
        return frozenset(found)


def _with(word: bytes, pieces: Iterable[bytes], data: bytes) -> Iterator[bytes]:
    """Yield the pieces around a word of a text that are in it as well."""
    for piece in pieces:
        text = plain(piece)
        if text == word or text in data:
            yield piece
