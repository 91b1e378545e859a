"""Literals: the plain text without which a regular expression cannot match.

Looking for a piece of text is fifty times faster than searching for an expression, and many
expressions share their pieces. Whatever is not understood here yields no pieces, and then the
expression itself has to be searched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

__all__ = [
    "Alternative",
    "Piece",
    "Search",
    "alternatives",
    "branches",
    "holds",
    "is_plain",
    "pieces",
    "plain",
    "quick",
    "search_of",
]

Alternative = tuple[frozenset[bytes], ...]
"""Sets of pieces: a text that matches holds at least one of every set.

A NUL stands for the border of a word: `\\bgo\\b` asks for `\\0go\\0`.
"""

_BORDER = b"\0"

_WORD_BYTES = frozenset(byte for byte in range(128) if chr(byte).isalnum() or byte == 0x5F)

_MOST = 16
"""The most texts that a part of an expression is written out into."""

_ZERO_WIDTH = frozenset({"AT", "ASSERT", "ASSERT_NOT"})


@lru_cache(maxsize=1024)
def alternatives(pattern: re.Pattern[bytes]) -> tuple[Alternative, ...]:
    """Return what a matching text holds: all that one of these asks for; empty if unknown.

    `\\bmake\\(\\s*chan\\b|\\.Go\\(` asks for `make(` and `chan`, or for `.Go(`.
    """
    parsed = _parsed(pattern)
    if parsed is None:
        return ()
    found = tuple(_sets(branch) for branch in _branches(parsed))
    return found if all(found) else ()


def _parsed(pattern: re.Pattern[bytes]) -> list[Any] | None:
    if pattern.flags & (re.IGNORECASE | re.LOCALE):
        return None
    try:
        # The parser of `re` is private: without it searches are only slower.
        from re import _parser  # type: ignore[attr-defined]
    except ImportError:
        return None
    return list(_parser.parse(pattern.pattern, pattern.flags))


@lru_cache(maxsize=1024)
def pieces(pattern: re.Pattern[bytes]) -> frozenset[Piece]:
    """Return pieces of which every matching text holds at least one; empty if unknown."""
    found = [max(sets, key=_shortest) for sets in alternatives(pattern)]
    return frozenset(_piece(text) for sets in found for text in sets)


@lru_cache(maxsize=1024)
def is_plain(pattern: re.Pattern[bytes]) -> bool:
    """Return whether a text matches as soon as it holds one of the pieces: `\\bgo\\b|<-`."""
    parsed = _parsed(pattern)
    if parsed is None or not alternatives(pattern):
        return False
    for branch in _branches(parsed):
        texts = _product(branch, strict=True)
        if texts is None or not all(map(_is_plain, texts)):
            return False
    return True


@lru_cache(maxsize=1024)
def quick(pattern: re.Pattern[bytes]) -> re.Pattern[bytes]:
    """Return a pattern with the same matches that `re` finds faster.

    `\\bgo\\s|\\.Go\\(` is tried at every byte because of its `\\b`; where each alternative
    begins with a byte of its own, only there. The border is looked back at instead.
    """
    text = pattern.pattern
    if pattern.flags & re.VERBOSE or _BAR_IN_CLASS.search(text):
        return pattern
    changed = _STARTS_WITH_BORDER.sub(_looked_back_at, text)
    return pattern if changed == text else re.compile(changed, pattern.flags)


@lru_cache(maxsize=1024)
def branches(pattern: re.Pattern[bytes]) -> tuple[re.Pattern[bytes], ...]:
    """Return a pattern for each alternative; where one matches somewhere, the whole one does.

    What begins with plain text is found ten times as fast as any of several such texts.
    """
    text = pattern.pattern
    if pattern.flags & re.VERBOSE:
        return (pattern,)
    depth, begin, found = 0, 0, []
    for token in _TOKEN.finditer(text):
        one = token[0]
        if one == b"|" and not depth:
            found.append(text[begin : token.start()])
            begin = token.end()
        depth += {b"(": 1, b")": -1}.get(one, 0)
    if not found:
        return (quick(pattern),)
    flags = _FLAGS.match(found[0])
    found[0] = found[0][flags.end() :] if flags is not None else found[0]
    return tuple(quick(re.compile(one, pattern.flags)) for one in (*found, text[begin:]))


_TOKEN = re.compile(rb"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[()|]", re.S)
_FLAGS = re.compile(rb"\(\?[aimsu]+\)")


def holds(data: bytes, pattern: re.Pattern[bytes]) -> bool:
    """Return whether a pattern matches anywhere in some bytes."""
    return any(branch.search(data) is not None for branch in branches(pattern))


# At the start of an expression, of an alternative or of a group; a word that is not repeated.
_STARTS_WITH_BORDER = re.compile(rb"(?:(?<=\A)|(?<=[^\\]\|)|(?<=\A\(\?:))\\b(\w+)(?![\w*+?{])")

_BAR_IN_CLASS = re.compile(rb"\[[^\]]*\|")


def _looked_back_at(hit: re.Match[bytes]) -> bytes:
    return hit[1] + rb"(?<!\w" + hit[1] + rb")"


class Search:
    """What there is to know about a pattern that many texts are searched for; see `search_of`."""

    __slots__ = ("_pattern", "_quick", "pieces", "plain")

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self._pattern = pattern
        self._quick: re.Pattern[bytes] | None = None
        self.pieces: tuple[tuple[Piece, bytes | None], ...]
        """The pattern's pieces, and for each the `whole_word` that it cannot do without."""
        one = _ONE_WORD.fullmatch(pattern.pattern)
        if one is not None and not pattern.flags:  # nothing is taken apart for a single word
            self.pieces, self.plain = ((Piece(one[1], True, True), one[1]),), True
        else:
            self.pieces = tuple((piece, whole_word(piece)) for piece in pieces(pattern))
            self.plain = bool(self.pieces) and is_plain(pattern)

    @property
    def quick(self) -> re.Pattern[bytes]:
        """Return the pattern as `re` finds it faster; made when something is searched."""
        if self._quick is None:
            self._quick = quick(self._pattern)
        return self._quick


