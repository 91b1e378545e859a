"""Sections about Go's goroutines, channels and contexts."""

from __future__ import annotations

from collections import Counter

from threadmend.audit.gather import Facts
from threadmend.audit.page import Cell, Code, Label, Section, State, Table, number, places
from threadmend.audit.pictures import cut, judged, merged
from threadmend.graph import short
from threadmend.inventory import Call, Spot

__all__ = ["channels", "contexts", "goroutines"]

_CHANNELS = "Channels whose every use is known: who sends and who receives"
_KINDS = {
    "go": "go",
    "errgroup": "errgroup.Go",
    "waitgroup": "WaitGroup.Go",
    "timer": "time.AfterFunc",
}


def channels(facts: Facts) -> Section:
    """Return the channels that nobody closes, sends on or receives from, though they should."""
    made = [c for c in facts.inventory.channels if c.spot.path.endswith(".go")]
    followed = [c for c in made if c.followed]
    wrong: dict[tuple[str, str], list[Spot]] = {}
    for channel in followed:
        if channel.problem:
            wrong.setdefault((channel.problem, channel.name), []).append(channel.spot)
    rows: list[tuple[Cell, ...]] = [
        (Label(_label(name), name), problem, places(spots))
        for (problem, name), spots in sorted(wrong.items())
    ]
    headline = f"{len(rows)} without a clear owner; {number(len(made), 'channel')} made"
    headline += f", {len(followed)} of them followed to every use"
    state = State.GAP if rows else State.GOOD
    if not made:
        headline, state = "no channel is made", State.INFO
    columns = ("channel", "what", "made")
    table = Table("unowned", "Channels without a clear owner", columns, (*rows,))
    pictures = [p for p in facts.inventory.pictures if any(v.kind == "channel" for v in p.vertices)]
    every = merged(pictures, _CHANNELS)
    names = {c.name for c in followed}
    graph = cut(judged(every, names, {c.name for c in followed if c.problem}), 24)
    figures = (("made", len(made)), ("followed", len(followed)), ("unowned", len(rows)))
    notes = (
        "A channel that is passed out of sight, stored by others or exported is not judged. "
        "The rules look closer: what they found is counted under Findings.",
    )
    return Section(
        "channels",
        "Channels",
        state,
        headline,
        figures,
        notes if made else (),
        (table,) if rows else (),
        (graph,) if graph.edges else (),
    )


def _label(name: str) -> str:
    """Return `file.go.results` for a local channel, `pkg.Type.field` for others."""
    path, colon, rest = name.partition(":")
    return rest.partition(".")[2] if colon else short(path)


def goroutines(facts: Facts) -> Section:
    """Return what is launched, and which of it has no way to end."""
    found = [one for one in facts.inventory.launches if one.spot.path.endswith(".go")]
    kinds = Counter(one.kind for one in found)
    never = sorted((one for one in found if one.ending == "never"), key=lambda one: one.spot)
    unseen = sum(one.ending == "unseen" for one in found)
    rows: list[tuple[Cell, ...]] = [(Code(o.runs), o.reason, o.spot) for o in never]
    headline = f"{len(never)} of {number(len(found), 'launch', 'launches')} can never end"
    headline += f"; what {unseen} run is out of sight" if unseen else ""
    if not found:
        headline = "no goroutine is launched"
    said = ", ".join(f"{kinds[k]:,} by {name}" for k, name in _KINDS.items() if kinds[k])
    table = Table("endless", "Goroutines that can never end", ("runs", "why", "launched"), (*rows,))
    figures = (("launches", len(found)), ("endless", len(never)), ("unseen", unseen))
    notes = (f"Launched: {said}; tests left out. What may wait for ever is among the findings.",)
    state = State.GAP if never else State.GOOD if found else State.INFO
    tables = (table,) if rows else ()
    title = "Goroutines"
    return Section("goroutines", title, state, headline, figures, notes if found else (), tables)


def contexts(facts: Facts) -> Section:
    """Return how far contexts reach: calls with and without, contexts made anew, sleeps."""
    by_kind: dict[str, list[Call]] = {}
    for call in sorted(facts.inventory.calls, key=lambda c: (c.spot, c.name)):
        by_kind.setdefault(call.kind, []).append(call)
    with_, without = by_kind.get("with", []), by_kind.get("without", [])
    todo, sleeps = by_kind.get("todo", []), by_kind.get("sleep", [])
    fresh = [*by_kind.get("background", []), *todo]
    middle = sorted((c for c in fresh if c.context), key=lambda c: c.spot)
    both = len(with_) + len(without)
    share = f" ({100 * len(with_) // both} %)" if both else ""
    parts = [
        f"{len(with_)} of {number(both, 'call')} that have a form with a context use it{share}"
    ]
    parts.append(f"{number(len(middle), 'new context')} where one is in scope")
    parts.append(f"context.TODO() in {number(len(todo), 'place')}")
    state = State.GAP if without or middle or todo else State.GOOD
    if not both and not fresh and not sleeps:
        parts, state = ["nothing that takes a context"], State.INFO
    columns = ("what", "times", "where")
    figures = (
        ("with_context", len(with_)),
        ("without_context", len(without)),
        ("new_contexts", len(fresh)),
        ("new_though_in_scope", len(middle)),
        ("todo", len(todo)),
        ("sleeps", len(sleeps)),
    )
    tables = (
        Table("without", "Calls that have a form with a context", columns, _by_name(without), 5),
        Table("middle", "New contexts where one is in scope", _MIDDLE, _in_scope(middle), 6),
        Table("todo", "context.TODO()", ("package", "times", "where"), _by_folder(todo), 4),
        Table("sleeps", "Sleeps, which nothing cancels", _FOLDERS, _by_folder(sleeps), 4),
    )
    shown = tuple(table for table in tables if table.rows)
    return Section("contexts", "Contexts", state, "; ".join(parts), figures, (), shown)


_MIDDLE = ("new", "in scope", "times", "where")
_FOLDERS = ("package", "times", "where")


def _by_name(calls: list[Call]) -> tuple[tuple[Cell, ...], ...]:
    groups: dict[str, list[Spot]] = {}
    for call in calls:
        groups.setdefault(call.name, []).append(call.spot)
    return _counted(groups)


def _by_folder(calls: list[Call]) -> tuple[tuple[Cell, ...], ...]:
    groups: dict[str, list[Spot]] = {}
    for call in calls:
        groups.setdefault(call.spot.path.rpartition("/")[0] or ".", []).append(call.spot)
    return _counted(groups)


def _counted(groups: dict[str, list[Spot]]) -> tuple[tuple[Cell, ...], ...]:
    ordered = sorted(groups.items(), key=lambda g: (-len(g[1]), g[0]))
    return tuple((Code(name), len(spots), places(spots)) for name, spots in ordered)


def _in_scope(calls: list[Call]) -> tuple[tuple[Cell, ...], ...]:
    groups: dict[tuple[str, str, str], list[Spot]] = {}
    for call in calls:
        groups.setdefault((call.spot.path, call.name, call.context), []).append(call.spot)
    ordered = sorted(groups.items(), key=lambda g: (-len(g[1]), g[0]))
    return tuple((Code(n), Code(c), len(spots), places(spots)) for (_, n, c), spots in ordered)
