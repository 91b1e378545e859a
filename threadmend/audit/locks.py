"""Sections about locks: which there are and what they guard, and in which order they are taken."""

from __future__ import annotations

from collections.abc import Iterable

from threadmend.audit.gather import Facts
from threadmend.audit.page import (
    Cell,
    Code,
    Label,
    Part,
    Section,
    State,
    Table,
    named,
    number,
    places,
)
from threadmend.audit.pictures import cut, merged
from threadmend.graph import Graph, components, labels, short
from threadmend.inventory import Cycle, Lock, Nesting, Spot

__all__ = ["locks", "order"]


def locks(facts: Facts) -> Section:
    """Return the inventory of locks, those taken in most places first."""
    found = sorted(_merged(facts.inventory.locks), key=lambda lock: (-len(lock.taken), lock.name))
    taken = sum(len(lock.taken) for lock in found)
    guarding = sum(bool(lock.guards) for lock in found)
    shown = labels(lock.name for lock in found)
    rows: list[tuple[Cell, ...]] = [
        (
            Label(shown[lock.name], lock.name),
            lock.type,
            places(lock.taken, 1, counted=True),
            named(lock.guards),
            lock.declared or "",
        )
        for lock in found
    ]
    headline = f"{number(len(found), 'lock')}, taken in {number(taken, 'place')}"
    if found:
        headline += f"; {guarding} guard fields that are known"
    columns = ("lock", "type", "taken in", "guards", "declared")
    table = Table("locks", "Locks, by the places that take them", columns, tuple(rows), 10)
    figures = (("locks", len(found)), ("places", taken), ("with_guarded_fields", guarding))
    notes = (
        "Tests and types with a Lock of their own are left out. A lock guards what most code "
        "touches only while it is held.",
    )
    if not rows:
        return Section("locks", "Locks", State.INFO, headline, figures)
    return Section("locks", "Locks", State.INFO, headline, figures, notes, (table,))


def _merged(parts: Iterable[Lock]) -> list[Lock]:
    """Return each lock once: packages and files see parts of it."""
    found: dict[str, Lock] = {}
    for part in parts:
        known = found.get(part.name)
        if known is not None:
            guards = tuple(sorted({*known.guards, *part.guards}))
            taken = tuple(sorted({*known.taken, *part.taken}))
            part = Lock(part.name, known.type, known.declared or part.declared, taken, guards)
        found[part.name] = part
    return list(found.values())


def order(facts: Facts) -> Section:
    """Return which lock is taken while another one is held: cycles first."""
    from threadmend.python.topology import order_graph

    go = [n for n in facts.inventory.nestings if n.spot.path.endswith(".go")]
    python = [n for n in facts.inventory.nestings if not n.spot.path.endswith(".go")]
    names: dict[tuple[str, str], set[str]] = {}
    for nesting in python:
        names.setdefault((nesting.held, nesting.taken), set()).add(nesting.function)
    cycles = [*facts.inventory.cycles, *_python_cycles(python)]
    pairs: dict[tuple[str, str], list[Spot]] = {}
    for nesting in (*go, *python):
        pairs.setdefault((nesting.held, nesting.taken), []).append(nesting.spot)
    shown = labels(name for pair in pairs for name in pair)
    circle: list[tuple[Cell, ...]] = [
        (Code(" → ".join(short(n) for n in (*c.locks, c.locks[0]))), _steps(c)) for c in cycles
    ]
    rows: list[tuple[Cell, ...]] = [
        (Label(shown[held], held), Label(shown[taken], taken), places(spots, counted=True))
        for (held, taken), spots in sorted(pairs.items(), key=lambda p: (-len(set(p[1])), p[0]))
    ]
    graph = merged([*facts.inventory.orders, order_graph(names)], _TITLE)
    headline = f"{number(len(cycles), 'cycle')} in {number(len(pairs), 'order')} of two locks"
    state = State.GAP if cycles else State.GOOD
    if not pairs:
        headline, state = "no lock is taken while another one is held", State.INFO
    tables = (
        Table("cycles", "Cycles", ("locks", "who takes what"), tuple(circle)),
        Table("orders", "Orders", ("held", "taken under it", "in"), tuple(rows), 6),
    )
    figures = (("cycles", len(cycles)), ("orders", len(pairs)))
    full = tuple(table for table in tables if table.rows)
    return Section("order", "Lock order", state, headline, figures, (), full, _pictures(graph))


_TITLE = "Lock order: an arrow points at what is taken under a lock"


def _pictures(graph: Graph) -> tuple[Graph, ...]:
    drawn = cut(graph, 24)
    return (drawn,) if drawn.edges else ()


def _steps(cycle: Cycle) -> Cell:
    said: list[Part] = []
    for step in cycle.steps:
        said += ["; "] if said else []
        said += [Code(step.function), f" takes {short(step.taken)} under {short(step.held)} in "]
        said.append(step.spot)
    return tuple(said)


def _python_cycles(nestings: list[Nesting]) -> Iterable[Cycle]:
    first: dict[tuple[str, str], Nesting] = {}
    for nesting in sorted(nestings, key=lambda n: n.spot):
        first.setdefault((nesting.held, nesting.taken), nesting)
    names = sorted({name for pair in first for name in pair})
    for group in components(names, first):
        inside = [n for pair, n in sorted(first.items()) if set(pair) <= set(group)]
        if len(group) > 1 or inside:
            yield Cycle(tuple(group), tuple(inside))
