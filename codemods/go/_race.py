"""What keeps `-race` from a run of tests."""

from __future__ import annotations

import re
from collections.abc import Sequence

from threadmend.recipes.files import WORKFLOWS, ProjectFiles
from threadmend.recipes.scripts import is_yaml
from threadmend.recipes.shell import variables
from threadmend.recipes.testruns import RACE, Run, definitions

__all__ = ["can_race", "race_elsewhere"]


# -- what the command itself says -------------------------------------------------------------

_OTHERWISE = frozenset(
    {
        "msan", "asan", "c", "list", "bench", "fuzz", "cpuprofile", "memprofile", "blockprofile",
        "mutexprofile", "trace", "exec", "n", "buildmode", "compiler", "help", "h", "o",
        "rapid.checks",
    }
)  # fmt: skip
_UPDATES = re.compile(r"update|golden|regen|record", re.I)
_NO_TESTS = re.compile(r"\^?(?:NONE|XXX*|-|#|_|DONTRUN\w*|NOTHING|NoTests?|)\$?", re.I)
_RACY_PLATFORMS = {
    "linux": {"amd64", "ppc64le", "arm64", "s390x", "loong64"},
    "darwin": {"amd64", "arm64"},
    "windows": {"amd64"},
    "freebsd": {"amd64"},
    "netbsd": {"amd64"},
}
"""Where the race detector exists (https://go.dev/doc/articles/race_detector#Requirements)."""
_ARCHITECTURES = frozenset.intersection(*map(frozenset, _RACY_PLATFORMS.values())) | {"arm64"}
_HINDRANCE = re.compile(
    rf"{RACE.pattern}|-[ma]san\b|CGO_ENABLED[\"' ]*[:?]?=[\"' ]*0|-bench\b|-c\b"
)


_MEASURES = re.compile(r"Alloc|Memory|Perf(?!ect)|Bench|Size(?![a-z])")
_MEASURING = re.compile(r"(?:^|[/_-])(?:bench\w*|perf\w*|size|memory)(?=[/_.-])")
"""Tests and files that measure time or space, which the race detector changes."""


def can_race(run: Run, project: ProjectFiles) -> bool:
    """Return whether the race detector is off, and nothing speaks against turning it on."""
    test, flags = run.test, run.test.flags
    if RACE.search(run.text) or flags.keys() & _OTHERWISE:
        return False
    if any(_UPDATES.search(name) for name in flags):
        return False
    uses = _uses(run) if run.script.make else []
    if any(_varies(use) for use in uses):
        return False
    pattern = _value(named.text) if (named := test.value("run")) is not None else ""
    if pattern and (_NO_TESTS.fullmatch(pattern) or _MEASURES.search(pattern)):
        return False
    if _MEASURING.search(run.path):
        return False
    environment = {**run.script.environment, **test.environment}
    if not _can_build(run, environment) or _hindered_around(run):
        return False
    names = {n for text in (run.text, *uses, *environment.values()) for n in variables(text)}
    said = [*environment.values(), *definitions(names, project)]
    return not any(_HINDRANCE.search(text) for text in said)


def _value(text: str) -> str:
    return text.partition("=")[2] if text.startswith("-") and "=" in text else text


def _uses(run: Run) -> list[str]:
    """Return the lines with a variable whose value the command is: they may vary it."""
    data, (start, _) = run.script.source.data, run.script.around
    name = re.match(rb" *(?:(?:export|override)[ \t]+)*([\w.-]+)", data[start:])
    if data[start : start + 1] == b"\t" or name is None:
        return []
    used = re.compile(rb"^.*\$[({]" + re.escape(name[1]) + rb"[)}].*(?:\\\r?\n.*)*$", re.M)
    return [line[0].decode("utf-8", "replace") for line in used.finditer(data)]


_VARIED = re.compile(r"[ \t]-(?:test\.)?(?:bench|fuzz|c|[ma]san|(?!cover)\w*profile)\b")


def _varies(line: str) -> bool:
    found = RACE.search(line) or _VARIED.search(line)
    return found is not None or "CGO_ENABLED=0" in line


# -- what stands around it --------------------------------------------------------------------

_OFF = re.compile(
    rb"^[^#\n]*(?:\bexport\b[^\n]*\bCGO_ENABLED[ \t]*[:?]?=[ \t]*[\"']?0"
    rb"|\bCGO_ENABLED[ \t]*[:?]?=[ \t]*[\"']?0[\"']?[ \t]*(?:\r?$|>>|\|[ \t]*tee))",
    re.M,
)
_ELSEWHERE = re.compile(rb"^[^#\n]*\bexport[ \t][^\n]*\b(?:GOARCH|GOOS)\b", re.M)
_GOFLAGS = re.compile(rb"GOFLAGS[^\n]*-race")


def _hindered_around(run: Run) -> bool:
    """Return whether the file turns cgo off, builds for others, or sets the flag for all."""
    data = run.script.source.data
    if is_yaml(run.path):
        start, end = run.script.around
        data = data[start:end]
    return any(pattern.search(data) for pattern in (_OFF, _ELSEWHERE, _GOFLAGS))


def _can_build(run: Run, environment: dict[str, str]) -> bool:
    """Return whether what is set allows cgo, and platforms that have a race detector."""
    if any("alpine" in image or "scratch" in image for image in run.script.images):
        return False
    systems = _values(environment.get("GOOS", "linux"), run)
    machines = _values(environment.get("GOARCH", "amd64"), run)
    if "0" in _values(environment.get("CGO_ENABLED", "1"), run):
        return False
    if "GOOS" not in environment:
        return all(machine in _ARCHITECTURES for machine in machines)
    return all(
        machine in _RACY_PLATFORMS.get(system, ()) for system in systems for machine in machines
    )


def _values(text: str, run: Run) -> tuple[str, ...]:
    """Return what a setting may be: itself, or the values of a matrix."""
    text = text.strip("\"' ")
    names = variables(text)
    if not names:
        return (text,)
    return tuple(value for name in names for value in run.script.matrix.get(name, ("",)))


def race_elsewhere(run: Run, found: Sequence[Run]) -> bool:
    """Return whether the same packages are tested under the race detector beside a run.

    A target `test` beside a target `test-race` is a choice, and so is a matrix.
    """
    mine = run.test.packages
    for other in found:
        if _together(run, other) and RACE.search(other.text) and "c" not in other.test.flags:
            theirs = other.test.packages
            if theirs in {mine, ("./...",)} and "bench" not in other.test.flags:
                return True
    return False


def _together(run: Run, other: Run) -> bool:
    if run.path == other.path:
        return run is not other
    return run.path.startswith(WORKFLOWS) and other.path.startswith(WORKFLOWS)
