"""The page as text: lines of segments, plain into a pipe and coloured to a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from threadmend.audit.page import Cell, Page, Section, State, Table, parts
from threadmend.inventory import Spot
from threadmend.report.text import Line, Segment, printable

__all__ = ["lines"]

_STYLES = {State.GOOD: "safe", State.GAP: "unsafe", State.INFO: "manual"}
_WIDEST = 64
"""Columns of a cell beyond which the ones after it are no longer aligned."""


def lines(page: Page, shown: Callable[[str], str]) -> Iterator[Line]:
    """Yield the page; `shown` turns a path of the project into the one to print."""
    yield (Segment(printable(page.title), "title"),)
    yield (Segment(printable(page.subtitle)),)
    yield ()
    width = max((len(section.title) for section in page.sections), default=0)
    for section in page.sections:
        yield (
            Segment(f"{section.state:<4}", _STYLES[section.state]),
            Segment(f" {section.title:<{width}}  ", "title"),
            Segment(printable(section.headline)),
        )
    if page.commands:
        yield ()
        yield (Segment("What can be fixed now", "title"),)
        wide = max(len(command.text) for command in page.commands)
        for command in page.commands:
            typed = printable(command.text)
            yield (Segment(f"  {typed:<{wide}}", "path"), Segment(f"  {printable(command.does)}"))
    for section in page.sections:
        if section.tables:
            yield ()
            yield from _section(section, shown)
    if page.unreadable:
        yield ()
    for item in page.unreadable:
        yield (Segment(f"{printable(shown(item.path))}: {printable(item.reason)}; left alone"),)


def _section(section: Section, shown: Callable[[str], str]) -> Iterator[Line]:
    yield (
        Segment(section.title, "title"),
        Segment(": "),
        Segment(printable(section.headline)),
    )
    for note in section.notes:
        yield (Segment(f"  {printable(note)}", "manual"),)
    for table in section.tables:
        yield from _table(table, shown)


def _table(table: Table, shown: Callable[[str], str]) -> Iterator[Line]:
    yield (Segment(f"  {table.title} ({len(table.rows)})", "title"),)
    rows = [[_cell(cell, shown) for cell in row] for row in table.shown]
    head = list(table.columns)
    widths = [min(max(len(row[i]) for row in [head, *rows]), _WIDEST) for i in range(len(head) - 1)]
    yield (Segment(_aligned(head, widths), "manual"),)
    for row in rows:
        yield (Segment(_aligned(row, widths)),)
    if table.left:
        yield (Segment(f"    and {table.left:,} more (--output-format json has all)", "manual"),)


def _aligned(row: list[str], widths: list[int]) -> str:
    cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
    return f"    {'  '.join([*cells, row[-1]])}".rstrip()


def _cell(cell: Cell, shown: Callable[[str], str]) -> str:
    said = ""
    for part in parts(cell):
        said += f"{shown(part.path)}:{part.line}" if isinstance(part, Spot) else str(part)
    return printable(said)
