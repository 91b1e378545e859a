"""Retester: what the tests of the affected packages say against a patch.

A test that fails once may be a matter of luck, before the patch as well as after it: what is
new is looked at a second time, on both sides, before it counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from threadmend.model import Patch
from threadmend.project import Project
from threadmend.prove.compare import Comparison, Laboratory
from threadmend.prove.evidence import PackageRun, Trial, signature
from threadmend.prove.messages import Message
from threadmend.prove.packages import Shop, home_of
from threadmend.prove.symptom import Symptom

__all__ = ["Retester"]

_LINE = re.compile(r"^\s+([\w.-]+\.go):(\d+): (.*)$", re.M)


class Retester:
    """Runs tests with patches of one project; what is so without any is run once."""

    def __init__(self, project: Project, shop: Shop, how: Trial) -> None:
        self.laboratory = Laboratory(project, shop, how)
        self._before: dict[str, list[PackageRun]] = {}

    def seed(self, runs: Mapping[str, PackageRun]) -> None:
        """Take runs without any patch as they are, by folder."""
        for name, run in runs.items():
            self._before.setdefault(name, []).append(run)

    def test(self, patch: Patch) -> tuple[list[Comparison], dict[str, Message]]:
        """Return the affected packages before and after, and what is worse, by folder."""
        directories = self._affected(patch)
        after = self.laboratory.run(patch.after, directories)
        changed = {Path(path).parent.as_posix() for path in patch.after}
        first = [name for name, run in after.items() if name in changed or not run.clean]
        self._run_before([name for name in first if after[name].ran])
        suspects = [name for name in first if self._new(name, [after[name]])]
        worse: dict[str, Message] = {}
        if suspects:
            self._run_before(suspects, times=2)
            again = self.laboratory.run(patch.after, self._places(suspects))
            for name in suspects:
                found = self._new(name, [after[name], again[name]])
                if found is not None:
                    worse[name] = found
        comparisons = [
            Comparison(name, self._before[name][0] if name in self._before else run, run)
            for name, run in after.items()
        ]
        return comparisons, worse

    def _affected(self, patch: Patch) -> list[Path]:
        """Return the folders of the changed packages, and of those that import them."""
        laboratory, root = self.laboratory, self.laboratory.shop.root
        homes = {home_of((root / path).parent, root) for path in patch.after}
        everything = laboratory.packages(lambda path: True)
        mine = [place for place in everything if home_of(place, root) in homes]
        return laboratory.touched(patch, mine)

    def _places(self, names: list[str]) -> list[Path]:
        return [self.laboratory.shop.root / name for name in names]

    def _run_before(self, names: list[str], times: int = 1) -> None:
        missing = [name for name in names if len(self._before.get(name, ())) < times]
        if missing:
            for name, run in self.laboratory.run({}, self._places(missing)).items():
                self._before.setdefault(name, []).append(run)

    def _new(self, name: str, after: list[PackageRun]) -> Message | None:
        """Return what every run after the patch has, and none before it."""
        before = self._before.get(name, [])
        if not all(run.ran for run in after):
            ran = any(run.ran for run in before)
            return Message("", 0, f"the tests do not run: {after[0].reason}") if ran else None
        known = {test for run in before for test in run.failed}
        for test in after[0].failed:
            if test not in known and all(test in run.failed for run in after):
                return _failure(test, after[0])
        seen = {signature(symptom) for run in before for symptom in run.symptoms}
        if any(run.ended_by for run in before):
            return None  # tests get further than they did, and show what is there
        for symptom in (*after[0].races, *after[0].deadlocks, *after[0].panics):
            mark = signature(symptom)
            if mark not in seen and all(mark in map(signature, r.symptoms) for r in after):
                return _shown(symptom, self.laboratory.shop.root)
        if not any(run.passed for run in after) and any(run.passed for run in before):
            return Message("", 0, f"the tests of {name} fail")
        return None


def _failure(test: str, run: PackageRun) -> Message:
    """Return where a test says that it failed, in its own words."""
    _, _, rest = run.output.partition(f"=== RUN   {test}\n")
    said = _LINE.search(rest or run.output)
    if said is None:
        return Message("", 0, f"{test} of {run.directory} fails")
    path = said[1] if run.directory == "." else f"{run.directory}/{said[1]}"
    return Message(path, int(said[2]), f"{test} fails: {said[3].strip()}")


def _shown(symptom: Symptom, root: Path) -> Message:
    for stack in symptom.stacks:
        for frame in stack.frames:
            file = Path(frame.file)
            if file.is_relative_to(root):
                path = file.relative_to(root).as_posix()
                return Message(path, frame.line, symptom.message)
    return Message("", 0, symptom.message)
