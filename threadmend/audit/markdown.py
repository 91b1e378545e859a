"""The page as Markdown, with the pictures as mermaid, as code hosts show them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from threadmend.audit.page import Cell, Code, Page, Section, State, Table, parts
from threadmend.inventory import Spot
from threadmend.report.drawing import mermaid
from threadmend.report.text import printable

__all__ = ["markdown"]

Link = Callable[[str, int], str]

_MARKS = {State.GOOD: "✅ ok", State.GAP: "⚠️ gap", State.INFO: "ℹ️ info"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#&])")


def markdown(page: Page, link: Link) -> str:
    """Return the page; `link` is asked for the address of a path and line."""
    lines = [f"# {_text(page.title)}", "", _text(page.subtitle), ""]
    if page.sections:
        lines += ["| | | |", "| --- | --- | --- |"]
    for section in page.sections:
        where = f"[{_text(section.title)}](#{_anchor(section.title)})"
        named = where if section.tables or section.graphs else _text(section.title)
        lines.append(f"| {_MARKS[section.state]} | {named} | {_text(section.headline)} |")
    if page.commands:
        lines += ["", "## What can be fixed now", "", "| | |", "| --- | --- |"]
        lines += [f"| {_code(c.text, cell=True)} | {_text(c.does)} |" for c in page.commands]
    for section in page.sections:
        if section.tables or section.graphs:
            lines += ["", *_section(section, link)]
    if page.unreadable:
        lines += ["", "## Left alone", ""]
        lines += [f"- {_code(item.path)}: {_text(item.reason)}" for item in page.unreadable]
    return "\n".join(lines) + "\n"


def _section(section: Section, link: Link) -> Iterator[str]:
    yield f"## {_text(section.title)}"
    yield ""
    yield f"{_text(section.headline)}."
    for note in section.notes:
        yield ""
        yield f"*{_text(note)}*"
    for table in section.tables:
        yield ""
        yield from _table(table, link)
    for graph in section.graphs:
        drawn = mermaid([graph]).rstrip("\n").split("\n")
        yield ""
        yield "```mermaid"
        yield from (printable(line) for line in drawn)
        yield "```"


def _table(table: Table, link: Link) -> Iterator[str]:
    yield f"**{_text(table.title)}** ({len(table.rows)})"
    yield ""
    yield f"| {' | '.join(_text(column) for column in table.columns)} |"
    yield f"|{' --- |' * len(table.columns)}"
    for row in table.shown:
        yield f"| {' | '.join(_cell(cell, link) for cell in row)} |"
    if table.left:
        yield ""
        yield f"and {table.left:,} more"


def _cell(cell: Cell, link: Link) -> str:
    said = ""
    for part in parts(cell):
        if isinstance(part, Spot):
            said += f"[{_text(f'{part.path}:{part.line}')}](<{link(part.path, part.line)}>)"
        else:
            said += _code(part, cell=True) if isinstance(part, Code) else _text(str(part))
    return said


def _text(text: str) -> str:
    """Return text that means itself: nothing in it is markup."""
    return _SPECIAL.sub(r"\\\1", printable(text).replace("\n", " "))


def _code(text: str, *, cell: bool = False) -> str:
    """Return a code span, fenced by more backticks than are in it; tables split at `|` first."""
    shown = printable(text).replace("\n", " ")
    if not shown:
        return ""
    fence = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    shown = shown.replace("|", "\\|") if cell else shown
    return f"{fence}{space}{shown}{space}{fence}"


def _anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
