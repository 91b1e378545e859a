"""Let a package's tests fail when goroutines are left

A leaked goroutine is silent: the test passes, and the program grows by one goroutine per request.
`go.uber.org/goleak` looks at the end of a package's tests which goroutines still run, and fails
with their stacks. Packages with tests that start goroutines, or whose code does, get a `TestMain`
that asks it; in one that is there, the check comes before it exits. `go.mod` and `go.sum` get the
requirement; `go mod tidy` afterwards adds what go.sum wants for the requirements of others.

Not reported: packages whose tests use goleak, or a helper of the project that looks for leaks;
whose goroutines are all in files for other platforms or tags; and those without tests.

Unsafe: tests that leave goroutines behind fail. Left to you: a `TestMain` that runs the tests in
another way, and modules into which the requirement cannot be written without the go command
(vendored, before Go 1.17, or in need of other versions); the finding says which one.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch
from threadmend.golang.leakchecks import first_launch, is_special, is_tested, looks_already
from threadmend.golang.package import Decl, Package
from threadmend.golang.workspace import Module, Workspace
from threadmend.model import Edit, Finding, Fix, Related, Safety
from threadmend.recipes.files import ProjectFiles

from ._goleak import GOLEAK, checked
from ._requirement import Need, needed

CATEGORY = "testing"

_REASON = "tests that leave goroutines behind fail"
_FILE = b"""package %s

import (
\t"testing"

\t"go.uber.org/goleak"
)

// TestMain fails when the tests leave goroutines behind.
func TestMain(m *testing.M) {
\tgoleak.VerifyTestMain(m)
}
"""


def check(project: ProjectFiles) -> Iterator[Finding]:
    """Report the packages whose tests start goroutines and do not look for leaked ones."""
    go = project.go
    for module in go.modules:
        need: Need | None = None
        for directory in sorted({package.directory for package in module.packages}):
            files = [f for p in go.in_directory(directory) for f in p.files]
            launch = first_launch(files)
            if launch is not None and is_tested(files) and not looks_already(files):
                need = need or needed(project, module, GOLEAK)
                yield _finding(go, module, directory, launch, need)


def _finding(
    go: Workspace, module: Module, directory: str, found: tuple[GoFile, Launch], need: Need
) -> Finding:
    file, launch = found
    mains = [d for p in go.in_directory(directory) for d in p.lookup_all("TestMain")]
    message = "nothing looks whether the tests of this package leave goroutines behind"
    related = tuple(
        Related(d.file.path, d.node["name"].start, d.node["name"].end, "TestMain") for d in mains
    )
    place = (file.path, launch.node.start, launch.node.end, message)
    if need.reason:
        return Finding(*place, related=related, reason=need.reason)
    edits = _edits(go, directory, mains)
    if edits is None:
        reason = "TestMain runs the tests in a way of its own: call goleak.Find before it exits"
        return Finding(*place, related=related, reason=reason)
    title = "Look for leaked goroutines in TestMain" if mains else "Add a TestMain with goleak"
    reason = _REASON + (f"; then run {need.command}" if need.command else "")
    fix = Fix(title, (*edits, *need.edits), Safety.UNSAFE, reason)
    return Finding(*place, (fix,), related=related)


def _edits(go: Workspace, directory: str, mains: list[Decl]) -> tuple[Edit, ...] | None:
    if len(mains) == 1 and not is_special(mains[0].file):
        return checked(mains[0])
    if mains:
        return None
    paths = {f.path for p in go.in_directory(directory) for f in p.files}
    for name in ("main_test.go", "testmain_test.go", "goleak_test.go"):
        path = f"{directory}/{name}".lstrip("/")
        if path not in paths:
            clause = _tested_package(go.in_directory(directory)).name
            return (Edit(path, 0, 0, _FILE % clause.encode()),)
    return None


def _tested_package(packages: list[Package]) -> Package:
    """Return the package that most test files say they belong to."""
    return max(packages, key=lambda p: sum(f.is_test_file and not is_special(f) for f in p.files))
