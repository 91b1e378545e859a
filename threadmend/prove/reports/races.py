"""Reports of Go's race detector."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from threadmend.prove.reports.lines import Line, blocks, frames_from
from threadmend.prove.symptom import Frame, Kind, Stack, Symptom

__all__ = ["FORMAT", "read_races"]

FORMAT = "race detector"

_START = re.compile(r"^\s*WARNING: DATA RACE")
_END = re.compile(r"^\s*={10,}\s*$")
_ACCESS = re.compile(
    r"^\s*(?:Previous )?(?:[Aa]tomic )?(?P<kind>[Rr]ead|[Ww]rite)(?: of size \d+)? at "
    r"0x[0-9a-f]+ by (?P<who>main goroutine|goroutine \d+|.*?):?\s*$"
)
_LAUNCH = re.compile(r"^\s*Goroutine (?P<number>\d+) \((?:running|finished)\) created at:")


def read_races(lines: Sequence[Line]) -> Iterator[Symptom]:
    """Yield the races; a report that is cut off counts when it still names both accesses."""
    starts = [at for at, _ in blocks(lines, _START)]
    for at, after in zip(starts, [*starts[1:], len(lines)], strict=False):
        end = next((n for n in range(at, after) if _END.match(lines[n].text)), after)
        symptom = _race(lines[at:end])
        if symptom is not None:
            yield symptom


def _race(lines: Sequence[Line]) -> Symptom | None:
    accesses: list[tuple[str, str, tuple[Frame, ...]]] = []
    launches: dict[str, tuple[Frame, ...]] = {}
    for at, line in enumerate(lines):
        access, launch = _ACCESS.match(line.text), _LAUNCH.match(line.text)
        if access is not None:
            frames = frames_from(lines, at + 1)[0]
            accesses.append((access["kind"].lower(), access["who"], frames))
        elif launch is not None:
            launches[f"goroutine {launch['number']}"] = frames_from(lines, at + 1)[0]
    accesses = [a for a in accesses if a[2]][:2]
    if not accesses:
        return None
    stacks = tuple(
        Stack(kind, frames, launches.get(who, ()), who) for kind, who, frames in accesses
    )
    return Symptom(Kind.RACE, "data race", stacks, FORMAT, line=lines[0].number)
