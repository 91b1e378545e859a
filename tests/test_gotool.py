"""The judges of the cases themselves: each must object to what it is there for."""

from __future__ import annotations

from pathlib import Path

import pytest
from cases import Case, run
from goprobes import Probes
from gotool import Batch, Run, needs_go, needs_race, probe_files, run_tests, shows, unformatted, vet

CASE = """What the case shows.
-- before/a.go --
package a

import "sync"

func f() *sync.Mutex { return &sync.Mutex{} }
"""
RACY = """package a

func Count() int {
	n, done := 0, make(chan bool)
	go func() { n++; done <- true }()
	n++
	<-done
	return n
}
"""


def case(tmp_path: Path, text: str, name: str = "basic") -> Case:
    """Return a case that stands in a folder of its own."""
    path = tmp_path / "go" / "waitgroup-add-in-goroutine" / f"{name}.txtar"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return Case.read(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-- before/a.go --\npackage a\n", "begin with a sentence"),
        ("A case.\n-- after/a.go --\npackage a\n", "needs a file under before"),
        ("A case.\n-- before/a.go --\n-- a.go --\n", "is no part of a case"),
        ("A case.\n-- before/a.go --\n-- options --\ncolour: red\n", "unknown options"),
        ("A case.\n-- before/a.go --\n-- probe/a_test.go --\npackage a\n", "a probe needs a line"),
        ("A case.\nprobe: odd\n-- before/a.go --\n-- probe/a_test.go --\n", "no symptom"),
    ],
)
def test_a_mistake_in_a_case_is_named(tmp_path: Path, text: str, message: str) -> None:
    """A case that is not well-formed fails with what is wrong."""
    with pytest.raises(AssertionError, match=message):
        case(tmp_path, text)


def test_updated_text_reads_back(tmp_path: Path) -> None:
    """What --update writes is a case with the same input, and the results."""
    text = f"{CASE}-- findings --\nold\n-- options --\ngo: 1.21\n-- probe/a_test.go --\n"
    first = case(tmp_path, text.replace("shows.", "shows.\nprobe: fail"))
    changes = {"a.go": b"package a\n", "b.go": None}
    again = case(tmp_path, first.updated("a.go:1:1: new\n", changes))
    assert (again.before, again.comment.split()) == (first.before, first.comment.split())
    assert again.files["findings"] == "a.go:1:1: new\n"
    assert again.part("after") == {"a.go": b"package a\n"}
    assert list(again.part("gone")) == ["b.go"]
    assert again.go_version == "1.21"
    assert again.updated("", {}) == first.updated("", {})


def test_a_quiet_case_has_no_findings(tmp_path: Path) -> None:
    """A rule with nothing to say leaves findings, files and diff empty."""
    result = run(case(tmp_path, CASE), tmp_path)
    assert (result.findings, result.diff) == ("", b"")


@needs_go
def test_gofmt_and_vet_name_the_case_and_side(tmp_path: Path) -> None:
    """Formatting, broken code and complaints are told apart and laid at the right door."""
    batch = Batch(tmp_path / "batch")
    sides = {
        "fine": "package a\n",
        "loose": "package a\n\nvar  x = 1\n",
        "broken": "package a\n\nvar x = y\n",
        "copied": 'package a\n\nimport "sync"\n\nfunc f(m sync.Mutex) {}\n',
    }
    one = case(tmp_path, CASE)
    for side, text in sides.items():
        batch.add(one, side, {"a.go": text.encode()})
    assert unformatted(batch) == {f"{one.id} loose": {"a.go"}}
    vetted = vet(batch)
    assert vetted.broken == {f"{one.id} broken": ["a.go:3: undefined: y"]}
    assert vetted.complaints == {f"{one.id} copied": ["f passes lock by value: sync.Mutex"]}


@needs_go
def test_packages_of_a_case_import_each_other(tmp_path: Path) -> None:
    """A case's module path is replaced by its place; known modules come from the stubs."""
    batch = Batch(tmp_path / "batch")
    group = b'package a\n\nimport (\n\t"example.com/own/b"\n\n\t"golang.org/x/sync/errgroup"\n)\n'
    files = {
        "go.mod": b"module example.com/own\n\ngo 1.25\n",
        "a/a.go": group + b"\nvar _ errgroup.Group\nvar _ = b.B\n",
        "b/b.go": b"package b\n\nconst B = 1\n",
    }
    batch.add(case(tmp_path, CASE), "before", files)
    assert (vet(batch).broken, vet(batch).complaints) == ({}, {})


@needs_race
def test_probes_see_their_symptom(tmp_path: Path) -> None:
    """Each symptom is recognised, and a right program shows none."""
    batch = Batch(tmp_path / "batch")
    bodies = {
        "race": "Count()",
        "leak": "noLeaks(t, func() { go func() { select {} }() })",
        "deadlock": "within(t, 10*time.Millisecond, func() { select {} })",
        "panic": 'panic("no")',
        "fail": 't.Error("wrong")',
        "none": "noLeaks(t, func() { within(t, time.Minute, func() {}) })",
    }
    for symptom, body in bodies.items():
        test = f'import (\n\t"testing"\n\t"time"\n)\n\nfunc TestIt(t *testing.T) {{\n\t{body}\n}}\n'
        text = (
            f"A case.\nprobe: fail\n-- before/a.go --\n{RACY}-- probe/a_test.go --\npackage a\n\n"
        )
        one = case(tmp_path, f"{text}{test}\nvar _ time.Duration\n", symptom)
        batch.add(one, "before", probe_files(one, one.before))
    (module,) = batch.modules
    runs = run_tests(module, ["./..."], count=1, timeout=30)
    for symptom in ("race", "leak", "deadlock", "panic", "fail"):
        assert shows(runs[f"{symptom}/before"], symptom), runs[f"{symptom}/before"].output
    assert runs["none/before"].passed


@needs_race
def test_probes_are_judged_together_and_alone(tmp_path: Path) -> None:
    """A fix has to be shown on both sides, whether or not the package can be imported."""
    text = (
        "A case.\nprobe: fail\n-- before/a.go --\npackage {0}\n\nconst wrong = {1}\n{3}"
        "-- after/a.go --\npackage {0}\n\nconst wrong = {2}\n{3}"
        '-- probe/a_test.go --\npackage {0}\n\nimport "testing"\n\n'
        "func TestIt(t *testing.T) {{\n\tif wrong {{\n\t\tt.Error()\n\t}}\n}}\n"
    )
    main = "\nfunc main() {}\n"
    shapes = {
        "shown": ("a", "true", "false", ""),
        "command": ("main", "true", "false", main),
        "never": ("a", "false", "false", ""),
        "still": ("main", "true", "true", main),
    }
    cases = [case(tmp_path, text.format(*shape), name) for name, shape in shapes.items()]
    probes = Probes(tmp_path / "probes", cases)
    (joined,) = probes.tests.values()
    assert sum("func " in part for part in joined) == 4, "both sides of the two importable ones"
    wrong = {name.rpartition("/")[2]: said for name, said in probes.wrong().items()}
    assert wrong.keys() == {"never", "still"}
    assert "shows no fail" in wrong["never"]
    assert "fails after the fix" in wrong["still"]


def test_a_passing_run_shows_nothing() -> None:
    """A word in the output of a passing test is no symptom."""
    assert not shows(Run("WARNING: DATA RACE", passed=True), "race")
    assert shows(Run("WARNING: DATA RACE", passed=False), "race")
