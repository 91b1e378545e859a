"""The page as JSON: every row of every table; see docs/json.md."""

from __future__ import annotations

from typing import Any

from threadmend.audit.page import Cell, Label, Names, Page, Part, Places, Section, Table
from threadmend.inventory import Spot
from threadmend.report.json import VERSION

__all__ = ["document"]


def document(page: Page) -> dict[str, Any]:
    """Return the document of `audit --output-format json`."""
    return {
        "version": VERSION,
        "title": page.title,
        "sections": [_section(section) for section in page.sections],
        "commands": [{"command": c.text, "does": c.does} for c in page.commands],
        "unreadable": [{"path": item.path, "reason": item.reason} for item in page.unreadable],
    }


def _section(section: Section) -> dict[str, Any]:
    return {
        "name": section.name,
        "title": section.title,
        "state": section.state.value,
        "headline": section.headline,
        "figures": dict(section.figures),
        "tables": {table.name: _rows(table) for table in section.tables},
    }


def _rows(table: Table) -> list[dict[str, Any]]:
    names = [column.replace(" ", "_") for column in table.columns]
    return [dict(zip(names, map(_value, row), strict=True)) for row in table.rows]


def _value(cell: Cell) -> Any:
    """Return a text, a number, a place, or a list of names or places."""
    if isinstance(cell, Places):
        return [_part(spot) for spot in cell.spots]
    if isinstance(cell, Names):
        return list(cell.names)
    if isinstance(cell, Label):
        return cell.full
    if isinstance(cell, tuple):
        return "".join(f"{p.path}:{p.line}" if isinstance(p, Spot) else str(p) for p in cell)
    return _part(cell)


def _part(part: Part) -> Any:
    if isinstance(part, Spot):
        return {"path": part.path, "line": part.line}
    return part if isinstance(part, int) else str(part)
