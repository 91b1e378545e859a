"""The width that gofmt gives every gap between columns."""

from __future__ import annotations

from collections.abc import Sequence

from threadmend.golang.builders.sections import Gap, Sections
from threadmend.golang.builders.tabwriter import Cell, column_widths
from threadmend.golang.syntax import Declaration, SyntaxTree

__all__ = ["gap_widths"]


def gap_widths(tree: SyntaxTree, declarations: Sequence[Declaration]) -> dict[Gap, int]:
    """Return the number of blanks that gofmt writes into every gap of declarations.

    The declarations follow one another; gaps of lines that end in a raw string's or block
    comment's later lines are not columns and take one blank.
    """
    if not declarations:
        return {}
    sections = Sections(tree, declarations)
    by_line: dict[int, list[Gap]] = {}
    for start in sorted(sections.gaps):
        by_line.setdefault(tree.source.line_of(start), []).append(sections.gaps[start])
    first = tree.source.line_of(declarations[0].start)
    last = tree.source.line_of(declarations[-1].end)
    found: dict[Gap, int] = {}
    section: list[tuple[list[Gap], list[Cell]]] = []
    for line in range(first, last + 1):
        gaps = by_line.get(line, [])
        cells = _cells(tree, line, gaps)
        if line in sections.starts or not cells:
            found.update(_measured(section))
            section = []
        if line in sections.raw:
            found.update((gap, 1) for gap in gaps)
        else:
            section.append((gaps, cells))
    found.update(_measured(section))
    return found


def _cells(tree: SyntaxTree, line: int, gaps: Sequence[Gap]) -> list[Cell]:
    """Return the terminated cells of a line: the indentation, then what stands before gaps."""
    text = tree.source.line_text(line)
    start = tree.source.line_starts[line - 1]
    indent = len(text) - len(text.lstrip(b"\t"))
    cells = [Cell(0, True)] * indent if indent < len(text) else []
    at = start + indent
    width = 0
    for gap in gaps:
        width += len(tree.data[at : gap.start].decode("utf-8", "replace"))
        at = gap.end
        if gap.cells == 0:
            width += 1
            continue
        cells.append(Cell(width, gap.hard))
        cells += [Cell(0, gap.hard)] * (gap.cells - 1)
        width = 0
    return cells


def _measured(section: Sequence[tuple[Sequence[Gap], Sequence[Cell]]]) -> dict[Gap, int]:
    widths = column_widths([cells for _, cells in section])
    found: dict[Gap, int] = {}
    for (gaps, cells), columns in zip(section, widths, strict=True):
        at = len(cells) - sum(gap.cells for gap in gaps)
        for gap in gaps:
            if gap.cells == 0:
                found[gap] = 1
                continue
            span = range(at, at + gap.cells)
            found[gap] = sum(columns[i] - min(cells[i].width, columns[i]) for i in span)
            at += gap.cells
    return found
