"""Probes, all of a rule in one test binary: linking one a case would take most of the test run.

Each case's side becomes an ordinary package whose test functions one test calls, and runs in a
process of its own. What does not go as hoped for in that company is asked again as `go test`
would, alone.
"""

from __future__ import annotations

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cases import Case, Files
from gotool import Batch, Run, go, probe_files, run_tests, shows

_TEST = re.compile(r"^func (Test\w*)\(\w+ \*testing\.T\)", re.M)
_ALONE = re.compile(r"^package (?:main|\w+_test)$|^func TestMain\(", re.M)
_BEFORE = ((1, 6), (10, 40), (100, 90))
"""How often a probe runs until it shows what is wrong, and for how many seconds at most."""
_AFTER = (5, 60)
_SIDES = ("before", "after")


class Probes:
    """The probes of a rule's cases, before and after the fix, below one folder."""

    def __init__(self, root: Path, cases: list[Case]) -> None:
        self.cases = cases
        self.alone = Batch(root / "alone")
        self.together = Batch(root / "together")
        self.tests: dict[Path, list[str]] = {}
        for case in cases:
            for side in _SIDES:
                files = probe_files(case, case.before if side == "before" else case.after)
                self.alone.add(case, side, files)
                self._join(case, side, files)
        self.binaries = {module for module in self.tests if self._link(module)}

    def wrong(self) -> dict[str, str]:
        """Return what is wrong by case: no symptom before the fix, or a failure after it."""
        with ThreadPoolExecutor(4) as pool:
            verdicts = list(pool.map(self._verdict, self.cases))
        return {case.id: text for case, text in zip(self.cases, verdicts, strict=True) if text}

    def _verdict(self, case: Case) -> str:
        for count, timeout in _BEFORE:
            outcome = self._run(case, "before", count, timeout)
            if shows(outcome, case.symptom or ""):
                break
        else:
            return f"the probe shows no {case.symptom} before the fix\n{outcome.output[-3000:]}"
        outcome = self._run(case, "after", *_AFTER)
        return "" if outcome.passed else f"the probe fails after the fix\n{outcome.output}"

    def _run(self, case: Case, side: str, count: int, timeout: int) -> Run:
        place = self.together.place(case, side)
        if place in self.together.folders and place.parents[1] in self.binaries:
            outcome = _execute(place, count, timeout)
            good = shows(outcome, case.symptom or "") if side == "before" else outcome.passed
            if good:
                return outcome
        place = self.alone.place(case, side)
        module = place.parents[1]
        folders = {path.rpartition("/")[0] for path in case.part("probe")}
        packages = [f"./{(place / folder).relative_to(module)}" for folder in sorted(folders)]
        runs = run_tests(module, packages, count=count, timeout=timeout).values()
        bad = [run for run in runs if not run.passed]
        return bad[0] if bad else Run("".join(run.output for run in runs), bool(runs))

    def _join(self, case: Case, side: str, files: Files) -> None:
        """Lay out a side with its tests as ordinary functions, where Go allows that."""
        folders = {path.rpartition("/")[0] for path in case.part("probe")}
        near = {p: text for p, text in files.items() if p.rpartition("/")[0] in folders}
        if any(_ALONE.search(text.decode()) for p, text in near.items() if p.endswith(".go")):
            return
        names = {p: p.replace("_test.go", "_tested.go") if p in near else p for p in files}
        place = self.together.add(case, side, {names[p]: text for p, text in files.items()})
        tests = self.tests.setdefault(place.parents[1], [])
        for number, folder in enumerate(sorted(folders)):
            alias = f"{place.parent.name}_{side}_{number}"
            package = (place / folder).relative_to(place.parents[1]).as_posix()
            tests.append(f'import {alias} "example.com/cases/{package}"\n')
            texts = [case.part("probe")[p].decode() for p in case.part("probe")]
            called = [name for text in texts for name in _TEST.findall(text)]
            runs = "".join(f'\tt.Run("{n}", {alias}.{n})\n' for n in called)
            tests.append(f"func Test_{alias}(t *testing.T) {{\n{runs}}}\n")

    def _link(self, module: Path) -> bool:
        """Link a module's probes into one binary; False where they do not get along."""
        parts = sorted(self.tests[module], key=lambda part: part.startswith("func"))
        text = 'package cases\n\nimport "testing"\n' + "".join(parts)
        (module / "together_test.go").write_text(text, "utf-8")
        done = go("go", "test", "-race", "-vet=off", "-c", "-o", "together.test", ".", cwd=module)
        return done.returncode == 0


def _execute(place: Path, count: int, timeout: int) -> Run:
    """Run the tests of one place in the binary of its module."""
    tests = f"^Test_{place.parent.name}_{place.name}_[0-9]+$"
    arguments = [f"-test.run={tests}", f"-test.count={count}", f"-test.timeout={timeout}s"]
    done = subprocess.run(
        [str(place.parents[1] / "together.test"), *arguments],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout + 60,
        check=False,
    )
    output = done.stdout.decode(errors="replace")
    ran = "no tests to run" not in output
    return Run(output, done.returncode == 0 and ran)
