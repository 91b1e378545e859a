"""Gates: which rules can have anything to say about some bytes.

A gate is a regular expression, and forty of them over a whole project take longer than
parsing it. Most contain a plain piece of text without which they cannot match; looking for
that costs a twentieth, and several gates share it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from threadmend.model import Rule

__all__ = ["Gates", "needed"]

_SHORTEST = 2


class Gates:
    """The gates of some rules; `admitted` remembers nothing about the bytes it was given."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._open = tuple(rule for rule in rules)
        self._needed = {
            rule.name: needed(rule.gate) for rule in self._open if rule.gate is not None
        }

    def admitted(self, *texts: bytes) -> list[Rule]:
        """Return the rules whose gate matches at least one text, or that have none."""
        seen: dict[tuple[int, bytes], bool] = {}
        return [rule for rule in self._open if self._admits(rule, texts, seen)]

    def _admits(
        self, rule: Rule, texts: Sequence[bytes], seen: dict[tuple[int, bytes], bool]
    ) -> bool:
        if rule.gate is None:
            return True
        pieces = self._needed[rule.name]
        for number, text in enumerate(texts):
            possible = not pieces
            for piece in pieces:
                key = (number, piece)
                if key not in seen:
                    seen[key] = piece in text
                if seen[key]:
                    possible = True
                    break
            if possible and rule.gate.search(text) is not None:
                return True
        return False


def needed(gate: re.Pattern[bytes]) -> frozenset[bytes]:
    """Return pieces of text of which every match holds at least one; empty if unknown."""
    if gate.flags & (re.IGNORECASE | re.LOCALE):
        return frozenset()
    try:
        # The parser of `re` is private: without it gates are only slower.
        from re import _parser  # type: ignore[attr-defined]
    except ImportError:
        return frozenset()
    pieces = _pieces(_parser.parse(gate.pattern, gate.flags))
    if pieces is None or any(len(piece) < _SHORTEST for piece in pieces):
        return frozenset()
    return frozenset(pieces)


def _pieces(sequence: Any) -> set[bytes] | None:
    """Return the best set of pieces of a parsed sequence, the one with the longest shortest."""
    best: set[bytes] | None = None
    run = bytearray()

    def offer(pieces: set[bytes] | None) -> None:
        nonlocal best
        if pieces and (best is None or min(map(len, pieces)) > min(map(len, best))):
            best = pieces

    for operator, argument in sequence:
        if str(operator) == "LITERAL":
            run.append(argument)
            continue
        offer({bytes(run)} if run else None)
        run.clear()
        offer(_pieces_of(str(operator), argument))
    offer({bytes(run)} if run else None)
    return best


def _pieces_of(operator: str, argument: Any) -> set[bytes] | None:
    if operator == "SUBPATTERN":
        return _pieces(argument[3]) if not argument[1] else None
    if operator in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
        return _pieces(argument[2]) if argument[0] > 0 else None
    if operator == "ATOMIC_GROUP":
        return _pieces(argument)
    if operator == "BRANCH":
        branches = [_pieces(branch) for branch in argument[1]]
        if all(branches):
            return {piece for branch in branches for piece in branch or ()}
    return None
