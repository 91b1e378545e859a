"""Explain: what a symptom shows, side by side in source, and what the choices are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest

from threadmend.project import Project
from threadmend.prove.locate import Located, LocatedStack
from threadmend.prove.remap import Place
from threadmend.prove.symptom import Kind
from threadmend.source import UnreadableError

__all__ = ["choices", "explanation", "headline"]

_AROUND = 2
"""Lines of source shown above and below the one where a goroutine was."""

_CHOICES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "concurrent map",
        (
            "hold one mutex at every access of the map",
            "let one goroutine own the map and others ask it over a channel",
            "fill the map before the goroutines start and only read it afterwards",
        ),
    ),
    (
        "data race",
        (
            "hold one mutex at every access of the variable",
            "give each goroutine a variable of its own, and join the results when all are done",
            "let one side wait for the other: a WaitGroup, a receive, a close",
        ),
    ),
    (
        "send on closed channel",
        (
            "close where all senders are known to be done: after their WaitGroup's Wait",
            "do not close; end the receivers with a context or stop channel of its own",
        ),
    ),
    (
        "close of closed channel",
        ("close in one place only", "close through a sync.Once"),
    ),
    ("close of nil channel", ("make the channel where the value is made",)),
    (
        "negative WaitGroup counter",
        ("call Add once for each Done", "defer Done once, as the goroutine's first statement"),
    ),
    (
        "WaitGroup is reused",
        ("give each round a WaitGroup of its own", "call Add before Wait can have begun"),
    ),
    (
        "unlock of unlocked",
        ("unlock only on the paths that locked: defer the Unlock right after the Lock",),
    ),
    (
        "chan send",
        (
            "give the channel room for every value that may be sent",
            "send in a select, with a context or stop channel as the other case",
            "let the receiver receive until the channel is closed",
        ),
    ),
    (
        "chan receive",
        (
            "close the channel when its senders are done",
            "receive in a select, with a context or stop channel as the other case",
            "send on every path of the sender, also on those that fail",
        ),
    ),
    ("select", ("listen to a context or stop channel in the select",)),
    (
        "Mutex",
        (
            "release the lock on every path of the goroutine that holds it",
            "take locks in the same order everywhere (of two objects of one type: by a number)",
            "do not wait for others with the lock held",
        ),
    ),
    ("WaitGroup", ("call Done on every path of each goroutine that is counted",)),
    (
        "sleep",
        ("wait on a timer and a context or stop channel in a select, instead of sleeping",),
    ),
    (
        "runnable",
        (
            "leave the loop by a label or return: a break inside a select leaves the select only",
            "let the loop wait for something, and listen to a context or stop channel",
        ),
    ),
    ("Cond", ("wake all waiters with Broadcast when what they wait for has changed",)),
)


def choices(located: Located) -> tuple[str, ...]:
    """Return what can be done about a symptom, usual remedies first."""
    symptom = located.symptom
    said = [symptom.message, *(stack.stack.doing for stack in located.stacks)]
    found: dict[str, None] = {}
    for word, some in _CHOICES:
        if any(word in text for text in said):
            found.update(dict.fromkeys(some))
            if symptom.kind in {Kind.RACE, Kind.PANIC}:
                break
    return tuple(found)


def headline(located: Located, shown: Callable[[str], str]) -> str:
    """Return a symptom in a line: what, where, as said by what."""
    symptom = located.symptom
    tops = sorted(located.tops, key=lambda place: place.path.endswith("_test.go"))
    places = list(dict.fromkeys(f"{shown(p.path)}:{p.line}" for p in tops))
    where = " and ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")
    if not places:
        return f"{symptom.message} ({symptom.format})"
    return f"{where}: {symptom.message} ({symptom.format})"


def explanation(
    located: Located, project: Project, shown: Callable[[str], str], width: int = 100
) -> list[str]:
    """Return the source around a symptom's stacks, two side by side, and the choices."""
    stacks = sorted((s for s in located.stacks if s.top is not None), key=_is_test)[:2]
    lines: list[str] = []
    if stacks:
        columns = [_column(stack, project, shown) for stack in stacks]
        lines += _beside(columns, width) if len(columns) > 1 else [f"    {x}" for x in columns[0]]
    possible = choices(located)
    if possible:
        lines.append("  choices:")
        lines += [f"    - {choice}" for choice in possible]
    return lines


def _is_test(stack: LocatedStack) -> bool:
    return stack.top is not None and stack.top.path.endswith("_test.go")


def _column(stack: LocatedStack, project: Project, shown: Callable[[str], str]) -> list[str]:
    assert stack.top is not None
    name = f"{stack.stack.name}: " if stack.stack.name else ""
    lines = [f"{name}{stack.stack.doing}", *_source(stack.top, project, shown)]
    if stack.holds:
        lines.append(f"holds {', '.join(stack.holds)}")
    lines += [f"called at {shown(place.path)}:{place.line}" for place in stack.places[1:3]]
    if stack.launch is not None:
        lines.append(f"launched at {shown(stack.launch.path)}:{stack.launch.line}")
    return lines


def _source(place: Place, project: Project, shown: Callable[[str], str]) -> list[str]:
    try:
        source = project.source(place.path)
    except UnreadableError:
        return [f"{shown(place.path)}:{place.line}"]
    lines = [f"{shown(place.path)}:{place.line}"]
    last = len(source.line_starts)
    for number in range(max(1, place.line - _AROUND), min(last, place.line + _AROUND) + 1):
        text = source.line_text(number).decode("utf-8", "replace").replace("\t", "  ")
        mark = ">" if number == place.line else " "
        lines.append(f"{mark}{number:>5} | {text}".rstrip())
    return lines


def _beside(columns: Sequence[Sequence[str]], width: int) -> list[str]:
    half = max(20, (width - 7) // 2)
    return [
        f"    {_cut(left, half):<{half}}   {_cut(right, half)}".rstrip()
        for left, right in zip_longest(*columns, fillvalue="")
    ]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."