_ONE_WORD = re.compile(rb"\\b(\w+)\\b")
_MOST_SEARCHES = 4096
_searches: dict[tuple[bytes, int], Search] = {}


def search_of(pattern: re.Pattern[bytes]) -> Search:
    """Return what is known about a pattern, the same object every time.

    Found by its text: a pattern's own hash is that of all its code.
    """
    key = (pattern.pattern, pattern.flags)
    found = _searches.get(key)
    if found is None:
        if len(_searches) >= _MOST_SEARCHES:
            _searches.clear()
        found = _searches[key] = Search(pattern)
    return found


_WORD = re.compile(rb"\w+")
_APART = bytes(byte if _WORD.match(bytes([byte])) else 0x20 for byte in range(256))


def words(data: bytes) -> set[bytes]:
    """Return the words of a text."""
    return set(data.translate(_APART).split())


class Piece(NamedTuple):
    """Some text, and whether a word has to begin with it and to end with it."""

    text: bytes
    begins: bool
    ends: bool

    def find(self, data: bytes, start: int = 0, end: int | None = None) -> int:
        """Return where the piece first stands in a part of some bytes, -1 for nowhere."""
        stop = len(data) if end is None else end
        text, size = self.text, len(self.text)
        at = data.find(text, start, stop)
        # Mostly the first one is it: an expression would have to be compiled for each word.
        while at >= 0:
            if not (self.begins and at and data[at - 1] in _WORD_BYTES) and not (
                self.ends and at + size < stop and data[at + size] in _WORD_BYTES
            ):
                return at
            at = data.find(text, at + 1, stop)
        return -1

    def all(self, data: bytes, start: int = 0, end: int | None = None) -> Iterator[int]:
        """Yield every place in a part of some bytes where the piece stands."""
        at = self.find(data, start, end)
        while at >= 0:
            yield at
            at = self.find(data, at + 1, end)


@lru_cache(maxsize=1024)
def whole_word(piece: Piece) -> bytes | None:
    """Return the longest word of a piece that cannot go on around it, None without one."""
    size = len(piece.text)
    found = [
        hit[0]
        for hit in _WORD.finditer(piece.text)
        if (hit.start() > 0 or piece.begins) and (hit.end() < size or piece.ends)
    ]
    return max(found, key=len, default=None)


def _piece(text: bytes) -> Piece:
    """Return a piece; where a border stands at something that is no word, any text will do."""
    word = plain(text)
    return Piece(
        word,
        text.startswith(_BORDER) and word[0] in _WORD_BYTES,
        text.endswith(_BORDER) and word[-1] in _WORD_BYTES,
    )


