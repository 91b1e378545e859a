"""Put columns right after edits: the last step of a fix.

gofmt aligns struct fields, `key: value` pairs, specs, one-line functions and the comments
at the ends of lines. An edit of one line can move the columns of its neighbours. And it leaves
out the blanks around operators in a list of arguments: an expression that is moved into one
loses them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from threadmend.golang.builders.layout import gap_widths
from threadmend.golang.builders.lines import applied
from threadmend.golang.builders.oneline import opened_up
from threadmend.golang.builders.spacing import respaced_within
from threadmend.golang.syntax import Declaration, SyntaxTree
from threadmend.model import Edit
from threadmend.source import SourceFile

if TYPE_CHECKING:
    from threadmend.golang.workspace import Workspace

__all__ = ["composed", "realign", "realigned"]


_DEEPEST = 10
"""So many one-line constructs inside each other are opened up."""


class _Piece(NamedTuple):
    """One edit with the range that its new text has in the result."""

    edit: Edit
    start: int
    end: int


def realign(tree: SyntaxTree, edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """Return the edits with the columns around them as gofmt would write them.

    Give all edits of a fix in this file at once. Gaps that were not gofmt's before stay as
    they are, and so does everything when the result does not parse. One-line functions
    and structs that became too long are opened up.
    """
    first = tuple(sorted(set(edits)))
    if not first or any(a.end > b.start for a, b in pairwise(first)):
        return first
    after = _parsed(tree, first)
    if after.errors:
        return first
    for _ in range(_DEEPEST):
        opened = _opened(after, first)
        if not opened:
            break
        first = composed(tree.data, first, opened)
        after = _parsed(tree, first)
    blanks = _blanks(after, first)
    if blanks:
        first = composed(tree.data, first, blanks)
        after = _parsed(tree, first)
    gaps = _gap_edits(tree, after, first)
    return composed(tree.data, first, gaps) if gaps else first


def realigned(workspace: Workspace, edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """Return the edits of several files with the columns around them put right."""
    by_path: dict[str, list[Edit]] = {}
    for edit in edits:
        by_path.setdefault(edit.path, []).append(edit)
    return tuple(e for p in sorted(by_path) for e in realign(workspace.tree(p), by_path[p]))


def _parsed(tree: SyntaxTree, edits: Sequence[Edit]) -> SyntaxTree:
    return SyntaxTree(SourceFile(tree.source.path, applied(tree.data, edits)))


def _pieces(edits: Sequence[Edit]) -> list[_Piece]:
    pieces: list[_Piece] = []
    shift = 0
    for edit in edits:
        start = edit.start + shift
        pieces.append(_Piece(edit, start, start + len(edit.new)))
        shift += len(edit.new) - (edit.end - edit.start)
    return pieces


def _touched(tree: SyntaxTree, pieces: Sequence[_Piece]) -> list[list[Declaration]]:
    """Return the runs of declarations that the edits reach.

    Declarations on adjacent lines share columns, so they are in one run.
    """
    runs: list[list[Declaration]] = []
    line = tree.source.line_of
    for declaration in tree.declarations:
        if runs and line(declaration.start) - line(runs[-1][-1].end) <= 1:
            runs[-1].append(declaration)
        else:
            runs.append([declaration])
    return [
        run
        for run in runs
        if any(p.start <= run[-1].end + 1 and p.end >= run[0].start - 1 for p in pieces)
    ]


def _opened(after: SyntaxTree, edits: Sequence[Edit]) -> list[Edit]:
    """Return the edits that open up what became too long for one line."""
    pieces = _pieces(edits)
    ranges = [(piece.start, piece.end) for piece in pieces]
    runs = _touched(after, pieces)
    return [edit for run in runs for d in run for edit in opened_up(d.node, ranges)]


_OPERATION = re.compile(rb"[\w)\]\"] ?(?:[-+*/%|^&]|<<|>>) ?[\w(\"]")


def _blanks(after: SyntaxTree, edits: Sequence[Edit]) -> list[Edit]:
    """Return the edits of blanks around operators in new text."""
    pieces = [p for p in _pieces(edits) if _OPERATION.search(p.edit.new)]
    found = {
        edit
        for piece in pieces
        for declaration in after.declarations
        if declaration.start <= piece.start and piece.end <= declaration.end
        for edit in respaced_within(declaration.node, piece.start, piece.end)
    }
    return sorted(found)


def _gap_edits(tree: SyntaxTree, after: SyntaxTree, edits: Sequence[Edit]) -> list[Edit]:
    """Return the edits of gaps, in offsets of `after`."""
    pieces = _pieces(edits)
    before: dict[int, bool] | None = None
    found: list[Edit] = []
    starts = [piece.start for piece in pieces]
    for run in _touched(after, pieces):
        for gap, width in gap_widths(after, run).items():
            if after.data[gap.start : gap.end] == b" " * width:
                continue
            at = bisect_right(starts, gap.end) - 1
            piece = pieces[at] if at >= 0 else None
            if piece is None or gap.start > piece.end:
                origin = gap.start if piece is None else gap.start - piece.end + piece.edit.end
                if before is None:
                    before = _gofmt_before(tree, edits)
                if not before.get(origin, True):
                    continue
            found.append(Edit(tree.source.path, gap.start, gap.end, b" " * width))
    return sorted(found)


def _gofmt_before(tree: SyntaxTree, edits: Sequence[Edit]) -> dict[int, bool]:
    """Return by start whether the gaps of the edited declarations were gofmt's."""
    pieces = [_Piece(edit, edit.start, edit.end) for edit in edits]
    return {
        gap.start: tree.data[gap.start : gap.end] == b" " * width
        for run in _touched(tree, pieces)
        for gap, width in gap_widths(tree, run).items()
    }


def composed(data: bytes, edits: Sequence[Edit], later: Sequence[Edit]) -> tuple[Edit, ...]:
    """Return the edits that do what `edits` and then `later` do.

    `later` has offsets in the result of `edits`; where the two touch, one edit covers both.
    """
    if not edits or not later:
        return tuple(edits or later)
    edits, later = sorted(edits), sorted(later)
    after = applied(data, edits)
    pieces = _pieces(edits)
    ranges = sorted([(p.start, p.end) for p in pieces] + [(e.start, e.end) for e in later])
    groups: list[tuple[int, int]] = []
    for start, end in ranges:
        if groups and start <= groups[-1][1]:
            groups[-1] = (groups[-1][0], max(groups[-1][1], end))
        else:
            groups.append((start, end))
    found: list[Edit] = []
    shift = 0
    for start, end in groups:
        inside = [piece.edit for piece in pieces if start <= piece.start and piece.end <= end]
        added = [edit for edit in later if start <= edit.start and edit.end <= end]
        if not added:
            found += inside
        grown = sum(len(edit.new) - (edit.end - edit.start) for edit in inside)
        if added:
            moved = [Edit(e.path, e.start - start, e.end - start, e.new) for e in added]
            new = applied(after[start:end], moved)
            found.append(Edit(edits[0].path, start - shift, end - shift - grown, new))
        shift += grown
    return tuple(found)
