"""Evidence: what a package's own tests show under the race detector and the judge of leaks."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from threadmend.prove import leaks
from threadmend.prove.messages import Message, excuse, messages
from threadmend.prove.overlay import Overlay
from threadmend.prove.packages import GoPackage, Home, Shop, patterns
from threadmend.prove.process import Done
from threadmend.prove.reports import ReportError, read
from threadmend.prove.symptom import Frame, Kind, Stack, Symptom

__all__ = ["PackageRun", "Trial", "run_tests", "signature"]

_BUILD = 900
"""Seconds that compiling may take, on top of the time that the tests have."""

_ENDED = re.compile(r"^(?:panic|fatal error): ", re.M)

_AGAIN = 3
"""How often tests are run again without those that ended the program."""

_STILL = 20
"""Seconds in which nothing moves, after which tests count as deadlocked."""


_STATES = frozenset({"run", "pause", "cont", "pass", "fail", "skip"})


@dataclass(frozen=True, slots=True)
class Trial:
    """How tests are run."""

    race: bool = True
    count: int = 1
    cpu: str = ""
    seconds: float = 300
    """What the tests of one package may take."""
    noise: bool = False
    """Whether to disturb the schedule where goroutines meet."""
    judged: bool = True
    """Whether to look for goroutines that are left."""
    environment: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        flags = [f"-count={self.count}"] if self.count > 1 else []
        flags += [f"-cpu={self.cpu}"] if self.cpu else []
        noise = " with noise" if self.noise else ""
        return " ".join(["go test", *(["-race"] if self.race else []), *flags]) + noise


@dataclass(slots=True)
class PackageRun:
    """What one run of a package's tests showed."""

    directory: str
    """Below the project's root, `.` for the root itself."""
    ran: bool = False
    reason: str = ""
    """Why nothing ran, in a clause."""
    tests: int = 0
    passed: bool = False
    failed: tuple[str, ...] = ()
    """Tests that failed, or that were running when the program ended."""
    ended_by: tuple[str, ...] = ()
    """Top-level tests that were running when the program ended before its time."""
    races: tuple[Symptom, ...] = ()
    leaks: tuple[Symptom, ...] = ()
    """Goroutines that were left; one symptom each."""
    deadlocks: tuple[Symptom, ...] = ()
    panics: tuple[Symptom, ...] = ()
    seconds: float = 0.0
    output: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """Return how much is wrong, by what."""
        return {
            "races": len(self.races),
            "leaks": sum(stack.count for symptom in self.leaks for stack in symptom.stacks),
            "deadlocks": len(self.deadlocks),
            "panics": len(self.panics),
            "failed tests": len(self.failed),
        }

    @property
    def symptoms(self) -> tuple[Symptom, ...]:
        """Return everything that is wrong."""
        return (*self.races, *self.deadlocks, *self.panics, *self.leaks)

    @property
    def clean(self) -> bool:
        """Return whether the tests ran and nothing is wrong."""
        return self.ran and self.passed and not self.symptoms


def run_tests(
    shop: Shop,
    home: Home,
    overlay: Overlay,
    packages: Mapping[Path, GoPackage],
    how: Trial,
    folder: Path,
) -> dict[Path, PackageRun]:
    """Run the tests of packages of one module, and return what they showed by folder.

    A test that ends the whole program hides those that come after it: they are run without it.
    `folder` is empty and takes what the judge writes; the overlay holds the judge.
    """
    found: dict[Path, PackageRun] = {}
    left, skipped = dict(packages), set[str]()
    for number in range(_AGAIN + 1):
        place = folder / str(number)
        place.mkdir()
        flags = [f"-skip=^({'|'.join(map(re.escape, sorted(skipped)))})$"] if skipped else []
        for directory, run in _run_once(shop, home, overlay, left, how, place, flags).items():
            known = found.get(directory)
            found[directory] = run if known is None else _joined(known, run)
            if not run.ended_by or set(run.ended_by) <= skipped:
                left.pop(directory, None)
        skipped.update(name for d in left for name in found[d].ended_by)
        if not left or shop.tool.version < (1, 20):
            break
    return found


def _joined(one: PackageRun, two: PackageRun) -> PackageRun:
    """Return what two runs of different tests of a package showed."""
    if not two.ran:
        return one
    return replace(
        one,
        tests=max(one.tests, two.tests + len(one.ended_by)),
        passed=False,
        failed=tuple(sorted({*one.failed, *two.failed})),
        ended_by=two.ended_by,
        races=_distinct(one.races, two.races),
        leaks=two.leaks,  # a program that is ended leaves none to be seen
        deadlocks=(*one.deadlocks, *two.deadlocks),
        panics=(*one.panics, *two.panics),
        seconds=one.seconds + two.seconds,
        output=one.output + two.output,
    )


def _distinct(*several: Sequence[Symptom]) -> tuple[Symptom, ...]:
    return tuple({s.identity: s for some in several for s in some}.values())