def _is_plain(text: bytes) -> bool:
    word = text.removeprefix(_BORDER).removesuffix(_BORDER)
    if not word or _BORDER in word:
        return False
    piece = _piece(text)
    return piece.begins == text.startswith(_BORDER) and piece.ends == text.endswith(_BORDER)


def plain(piece: bytes) -> bytes:
    """Return the text of a piece without the borders of words."""
    return piece.replace(_BORDER, b"")


def _shortest(texts: frozenset[bytes]) -> int:
    return min(len(plain(text)) for text in texts)


def _branches(sequence: list[Any]) -> list[list[Any]]:
    """Return the alternatives of a parsed expression, what is common to them repeated."""
    for at, (operator, argument) in enumerate(sequence):
        if str(operator) == "SUBPATTERN" and not argument[1] and len(argument[3]) == 1:
            operator, argument = argument[3][0]
        if str(operator) == "BRANCH":
            before, after = sequence[:at], sequence[at + 1 :]
            return [[*before, *branch, *after] for branch in argument[1]]
    return [sequence]


def _sets(sequence: list[Any]) -> Alternative:
    """Return the sets of texts that a sequence asks for."""
    found: list[frozenset[bytes]] = []
    runs = {b""}
    for item in sequence:
        if _is_space(item):
            found += _kept({run + _BORDER for run in runs})
            runs = {_BORDER}
            continue
        texts = _texts(item)
        if texts is not None and len(texts) * len(runs) <= _MOST:
            runs = {run + text for run in runs for text in texts}
            continue
        found += _kept(runs)
        runs = {b""}
        found += _kept(texts) if texts is not None else _inside(item)
    return tuple(found + _kept(runs))


def _is_space(item: Any) -> bool:
    """Return whether a part matches blanks only, and at least one: `\\s+`."""
    operator, argument = str(item[0]), item[1]
    if operator not in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"} or argument[0] < 1:
        return False
    inner = list(argument[2])
    return (
        len(inner) == 1
        and str(inner[0][0]) == "IN"
        and [str(what) for _, what in inner[0][1]] == ["CATEGORY_SPACE"]
    )


def _kept(texts: set[bytes]) -> list[frozenset[bytes]]:
    """Return a set without texts that hold another one of it; nothing says nothing."""
    if not all(map(plain, texts)):
        return []
    kept = {t for t in texts if not any(other in t for other in texts if other != t)}
    return [frozenset(kept)]


def _inside(item: Any) -> list[frozenset[bytes]]:
    """Return the sets of a part that cannot be written out."""
    operator, argument = str(item[0]), item[1]
    if operator == "SUBPATTERN" and not argument[1]:
        return list(_sets(list(argument[3])))
    if operator in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"} and argument[0] > 0:
        return list(_sets(list(argument[2])))
    if operator == "BRANCH":
        branches = [_sets(list(branch)) for branch in argument[1]]
        if all(branches):
            return [frozenset().union(*(max(sets, key=_shortest) for sets in branches))]
    return []


def _texts(item: Any, strict: bool = False) -> set[bytes] | None:
    """Return all texts that a part can match, `{b""}` for a condition; None if too many.

    `strict`: None for conditions as well, but for borders of words.
    """
    operator, argument = str(item[0]), item[1]
    if operator == "LITERAL":
        return {bytes([argument])} if argument else None
    if operator == "AT" and str(argument) == "AT_BOUNDARY":
        return {_BORDER}
    if operator in _ZERO_WIDTH:
        return None if strict else {b""}
    if operator == "SUBPATTERN" and not argument[1]:
        return _product(argument[3], strict)
    if operator == "BRANCH":
        return _union([_product(branch, strict) for branch in argument[1]])
    if operator == "IN" and all(str(kind) == "LITERAL" for kind, _ in argument):
        return _union([{bytes([byte])} for _, byte in argument])
    if operator in {"MAX_REPEAT", "MIN_REPEAT"} and argument[1] == 1:
        texts = _product(argument[2], strict)
        return texts if argument[0] or texts is None else texts | {b""}
    return None


def _product(sequence: Any, strict: bool = False) -> set[bytes] | None:
    found = {b""}
    for item in sequence:
        texts = _texts(item, strict)
        if texts is None or len(texts) * len(found) > _MOST:
            return None
        found = {before + text for before in found for text in texts}
    return found


def _union(sets: list[set[bytes] | None]) -> set[bytes] | None:
    known = [texts for texts in sets if texts is not None]
    found = set[bytes]().union(*known)
    return found if len(known) == len(sets) and len(found) <= _MOST else None
