"""Globs over relative paths, with the meaning that `.gitignore` gives them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

__all__ = ["matches"]


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Return whether one of the patterns matches a path or a folder above it.

    A pattern with a slash (but at its end) starts at the root, one without matches a name at
    any depth; `*` and `?` stay within a name, `**` does not.
    """
    return bool(patterns) and _matcher(tuple(patterns)).match(path) is not None


@lru_cache(maxsize=64)
def _matcher(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Return one expression for several patterns."""
    return re.compile("|".join(_expression(pattern) for pattern in patterns))


def _expression(pattern: str) -> str:
    anchored = "/" in pattern.rstrip("/")
    body = pattern.removeprefix("./").strip("/")
    if body in {"", "."}:
        return r".*\Z"
    pieces = [_PIECE.sub(_translate, name) if name != "**" else "**" for name in body.split("/")]
    text = ""
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        if piece == "**":
            text += ".*" if last else "(?:[^/]+/)*"
        else:
            text += piece if last else piece + "/"
    start = "" if anchored else "(?:.*/)?"
    return rf"{start}{text}(?:/.*)?\Z"


_PIECE = re.compile(r"\*+|\?|\[!?\]?[^\]]*\]|.", re.S)


def _translate(found: re.Match[str]) -> str:
    piece = found[0]
    if piece[0] == "*":
        return "[^/]*"
    if piece == "?":
        return "[^/]"
    if piece[0] == "[" and len(piece) > 1:
        inner = piece[1:-1].replace("\\", "\\\\")
        return f"[^{inner[1:]}]" if inner[0] == "!" else f"[{inner}]"
    return re.escape(piece)
