"""The page: sections of sentences, tables and pictures, as the renderers take it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from threadmend.graph import Graph
from threadmend.inventory import Spot
from threadmend.model import Unreadable

__all__ = [
    "Cell",
    "Code",
    "Command",
    "Page",
    "Part",
    "Section",
    "State",
    "Table",
    "named",
    "number",
    "parts",
    "places",
]


class Code(str):
    """Text as it stands in a program, or is typed into a shell."""

    __slots__ = ()


Part = str | Code | Spot | int
Cell = Part | tuple[Part, ...]


class State(StrEnum):
    """How a point of the checklist stands."""

    GOOD = "ok"
    GAP = "gap"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns. `most` are shown on a page; JSON has them all."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    most: int = 8

    @property
    def shown(self) -> tuple[tuple[Cell, ...], ...]:
        """Return the rows to show; a single one more is not worth a line that says so."""
        return self.rows if len(self.rows) <= self.most + 1 else self.rows[: self.most]

    @property
    def left(self) -> int:
        """Return how many rows are not shown."""
        return len(self.rows) - len(self.shown)


@dataclass(frozen=True, slots=True)
class Section:
    """A point of the checklist: its state in a line, and what the figures stand for."""

    name: str
    title: str
    state: State
    headline: str
    figures: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    graphs: tuple[Graph, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """What to type, and what it does."""

    text: str
    does: str


@dataclass(frozen=True, slots=True)
class Page:
    """An audit of a project."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    commands: tuple[Command, ...]
    unreadable: tuple[Unreadable, ...] = ()


def parts(cell: Cell) -> tuple[Part, ...]:
    """Return a cell's parts."""
    return cell if isinstance(cell, tuple) else (cell,)


def places(spots: Iterable[Spot], most: int = 2) -> Cell:
    """Return a cell with the first places, and how many more there are."""
    known = sorted(set(spots))
    shown: list[Part] = []
    for spot in known[:most]:
        shown += [", ", spot] if shown else [spot]
    if len(known) > most:
        shown.append(f" and {len(known) - most} more")
    return tuple(shown)


def named(names: Sequence[str], most: int = 4) -> Cell:
    """Return a cell with the first names as code, and how many more there are."""
    shown: list[Part] = []
    for name in names[:most]:
        shown += [", ", Code(name)] if shown else [Code(name)]
    if len(names) > most:
        shown.append(f" and {len(names) - most} more")
    return tuple(shown)


def number(count: int, one: str, many: str = "") -> str:
    """Return `1 lock`, `2 locks`, `1,234 classes`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
