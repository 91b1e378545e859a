"""Gates: which rules can have anything to say about some bytes.

A gate is a regular expression, and sixty of them over a whole project take longer than
parsing it. Nearly all contain plain text without which they cannot match; looking for that
costs a twentieth, and gates share it.
"""

from __future__ import annotations

from collections.abc import Iterable

from threadmend.literals import Alternative, alternatives
from threadmend.model import Rule

__all__ = ["Gates"]

_TELLING = 4
"""Bytes of a piece from which on it says enough: searching the gate itself costs more than a
rule that is asked once more and has nothing to say."""


class Gates:
    """The gates of some rules; remembers nothing about the bytes it was given."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rules)
        self._asked = {
            rule.name: () if rule.gate is None else alternatives(rule.gate) for rule in self._rules
        }
        self._searched = {
            rule.name
            for rule in self._rules
            if rule.gate is not None and not all(map(_is_telling, self._asked[rule.name] or [()]))
        }

    def admitted(self, *texts: bytes) -> list[Rule]:
        """Return the rules whose gate may match at least one text, or that have none."""
        if not self._rules:
            return []
        seen: list[dict[bytes, bool]] = [{} for _ in texts]
        return [
            rule for rule in self._rules if rule.gate is None or self._admits(rule, texts, seen)
        ]

    def _admits(self, rule: Rule, texts: tuple[bytes, ...], seen: list[dict[bytes, bool]]) -> bool:
        assert rule.gate is not None
        asked, searched = self._asked[rule.name], rule.name in self._searched
        for text, known in zip(texts, seen, strict=True):
            if not asked or any(_holds(text, sets, known) for sets in asked):
                if not searched or rule.gate.search(text) is not None:
                    return True
        return False


def _holds(text: bytes, sets: Alternative, known: dict[bytes, bool]) -> bool:
    """Return whether a text holds a piece of every set."""
    for pieces in sets:
        for piece in pieces:
            if piece not in known:
                known[piece] = piece in text
            if known[piece]:
                break
        else:
            return False
    return True


def _is_telling(sets: Alternative) -> bool:
    return any(all(len(piece) >= _TELLING for piece in pieces) for pieces in sets)
