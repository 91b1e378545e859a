"""What codemods write behind build tags compiles with the tag as well."""

from __future__ import annotations

from pathlib import Path

from cases import Case, case_paths
from gotool import Batch, needs_go, vet


@needs_go
def test_the_cases_of_deadlock_mutex_compile_with_its_tag(tmp_path: Path) -> None:
    batch = Batch(tmp_path)
    for case in map(Case.read, case_paths("go/deadlock-mutex")):
        if case.option("compile", "yes") == "yes":
            batch.add(case, "after", case.after)
    assert len(batch.places) > 10
    assert not vet(batch, "-tags=deadlock").broken
