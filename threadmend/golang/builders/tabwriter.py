"""Column widths as Go's text/tabwriter computes them for gofmt.

A line is a list of cells, the last text of the line left out (it belongs to no column).
Consecutive lines with a cell in the same column, under the same cells to the left, share a
width: the widest text and one blank.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Cell", "column_widths"]


class Cell(NamedTuple):
    """One terminated cell: its width in runes, and whether it counts when empty."""

    width: int
    hard: bool


def column_widths(lines: Sequence[Sequence[Cell]]) -> list[list[int]]:
    """Return the width of every cell's column, blank included; 0 for a discarded column.

    >>> column_widths([[Cell(1, False)], [Cell(3, False)]])
    [[4], [4]]
    """
    widths: list[list[int]] = [[] for _ in lines]
    pending = [(0, 0, len(lines))]
    while pending:
        column, at, stop = pending.pop()
        while at < stop:
            if column >= len(lines[at]):
                at += 1
                continue
            begin = at
            while at < stop and column < len(lines[at]):
                at += 1
            cells = [lines[i][column] for i in range(begin, at)]
            discarded = all(cell.width == 0 and not cell.hard for cell in cells)
            width = 0 if discarded else 1 + max(cell.width for cell in cells)
            for i in range(begin, at):
                widths[i].append(width)
            pending.append((column + 1, begin, at))
    return widths
