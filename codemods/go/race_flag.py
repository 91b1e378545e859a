"""Run the tests under the race detector

A data race shows itself in a test only by chance; under `go test -race` it is reported whenever
the two accesses run unordered, with both stacks. The flag is added where the project runs its
tests: in makefiles, GitHub workflows, GitLab CI, Taskfiles, justfiles and shell scripts. Where
coverage is counted in a mode that the race detector does not take, that becomes `atomic`.

Not reported: commands that have the flag already, also through a variable, or beside which the
same packages are tested with it; benchmarks, fuzzing, profiles, tests of sizes and allocations,
`-msan`, `-asan` and test binaries that are only built; commands without cgo, for platforms
without a race detector, or in images without a C compiler.

Unsafe: tests take two to twenty times as long and five to ten times the memory, and a race that
is there makes them fail.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.recipes.files import ProjectFiles
from threadmend.recipes.testruns import Run, runs

from ._race import can_race, race_elsewhere

CATEGORY = "testing"

_REASON = "tests take longer under the race detector, and fail when there is a race"
_ATOMIC = b"atomic"


def check(project: ProjectFiles) -> Iterator[Finding]:
    """Report the commands that run tests without the race detector."""
    found = [run for source in project.texts(lambda path: True) for run in runs(source)]
    for run in found:
        if can_race(run, project) and not race_elsewhere(run, found):
            test = run.test
            edits = (Edit(run.path, test.at, test.at, b" -race"), *_coverage(run))
            title = "Add -race" if len(edits) == 1 else "Add -race and count coverage atomically"
            yield Finding(
                run.path,
                run.start,
                test.at,
                "tests run without the race detector",
                fixes=(Fix(title, edits, Safety.UNSAFE, _REASON),),
            )


def _coverage(run: Run) -> Iterator[Edit]:
    """Yield the edit without which go refuses: `-covermode must be "atomic"`."""
    word = run.test.value("covermode")
    if word is None:
        return
    for mode in (b"count", b"set"):
        at = word.raw.rfind(mode)
        if at >= 0 and word.raw[at:].strip(b"\"'") == mode:
            start = word.start + at
            yield Edit(run.path, start, start + len(mode), _ATOMIC)
