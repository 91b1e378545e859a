"""The page: sections of sentences, tables and pictures, as the renderers take it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from threadmend.graph import Graph
from threadmend.inventory import Spot
from threadmend.model import Unreadable

__all__ = [
    "Cell",
    "Code",
    "Command",
    "Label",
    "Names",
    "Page",
    "Part",
    "Places",
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


@dataclass(frozen=True, slots=True)
class Places:
    """Places, of which a page shows the first, and the number if that is wanted."""

    spots: tuple[Spot, ...]
    most: int
    counted: bool

    def shown(self) -> Iterator[Part]:
        """Yield what a page shows."""
        if self.counted:
            yield f"{len(self.spots):,}{': ' if self.spots else ''}"
        for number_, spot in enumerate(self.spots[: self.most]):
            yield from (", ", spot) if number_ else (spot,)
        if len(self.spots) > self.most:
            yield f" and {len(self.spots) - self.most:,} more"


@dataclass(frozen=True, slots=True)
class Names:
    """Names, of which a page shows the first."""

    names: tuple[str, ...]
    most: int

    def shown(self) -> Iterator[Part]:
        """Yield what a page shows."""
        for number_, name in enumerate(self.names[: self.most]):
            yield from (", ", Code(name)) if number_ else (Code(name),)
        if len(self.names) > self.most:
            yield f" and {len(self.names) - self.most:,} more"


@dataclass(frozen=True, slots=True)
class Label:
    """A name that a page shows shorter than it is."""

    text: str
    full: str


Cell = Part | Places | Names | Label | tuple[Part, ...]


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
    """Return a cell's parts as a page shows them."""
    if isinstance(cell, Places | Names):
        return tuple(cell.shown())
    if isinstance(cell, Label):
        return (Code(cell.text),)
    return cell if isinstance(cell, tuple) else (cell,)


def places(spots: Iterable[Spot], most: int = 2, *, counted: bool = False) -> Places:
    """Return a cell of places, each once and in order."""
    return Places(tuple(sorted(set(spots))), most, counted)


def named(names: Iterable[str], most: int = 4) -> Names:
    """Return a cell of names."""
    return Names(tuple(names), most)


def number(count: int, one: str, many: str = "") -> str:
    """Return `1 lock`, `2 locks`, `1,234 classes`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
