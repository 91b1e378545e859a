"""Evidence as text, JSON and the section of a commit's message: before and after, by package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from threadmend.prove.compare import Comparison
from threadmend.prove.evidence import PackageRun
from threadmend.prove.symptom import Frame, Symptom
from threadmend.report.text import Line, Segment, count, printable

__all__ = ["document", "sights", "summary", "table"]

_COLUMNS = ("races", "leaks", "deadlocks", "panics", "failed tests")
_BAD, _GOOD = "rule", "safe"

Place = Callable[[Frame], str]
"""Where a frame is: `svc/a.go:12` in the project, empty elsewhere."""


def table(comparisons: Sequence[Comparison], shown: Callable[[str], str]) -> list[Line]:
    """Return a line per package whose tests ran: counts before and after, and the time."""
    ran = [c for c in comparisons if c.before.ran or c.last.ran]
    if not ran:
        return []
    names = [printable(shown(c.directory)) for c in ran]
    width = max(7, *map(len, names))
    cells = [[_cell(c, column) for column in _COLUMNS] for c in ran]
    widths = [max(len(c), *(len(row[n][0]) for row in cells)) for n, c in enumerate(_COLUMNS)]
    head = "  ".join(c.rjust(w) for c, w in zip(_COLUMNS, widths, strict=True))
    lines: list[Line] = [(Segment(f"{'package'.ljust(width)}  {head}  time", "title"),)]
    for name, comparison, row in zip(names, ran, cells, strict=True):
        line = [Segment(name.ljust(width), "path")]
        for (text, style), wide in zip(row, widths, strict=True):
            line += [Segment("  "), Segment(text.rjust(wide), style)]
        lines.append((*line, Segment(f"  {_time(comparison)}")))
    return lines


def _cell(comparison: Comparison, column: str) -> tuple[str, str]:
    if not comparison.before.ran:
        return "-", ""
    before, after = comparison.before.counts[column], comparison.after
    if after is None:
        return str(before), _BAD if before else ""
    if not after.ran:
        return f"{before} → -", ""
    now = after.counts[column]
    style = _BAD if now else _GOOD if before else ""
    return (f"{before} → {now}" if before or now else "0"), style


def _time(comparison: Comparison) -> str:
    after = comparison.after
    before = f"{comparison.before.seconds:.1f} s"
    return before if after is None or not after.ran else f"{before} → {after.seconds:.1f} s"


def sights(comparison: Comparison, place: Place) -> list[Line]:
    """Return what is wrong in a package, each kind of it once, with where it happens."""
    lines: list[Line] = []
    gone = _kinds(comparison.before, place) - _kinds(comparison.last, place)
    for mark, style, kinds in (
        ("", _BAD, _kinds(comparison.last, place)),
        ("gone: ", _GOOD, gone if comparison.after is not None else Counter()),
    ):
        for (where, what), number in sorted(kinds.items()):
            times = f" (×{number})" if number > 1 else ""
            text = f": {mark}{printable(what)}{times}"
            lines.append((Segment(where or comparison.directory, "path"), Segment(text, style)))
    return lines


def _kinds(run: PackageRun, place: Place) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for symptom in run.symptoms:
        places = [_where(symptom, number, place) for number in range(len(symptom.stacks[:2]))]
        leak = symptom in run.leaks
        what = symptom.message.replace("goroutine blocked", "goroutine left, blocked")
        where = places[0] if places else ""
        if len(places) > 1 and not leak and places[1]:
            what = f"{what} with {places[1]}"
        found[where, what] += 1
    for test in run.failed:
        found["", f"{test} fails"] += 1
    return found


def _where(symptom: Symptom, number: int, place: Place) -> str:
    stack = symptom.stacks[number]
    found = (place(frame) for frame in (*stack.frames, *stack.created))
    return next((where for where in found if where), "")


def summary(comparisons: Iterable[Comparison], how: str) -> str:
    """Return how many packages are clean, which are not, and how many have no tests."""
    every = list(comparisons)
    ran = [c for c in every if c.last.ran]
    clean = sum(c.last.clean for c in ran)
    untested = sum(c.last.reason == "has no tests" for c in every)
    broken = len(every) - len(ran) - untested
    parts = [f"{clean} of {count(len(ran), 'package')} clean"]
    parts += [f"{untested} without tests"] if untested else []
    parts += [f"{broken} not run"] if broken else []
    return f"{how}: {', '.join(parts)}"


def document(comparisons: Iterable[Comparison], how: str, place: Place) -> list[dict[str, Any]]:
    """Return the packages as JSON; `docs/json.md` describes them."""
    return [
        {
            "directory": c.directory,
            "command": how,
            "before": _run(c.before, place),
            "after": None if c.after is None else _run(c.after, place),
        }
        for c in comparisons
    ]


def _run(run: PackageRun, place: Place) -> dict[str, Any]:
    return {
        "ran": run.ran,
        "reason": run.reason,
        "passed": run.passed,
        "tests": run.tests,
        "failed": list(run.failed),
        "seconds": run.seconds,
        **{
            name: [_symptom(symptom, place) for symptom in getattr(run, name)]
            for name in ("races", "leaks", "deadlocks", "panics")
        },
    }


def _symptom(symptom: Symptom, place: Place) -> dict[str, Any]:
    return {
        "message": symptom.message,
        "stacks": [
            {
                "doing": stack.doing,
                "place": _where(symptom, number, place),
                "frames": [
                    {"function": f.function, "file": f.file, "line": f.line} for f in stack.frames
                ],
                "created": [
                    {"function": f.function, "file": f.file, "line": f.line} for f in stack.created
                ],
            }
            for number, stack in enumerate(symptom.stacks)
        ],
    }