def _run_once(
    shop: Shop,
    home: Home,
    overlay: Overlay,
    packages: Mapping[Path, GoPackage],
    how: Trial,
    folder: Path,
    more: Sequence[str],
) -> dict[Path, PackageRun]:
    flags = [
        "-json", "-vet=off", f"-count={how.count}", f"-timeout={how.seconds:.0f}s",
        *(["-race"] if how.race else []), *([f"-cpu={how.cpu}"] if how.cpu else []),
        *more,
    ]  # fmt: skip
    still = min(_STILL, int(how.seconds / 2)) if how.judged else 0
    judge = leaks.environment(folder, still) if how.judged else {}
    done = shop.run(
        home, "test", *flags, *overlay.flags, *patterns(home, packages),
        env={**judge, **how.environment},
        limits=shop.limits.lasting(_BUILD + how.seconds * len(packages)),
    )  # fmt: skip
    found = _Reading(shop, home, overlay, packages).read(done)
    if how.judged:
        for place, dump in leaks.left(folder).items():
            run = found.get(Path(place))
            if run is not None:
                run.leaks = tuple(_leaks(dump, run, shop.root))
    return found


def _leaks(dump: str, run: PackageRun, root: Path) -> Iterator[Symptom]:
    """Yield the goroutines of a dump that the project launched or that wait in its code.

    Others belong to libraries that keep some for later: connections, workers, signals.
    """
    for block in dump.split("\n\n"):
        for symptom in _symptoms(block.encode(), run.directory):
            if any(_inside(frame, root) for stack in symptom.stacks for frame in _frames(stack)):
                yield symptom


def _frames(stack: Stack) -> Sequence[Frame]:
    return (*stack.frames, *stack.created)


def _inside(frame: Frame, root: Path) -> bool:
    return os.path.realpath(frame.file).startswith(f"{root}{os.sep}")


def _symptoms(data: bytes, source: str) -> list[Symptom]:
    try:
        return read(data, source)
    except ReportError:
        return []


class _Reading:
    """The events of `go test -json`, sorted by package."""

    def __init__(
        self, shop: Shop, home: Home, overlay: Overlay, packages: Mapping[Path, GoPackage]
    ) -> None:
        self._shop = shop
        self._home = home
        self._overlay = overlay
        self._runs = {
            directory: PackageRun(directory.relative_to(shop.root).as_posix())
            for directory in packages
        }
        self._by_path = {p.path: self._runs[directory] for directory, p in packages.items()}
        self._output: dict[str, list[str]] = {}
        self._state: dict[str, Mapping[str, Any]] = {}
        self._tests: dict[str, dict[str, str]] = {}
        self._built: list[str] = []

    def read(self, done: Done) -> dict[Path, PackageRun]:
        """Return the runs by folder."""
        for line in done.out.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                self._built.append(line.decode("utf-8", "replace"))
                continue
            self._take(event)
        said = self._shop.said(done, self._home, self._overlay)
        text = "".join(self._built)
        said += messages(text, self._home.directory, self._shop.root, self._overlay)
        for path, run in self._by_path.items():
            if path in self._state or path in self._output:
                self._fill(run, path, said, done)
        for run in self._runs.values():
            if not run.ran and not run.reason:
                run.reason = done.stopped or excuse(said) or str(next(iter(said), "did not run"))
        return self._runs

    def _take(self, event: Mapping[str, Any]) -> None:
        action, path = event.get("Action"), str(event.get("Package", ""))
        test = str(event.get("Test", ""))
        if action == "build-output":
            self._built.append(str(event.get("Output", "")))
        elif action == "output":
            self._output.setdefault(path, []).append(str(event.get("Output", "")))
        elif test and action in _STATES:
            tests = self._tests.setdefault(path, {})
            if tests.get(test) != "fail":  # with -count it may pass the next time
                tests.pop(test, None)  # the last to change comes last
                tests[test] = "run" if action == "cont" else str(action)
        elif not test and action in {"pass", "fail", "skip"}:
            self._state[path] = event

    def _fill(self, run: PackageRun, path: str, said: Sequence[Message], done: Done) -> None:
        run.output = output = "".join(self._output.get(path, ()))
        state, tests = self._state.get(path, {}), self._tests.get(path, {})
        action = state.get("Action")
        if action == "skip" or "[no test files]" in output:
            run.reason = "has no tests"
            return
        if state.get("FailedBuild") or "[build failed]" in output or "[setup failed]" in output:
            here = [m for m in said if m.path.rpartition("/")[0] == run.directory.removeprefix(".")]
            first = next(iter(here or said), "")
            run.reason = excuse(here or said) or f"does not compile: {first}"
            return
        run.ran = True
        run.seconds = float(state.get("Elapsed", 0.0))
        run.tests = sum(1 for name in tests if "/" not in name)
        run.failed = tuple(sorted(n for n, s in tests.items() if s in {"fail", "run"}))
        run.passed = action == "pass"
        if done.stopped and not state:
            run.reason = done.stopped
        found = _symptoms(output.encode(), run.directory)
        run.races = tuple(s for s in found if s.kind is Kind.RACE)
        run.deadlocks = tuple(s for s in found if s.kind is Kind.DEADLOCK)
        run.panics = tuple(s for s in found if s.kind is Kind.PANIC)
        top = [name for name in tests if "/" not in name]
        running = [name for name in top if tests[name] == "run"]
        if _ENDED.search(output):
            running = running or [name for name in top if tests[name] == "fail"][-1:]
        run.ended_by = tuple(sorted(running))


def signature(symptom: Symptom) -> tuple[object, ...]:
    """Return what a symptom has in common with itself after lines have moved."""
    stacks = sorted(
        (stack.doing, *(frame.function for frame in (*stack.frames[:2], *stack.created[:1])))
        for stack in symptom.stacks
    )
    return (symptom.kind, symptom.message, tuple(stacks))
