"""Sections about Python: threads, executors, tasks and queues."""

from __future__ import annotations

from collections import Counter

from threadmend.audit.gather import Facts
from threadmend.audit.page import Cell, Code, Label, Section, State, Table, number, places
from threadmend.audit.pictures import cut, judged, merged
from threadmend.graph import short
from threadmend.inventory import Channel, Launch, Spot

__all__ = ["queues", "threads"]

_KINDS = {
    "thread": "thread",
    "timer": "timer",
    "process": "process",
    "run": "class with a run of its own",
    "executor": "executor",
    "task": "asyncio task",
}
_QUEUES = "Queues: who puts and who gets"
_MANY = {"process": "processes", "run": "classes with a run of their own"}


def threads(facts: Facts) -> Section:
    """Return what is started, and what nobody joins or closes."""
    found = [one for one in facts.inventory.launches if not one.spot.path.endswith(".go")]
    kinds = Counter(one.kind for one in found)
    left = sorted((one for one in found if one.ending == "left"), key=lambda one: one.spot)
    rows: list[tuple[Cell, ...]] = [(o.kind, Code(o.runs), _why(o), o.spot) for o in left]
    said = ", ".join(
        number(kinds[k], name, _MANY.get(k, "")) for k, name in _KINDS.items() if kinds[k]
    )
    headline = f"{said}; {len(left)} that nobody joins or closes" if found else "none are started"
    daemons = sum(one.ending == "daemon" for one in found)
    notes = (f"{number(daemons, 'daemon')}: stopped wherever it is when the program ends.",)
    every = Table("started", "What is started", ("kind", "number", "where"), _by_kind(found))
    columns = ("kind", "runs", "what", "where")
    table = Table("left", "Neither joined, closed nor a daemon", columns, (*rows,))
    state = State.GAP if left else State.GOOD if found else State.INFO
    counted = [(kind, kinds[kind]) for kind in _KINDS]
    figures = (*counted, ("left", len(left)), ("daemons", daemons))
    tables = tuple(one for one in (table, every) if one.rows)
    title = "Threads and tasks"
    return Section("threads", title, state, headline, figures, notes if daemons else (), tables)


def _why(launch: Launch) -> str:
    if launch.kind == "executor":
        return "no with, no shutdown"
    return "no join, no cancel" if launch.kind == "timer" else "no join, no daemon"


def _by_kind(found: list[Launch]) -> tuple[tuple[Cell, ...], ...]:
    spots: dict[str, list[Spot]] = {}
    for one in found:
        spots.setdefault(one.kind, []).append(one.spot)
    return tuple((kind, len(spots[kind]), places(spots[kind])) for kind in _KINDS if kind in spots)


def queues(facts: Facts) -> Section:
    """Return the queues without bound, and those with one end."""
    found: dict[str, list[Channel]] = {}
    for channel in facts.inventory.channels:
        if not channel.spot.path.endswith(".go"):
            found.setdefault(channel.name, []).append(channel)
    unbounded = [n for n, uses in sorted(found.items()) if not any(use.bounded for use in uses)]
    wrong = [
        (name, uses[0].problem)
        for name, uses in sorted(found.items())
        if len(uses) == 1 and uses[0].problem
    ]
    headline = f"{number(len(found), 'queue')}: {len(unbounded)} without a bound"
    headline += f", {len(wrong)} with one end only"
    if not found:
        headline = "none"
    rows: list[tuple[Cell, ...]] = [
        (Label(short(n), n), problem, places(u.spot for u in found[n])) for n, problem in wrong
    ]
    rows += [
        (Label(short(n), n), "grows without a bound", places(u.spot for u in found[n]))
        for n in unbounded
    ]
    table = Table("queues", "Queues to look at", ("queue", "what", "where"), (*rows,))
    state = State.GAP if wrong else State.INFO
    figures = (("queues", len(found)), ("unbounded", len(unbounded)), ("one_end", len(wrong)))
    pictures = [p for p in facts.inventory.pictures if any(v.kind == "queue" for v in p.vertices)]
    graph = cut(judged(merged(pictures, _QUEUES), found, [n for n, _ in wrong]), 24)
    graphs = (graph,) if graph.edges else ()
    tables = (table,) if rows else ()
    return Section("queues", "Queues", state, headline, figures, (), tables, graphs)
