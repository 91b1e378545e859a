"""What go/synctest makes of a test passes every time, under the race detector.

The tests before wait in real time, which only an idle machine can be sure to have: they are not
run here. Timers of hours in one case show that time is not real afterwards.
"""

from __future__ import annotations

from pathlib import Path

from cases import Case, case_paths
from gotool import Batch, needs_race, run_tests


@needs_race
def test_the_cases_of_synctest_pass(tmp_path: Path) -> None:
    batch = Batch(tmp_path)
    for case in map(Case.read, case_paths("go/synctest")):
        if case.part("after"):
            batch.add(case, "after", case.after)
    (module,) = batch.modules
    runs = run_tests(module, ["./..."], count=20, timeout=120)
    tested = [run for run in runs.values() if "no test files" not in run.output]
    assert len(tested) == len(batch.places)
    assert not [run.output for run in tested if not run.passed]
