"""Take an ignore comment away, or one of the names in it, once it excuses nothing."""

from __future__ import annotations

import re

from threadmend.model import Edit, Fix, Safety
from threadmend.source import SourceFile

__all__ = ["removal"]

_NAMES = re.compile(
    rb"(?:threadmend:[ \t]*ignore\b\[?|nolint:|noqa:)(?P<names>.*?)(?=--|//|\]|$)", re.S
)
_NAME = re.compile(rb"[^\s,]+")


def removal(source: SourceFile, start: int, end: int, name: str) -> Fix | None:
    """Return the fix that takes `name` out of the ignore comment at these offsets.

    The comment goes with its only name, and the line with a comment that it is made of.
    None when the comment does not spell the name.
    """
    listed = _NAMES.search(source.data, start, end)
    spans = (
        []
        if listed is None
        else [m.span() for m in _NAME.finditer(source.data, *listed.span("names"))]
    )
    number = next((i for i, (a, b) in enumerate(spans) if source.data[a:b] == name.encode()), None)
    if number is None:
        return None
    if len(spans) == 1:
        edit = Edit(source.path, *_whole(source, start, end), b"")
        return Fix("Remove the ignore comment", (edit,), Safety.SAFE)
    # The separator goes with the name: the one after the first, the one before any other.
    first, last = (
        (spans[0][0], spans[1][0]) if number == 0 else (spans[number - 1][1], spans[number][1])
    )
    return Fix(
        f"Remove {name} from the ignore comment",
        (Edit(source.path, first, last, b""),),
        Safety.SAFE,
    )


def _whole(source: SourceFile, start: int, end: int) -> tuple[int, int]:
    """Return what goes with a comment: its line, or the blanks between it and the code."""
    first, last = source.line_start(start), source.line_end(end)
    before = source.data[first:start]
    if before.strip(b" \t\xef\xbb\xbf"):
        return start - (len(before) - len(before.rstrip(b" \t"))), end
    after = source.data[last : source.line_end(last)]
    above = source.data[source.line_start(first - 1) : first] if first else b"\n"
    if after and not after.strip() and not above.strip():
        last += len(after)  # or two blank lines would meet
    return first + len(before) if b"\xef" in before else first, last
