"""slide(): put every change where a reader expects it.

Lines added between two equal lines can be shown in several places: a new function may begin
with the `}` of the one before it, or end with its own. The place is chosen by indentation.
"""

from __future__ import annotations

from collections.abc import Sequence

from threadmend.matching import Change

__all__ = ["slide"]

_FURTHEST = 100
_TAB = 8


def slide(a: Sequence[bytes], b: Sequence[bytes], found: Sequence[Change]) -> list[Change]:
    """Return the changes, those that only add or only delete moved to their best place.

    What they say stays the same, and so does that two of them have an equal line between them.
    """
    moved: list[Change] = []
    for number, change in enumerate(found):
        if (change.a_start == change.a_end) == (change.b_start == change.b_end):
            moved.append(change)
            continue
        before = moved[-1] if moved else Change(-1, -1, -1, -1)
        after = found[number + 1] if number + 1 < len(found) else None
        shift = (
            _shift(b, change.b_start, change.b_end, before.b_end, after and after.b_start)
            if change.a_start == change.a_end
            else _shift(a, change.a_start, change.a_end, before.a_end, after and after.a_start)
        )
        moved.append(Change(*(end + shift for end in change)))
    return moved


def _shift(lines: Sequence[bytes], start: int, end: int, before: int, after: int | None) -> int:
    """Return by how many lines [start, end) moves, between what ends at `before` and `after`."""
    top = max(before + 1, start - _FURTHEST)
    bottom = min(len(lines) if after is None else after - 1, end + _FURTHEST)
    highest = lowest = 0
    while start + highest > top and lines[start + highest - 1] == lines[end + highest - 1]:
        highest -= 1
    while end + lowest < bottom and lines[start + lowest] == lines[end + lowest]:
        lowest += 1
    if highest == lowest:
        return 0
    return min(
        range(lowest, highest - 1, -1),
        key=lambda shift: _cost(lines, start + shift, end + shift),
    )


def _cost(lines: Sequence[bytes], start: int, end: int) -> tuple[int, int]:
    """Return less for a better place: little indentation at both ends, a blank line before."""
    blank = start == 0 or not lines[start - 1].strip()
    return _indentation(lines, start) + _indentation(lines, end), 0 if blank else 1


def _indentation(lines: Sequence[bytes], at: int) -> int:
    """Return the width of the blanks before the first text at or after a line, 0 at the end."""
    for line in lines[at : at + _FURTHEST]:
        text = line.lstrip()
        if text:
            return len(line[: len(line) - len(text)].expandtabs(_TAB))
    return 0
