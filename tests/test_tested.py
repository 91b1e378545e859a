"""What tests show under the race detector and the judge of leaks; all packages in one run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from gotool import needs_race
from test_proof import GOOD, said, toolchain
from toy import options, project, replacing, rule

from threadmend.engine import fixes
from threadmend.model import Patch
from threadmend.prove.bisect import proved
from threadmend.prove.compare import Comparison, Laboratory, compare
from threadmend.prove.evidence import Trial
from threadmend.prove.levels import Level
from threadmend.prove.packages import Shop
from threadmend.prove.process import Limits, folder
from threadmend.prove.proof import Examiner
from threadmend.report import evidence
from threadmend.report.text import plain
from threadmend.steps import steps

pytestmark = needs_race

TEST = 'package {0}\n\nimport "testing"\n\nfunc Test{1}(t *testing.T) {{\n\t{2}\n}}\n'


def test_file(package: str, name: str, body: str) -> str:
    return TEST.format(package, name, body)


test_file.__test__ = False  # type: ignore[attr-defined]

RACE = """package race

func Count() int {
	n := 0
	done := make(chan bool)
	for range 2 {
		go func() { n++; done <- true }()
	}
	<-done
	<-done
	return n
}
"""
LEAK = """package leak

func First() int {
	found := make(chan int)
	for n := range 3 {
		go func() { found <- n }()
	}
	return <-found
}
"""
STUCK = """package stuck

import "sync"

var mu sync.Mutex

func Twice() {
	mu.Lock()
	mu.Lock()
	mu.Unlock()
}

func Thrice() { close(make(chan int, 1)) }
"""
FILES = {
    "race/r.go": RACE,
    "race/r_test.go": test_file("race", "Count", "Count()"),
    "leak/l.go": LEAK,
    # An external test package whose TestMain never comes back from os.Exit.
    "leak/l_test.go": """package leak_test

import (
	"os"
	"testing"

	"example.com/m/leak"
)

func TestMain(m *testing.M) { os.Exit(m.Run()) }

func TestFirst(t *testing.T) { leak.First() }
""",
    "stuck/s.go": STUCK,
    "stuck/s_test.go": """package stuck

import "testing"

func TestTwice(t *testing.T) { Twice() }

func TestLater(t *testing.T) {
	ch := make(chan int)
	close(ch)
	close(ch)
}

func TestLast(t *testing.T) { go func() { <-make(chan int) }() }
""",
    "clean/c_test.go": test_file(
        "clean", "Clean", "done := make(chan int)\n\tgo func() { close(done) }()\n\t<-done"
    ),
    "bare/b.go": "package bare\n",
    "broken/b.go": 'package broken\n\nvar A int = "a"\n',
    "broken/b_test.go": test_file("broken", "Broken", ""),
}
AFTER = {
    "race/r.go": RACE.replace("n++; done <- true", "done <- true"),
    "leak/l.go": LEAK.replace("make(chan int)", "make(chan int, 3)"),
    "stuck/s.go": STUCK.replace("\tmu.Lock()\n\tmu.Lock()", "\tmu.Lock()"),
}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Comparison]:
    """Return every package's tests, before and after."""
    root = tmp_path_factory.mktemp("evidence").resolve()
    here = project(root, FILES)
    patch = Patch(
        before={path: FILES[path].encode() for path in AFTER},
        after={path: text.encode() for path, text in AFTER.items()},
    )
    with folder() as place:
        shop = Shop(toolchain(), root, place, Limits(seconds=300))
        laboratory = Laboratory(here, shop, Trial(seconds=60))
        return {c.directory: c for c in compare(laboratory, patch, lambda path: True)}


def counts(comparison: Comparison) -> tuple[list[int], list[int]]:
    after = comparison.after
    return list(comparison.before.counts.values()), list(after.counts.values() if after else ())


def test_races_leaks_and_deadlocks_are_counted(compared: dict[str, Comparison]) -> None:
    found = {name: counts(comparison) for name, comparison in compared.items()}
    races, *others = found["race"][0]
    assert races >= 1  # how many of them the detector meets is up to the schedule
    assert (others, found["race"][1]) == ([0, 0, 0, 1], [0, 0, 0, 0, 0])
    assert found["leak"] == ([0, 2, 0, 0, 0], [0, 0, 0, 0, 0])
    assert found["stuck"] == ([0, 1, 1, 1, 2], [0, 1, 0, 1, 1])
    assert found["clean"] == ([0, 0, 0, 0, 0], [])
    assert compared["race"].before.passed is False
    assert compared["leak"].before.passed is True


def test_tests_behind_one_that_ends_the_program_are_run(compared: dict[str, Comparison]) -> None:
    assert compared["stuck"].before.failed == ("TestLater", "TestTwice")
    assert compared["stuck"].last.failed == ("TestLater",)


def test_why_nothing_ran(compared: dict[str, Comparison]) -> None:
    assert compared["bare"].before.reason == "has no tests"
    reason = compared["broken"].before.reason
    assert reason.startswith("does not compile: broken/b.go:3: cannot use"), reason


def test_the_table_and_the_lines_below_it(compared: dict[str, Comparison]) -> None:
    lines = [plain(line) for line in evidence.table(list(compared.values()), str)]
    head, *rows = (line.rpartition("  ")[0].split() for line in lines)
    assert head == ["package", "races", "leaks", "deadlocks", "panics", "failed", "tests"]
    assert [row[0] for row in rows] == ["clean", "leak", "race", "stuck"]
    assert rows[1][1:5] == ["0", "2", "→", "0"]
    said = evidence.sights(compared["leak"], lambda f: f"{Path(f.file).name}:{f.line}")
    assert [plain(line) for line in said] == [
        "l.go:6: gone: goroutine left, blocked: chan send (×2)"
    ]
    assert evidence.summary(compared.values(), "go test -race") == (
        "go test -race: 3 of 4 packages clean, 1 without tests, 1 not run"
    )


def test_the_document(compared: dict[str, Comparison]) -> None:
    found = evidence.document([compared["leak"]], "go test -race", lambda frame: "")
    assert [(p["directory"], p["before"]["passed"], p["after"]["leaks"]) for p in found] == [
        ("leak", True, [])
    ]
    assert len(found[0]["before"]["leaks"]) == 2


SUM = """package a

func Sum() int {
	x := 1
	y := 2
	return x + y
}
"""


def test_a_passing_test_that_turns_red_refuses_the_fix(tmp_path: Path) -> None:
    files = {
        "a/a.go": SUM,
        "b/b_test.go": """package b

import (
	"testing"

	"example.com/m/a"
)

func TestSum(t *testing.T) {
	if n := a.Sum(); n < 3 || n > 20 {
		t.Fatalf("Sum is %d", n)
	}
}
""",
    }
    here = project(tmp_path, files)
    wrong = rule("wrong", rb"= 2\b", replacing(b"= 200"))
    make = fixes(here, options(GOOD, wrong))
    with folder() as place:
        shop = Shop(toolchain(), tmp_path.resolve(), place, Limits(seconds=300))
        examiner = Examiner(here, shop, Level.TESTS, Trial(race=False, seconds=60))
        patch = proved(make, examiner.examine, make({}))
    assert said(patch) == [
        ("good", "fixed", "go build, go vet, no tests"),
        ("wrong", "refused", "go test: b/b_test.go:11: TestSum fails: Sum is 211"),
    ]
    (step,) = steps(replace(patch, outcomes=()), ())
    assert step.body == "Evidence:\n\n- a: go build, go vet, no tests"
