"""What the language layers hand to the audit: what there is, each with its place."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from threadmend.graph import Graph

__all__ = ["Call", "Channel", "Cycle", "Inventory", "Launch", "Lock", "Nesting", "Spot", "Tested"]


@dataclass(frozen=True, slots=True, order=True)
class Spot:
    """A place to look at: a path of the project, and a line from 1."""

    path: str
    line: int


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock by its class (`pkg/path.Type.field`), as one package or file sees it.

    `declared` is None where the declaration is elsewhere. `taken` are the places that take
    it, `guards` what most code touches only while it is held.
    """

    name: str
    type: str
    declared: Spot | None
    taken: tuple[Spot, ...]
    guards: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Nesting:
    """A lock that is taken while another one is held, in a function."""

    held: str
    taken: str
    function: str
    spot: Spot


@dataclass(frozen=True, slots=True)
class Cycle:
    """Locks that are taken in a circle: for each step who takes what, and where."""

    locks: tuple[str, ...]
    steps: tuple[Nesting, ...]


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel or queue that is made here.

    `followed`: every use is known. `problem` says what is missing at one of its ends, or is
    empty. `bounded` is whether a sender waits when nobody takes anything.
    """

    name: str
    spot: Spot
    followed: bool
    problem: str = ""
    bounded: bool = True


@dataclass(frozen=True, slots=True)
class Launch:
    """A place where something begins to run beside.

    `kind` is that of the language's fact (`go`, `errgroup`, `thread`, `task`, …), `runs` the
    name of what is run, `ending` is `ends`, `never`, `unseen`; for threads `joined`,
    `daemon`, `left`; for executors `closed`, `left`. `reason` explains it.
    """

    kind: str
    spot: Spot
    runs: str
    ending: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that matters for cancellation.

    `kind`: `with` and `without` a context, where the API has both forms; `sleep`;
    `background` and `todo` are contexts that are made anew, `context` the expression of the
    one that was in scope (empty: none is).
    """

    kind: str
    spot: Spot
    name: str
    context: str = ""


@dataclass(frozen=True, slots=True)
class Tested:
    """A folder whose tests start goroutines: where the first one is, whether leaks are seen."""

    directory: str
    spot: Spot
    checked: bool


@dataclass(slots=True)
class Inventory:
    """Everything that was found; parts of a project are added up."""

    locks: list[Lock] = field(default_factory=list)
    nestings: list[Nesting] = field(default_factory=list)
    cycles: list[Cycle] = field(default_factory=list)
    orders: list[Graph] = field(default_factory=list)
    """Pictures of the order of locks."""
    channels: list[Channel] = field(default_factory=list)
    launches: list[Launch] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    tested: list[Tested] = field(default_factory=list)
    pictures: list[Graph] = field(default_factory=list)
    """Pictures of channels and queues."""

    def add(self, other: Inventory) -> None:
        """Take over what was found in another part."""
        for one in fields(self):
            getattr(self, one.name).extend(getattr(other, one.name))
