"""changes(): which lines differ between two sequences, as git's patience diff sees it.

Lines that occur once on both sides anchor the comparison, so that it stays linear on real
files; between anchors Myers' algorithm (An O(ND) Difference Algorithm, 1986) finds the shortest
script. `difflib` alone needs minutes where the same line is repeated thousands of times.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

__all__ = ["Change", "changes", "split_lines"]

# Beyond so many differing lines without one anchor the block was rewritten: say so as a whole.
_MOST_DIFFERENCES = 1000


class Change(NamedTuple):
    """Lines [a_start, a_end) of the one side became lines [b_start, b_end) of the other."""

    a_start: int
    a_end: int
    b_start: int
    b_end: int


def split_lines(data: bytes) -> list[bytes]:
    """Return the lines with their LF; a line ends at LF only, as git has it."""
    lines = data.split(b"\n")
    last = lines.pop()
    split = [line + b"\n" for line in lines]
    return [*split, last] if last else split


def changes(a: Sequence[bytes], b: Sequence[bytes]) -> list[Change]:
    """Return what differs, in order; two changes have at least one equal line between them."""
    numbers: dict[bytes, int] = {}
    left = [numbers.setdefault(line, len(numbers)) for line in a]
    right = [numbers.setdefault(line, len(numbers)) for line in b]
    found: list[Change] = []
    blocks = [Change(0, len(left), 0, len(right))]
    while blocks:
        block = _trim(left, right, blocks.pop())
        if block.a_start == block.a_end and block.b_start == block.b_end:
            continue
        if block.a_start == block.a_end or block.b_start == block.b_end:
            found.append(block)
            continue
        anchors = _anchors(left, right, block)
        if anchors:
            blocks.extend(_gaps(block, anchors))
        else:
            found.extend(_shortest(left, right, block))
    return _joined(sorted(found))


def _trim(left: list[int], right: list[int], block: Change) -> Change:
    """Return the block without the lines that are equal at its two ends."""
    a_start, a_end, b_start, b_end = block
    while a_start < a_end and b_start < b_end and left[a_start] == right[b_start]:
        a_start += 1
        b_start += 1
    while a_start < a_end and b_start < b_end and left[a_end - 1] == right[b_end - 1]:
        a_end -= 1
        b_end -= 1
    return Change(a_start, a_end, b_start, b_end)


def _anchors(left: list[int], right: list[int], block: Change) -> list[tuple[int, int]]:
    """Return the longest rising run of pairs of lines that are unique on both sides."""
    in_a = _unique(left, block.a_start, block.a_end)
    in_b = _unique(right, block.b_start, block.b_end)
    pairs = [(at, in_b[line]) for line, at in in_a.items() if line in in_b]
    tops: list[int] = []  # tops[n]: the smallest end, in b, of a run of n + 1 pairs
    holders: list[int] = []
    previous: list[int] = []
    for number, (_, at) in enumerate(pairs):
        depth = bisect_left(tops, at)
        previous.append(holders[depth - 1] if depth else -1)
        if depth == len(tops):
            tops.append(at)
            holders.append(number)
        else:
            tops[depth] = at
            holders[depth] = number
    run = []
    number = holders[-1] if holders else -1
    while number >= 0:
        run.append(pairs[number])
        number = previous[number]
    return run[::-1]


def _unique(lines: list[int], start: int, end: int) -> dict[int, int]:
    first: dict[int, int] = {}
    again = set()
    for at in range(start, end):
        line = lines[at]
        if line in first:
            again.add(line)
        else:
            first[line] = at
    for line in again:
        del first[line]
    return first


def _gaps(block: Change, anchors: list[tuple[int, int]]) -> Iterator[Change]:
    a_at, b_at = block.a_start, block.b_start
    for a_anchor, b_anchor in anchors:
        if a_at < a_anchor or b_at < b_anchor:
            yield Change(a_at, a_anchor, b_at, b_anchor)
        a_at, b_at = a_anchor + 1, b_anchor + 1
    yield Change(a_at, block.a_end, b_at, block.b_end)


def _shortest(left: list[int], right: list[int], block: Change) -> list[Change]:
    """Return the fewest changes of a block, or the block itself when they are too many."""
    a = left[block.a_start : block.a_end]
    b = right[block.b_start : block.b_end]
    furthest = {1: 0}  # diagonal (x - y) → how far along a its best path has come
    trace: list[dict[int, int]] = []
    for cost in range(min(len(a) + len(b), _MOST_DIFFERENCES) + 1):
        reached: dict[int, int] = {}
        trace.append(furthest)
        for diagonal in range(-cost, cost + 1, 2):
            down = diagonal == -cost or (
                diagonal != cost and furthest[diagonal - 1] < furthest[diagonal + 1]
            )
            x = furthest[diagonal + 1] if down else furthest[diagonal - 1] + 1
            y = x - diagonal
            while x < len(a) and y < len(b) and a[x] == b[y]:
                x += 1
                y += 1
            reached[diagonal] = x
            if x >= len(a) and y >= len(b):
                return [
                    Change(
                        block.a_start + step.a_start,
                        block.a_start + step.a_end,
                        block.b_start + step.b_start,
                        block.b_start + step.b_end,
                    )
                    for step in _walk_back(trace, len(a), len(b))
                ]
        furthest = reached
    return [block]


def _walk_back(trace: list[dict[int, int]], x: int, y: int) -> list[Change]:
    steps = []
    for cost in range(len(trace) - 1, 0, -1):
        furthest = trace[cost]
        diagonal = x - y
        down = diagonal == -cost or (
            diagonal != cost and furthest[diagonal - 1] < furthest[diagonal + 1]
        )
        from_diagonal = diagonal + 1 if down else diagonal - 1
        x = furthest[from_diagonal]
        y = x - from_diagonal
        steps.append(Change(x, x, y, y + 1) if down else Change(x, x + 1, y, y))
    return steps[::-1]


def _joined(found: list[Change]) -> list[Change]:
    joined: list[Change] = []
    for change in found:
        if joined and (joined[-1].a_end, joined[-1].b_end) == (change.a_start, change.b_start):
            last = joined.pop()
            change = Change(last.a_start, change.a_end, last.b_start, change.b_end)
        joined.append(change)
    return joined
