"""Lines of a log without what terminals, containers and build services put around them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from threadmend.prove.symptom import Frame

__all__ = ["Line", "cleaned", "frames_from"]

_COLOUR = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9])")
_PREFIX = re.compile(
    r"""(?: \d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|\ ?[+-]\d\d:?\d\d)?\ ?  # a moment
          | \[?\d\d:\d\d:\d\d(?:[.,]\d+)?\]?\ (?=\S|\ |\t)                            # an hour
          | std(?:out|err)\ [FP]\                                                     # Kubernetes
          | [\w./-]{1,60}\s*\|\ ?(?![|])                                              # Compose
          | [\w ./()-]{1,60}\t[\w ./()-]{1,60}\t(?=\ufeff?\d{4}-\d\d-\d\dT)           # gh run view
        )""",
    re.X,
)
_MARK = re.compile(r"^(?:\ufeff)?(?:##\[\w+\]|::\w+::|>\s)?")
_FILE = re.compile(
    r"^\s*(?P<file>\S.*?\.(?:go|s|c|cc|cpp|h|py)):(?P<line>\d{1,8})(?::\d+)?"
    r"(?: \+0x[0-9a-f]+)?(?: fp=.*)?$"
)
_FUNCTION = re.compile(r"^\s*(?P<name>[^\s(][^\s]*(?:\([^\s)]*\))?[^\s(]*)\((?:.*)\)$")
_NAME = re.compile(r"^\s*(?P<name>[\w./%~-]+\.[\w.()*\[\]·/%-]+)(?:\(.*\))?$")
_CREATED = re.compile(r"^\s*created by (?P<name>\S.*?)(?: in goroutine \d+)?$")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a report: its number there (from 1) and what is left of its text."""

    number: int
    text: str


def cleaned(text: str, first: int = 1) -> list[Line]:
    """Return the lines of a log without colours, moments, and names of containers.

    A prefix goes only where the line is not a frame without it: tabs that begin a frame stay.
    """
    found = []
    for number, raw in enumerate(text.split("\n"), first):
        line = _COLOUR.sub("", raw).rstrip("\r").rstrip()
        line = line.rpartition("\r")[2] if "\r" in line else line
        for _ in range(4):
            match = _PREFIX.match(line.lstrip("\ufeff"))
            if match is None or not match[0]:
                break
            line = line.lstrip("\ufeff")[match.end() :]
        found.append(Line(number, _MARK.sub("", line)))
    return found


_HEADERS = re.compile(
    r"^\s*\[?(?:goroutine \d+ .*\[[^\]]+\]:?|Goroutine \d+ (?:\(|in state)|WARNING: DATA RACE"
    r"|={10,}|panic: |fatal error: |SIG\w+: |(?:Previous )?(?:[Aa]tomic )?(?:[Rr]ead|[Ww]rite) at )"
)


def _is_header(text: str) -> bool:
    """Return whether a line begins something of its own."""
    return _HEADERS.match(text) is not None


def frames_from(
    lines: Sequence[Line], at: int, *, blank_ends: bool = True
) -> tuple[tuple[Frame, ...], tuple[Frame, ...], int]:
    """Return the frames from a line on, those of the launch, and the line after them.

    Lines of other writers in between are passed over: a frame is a name with a file after it.
    """
    frames: list[Frame] = []
    created: list[Frame] = []
    noise = 0
    while at < len(lines) and noise < 6:
        text = lines[at].text
        if _is_header(text) or (not text.strip() and blank_ends and frames):
            break
        if not text.strip():
            at += 1
            noise += not frames
            if not frames and noise > 1:
                break
            continue
        launch = _CREATED.match(text)
        name = launch or _FUNCTION.match(text) or _NAME.match(text)
        place = _place_after(lines, at + 1) if name is not None else None
        if name is None or place is None:
            at += 1
            noise += 1
            continue
        noise = 0
        found, at = place
        frame = Frame(_named(name["name"]), found["file"], int(found["line"]))
        (created if launch or created else frames).append(frame)
    return tuple(frames), tuple(created), at


def _place_after(lines: Sequence[Line], at: int) -> tuple[re.Match[str], int] | None:
    """Return the file line that belongs to the name above, at most two foreign lines down."""
    for down in range(at, min(at + 3, len(lines))):
        text = lines[down].text
        found = _FILE.match(text)
        if found is not None:
            return found, down + 1
        if not text.strip() or _is_header(text) or _CREATED.match(text):
            return None
    return None


def _named(name: str) -> str:
    """Return a function's name without arguments: `pkg.(*T).M`, `pkg.F.func1`."""
    return name.removesuffix("(...)").removesuffix("()")


def blocks(lines: Sequence[Line], start: re.Pattern[str]) -> Iterator[tuple[int, re.Match[str]]]:
    """Yield the places where a pattern begins a line, with the match."""
    for at, line in enumerate(lines):
        found = start.match(line.text)
        if found is not None:
            yield at, found
