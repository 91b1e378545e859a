"""mend: from failing tests to a patch that they pass with; noise in the schedule."""

from __future__ import annotations

import json
from pathlib import Path

from commandline import git, project, repository, run
from gotool import needs_race
from toy import project as opened

from threadmend.prove.stress import noisy

SUM = """package sum

import "sync"

type Totals struct {
	mu sync.Mutex
	by map[string]int
}

func (t *Totals) Of(name string) (int, bool) {
	t.mu.Lock()
	n, ok := t.by[name]
	if !ok {
		return 0, false
	}
	t.mu.Unlock()
	return n, true
}

func Sum(in []int) int {
	var wg sync.WaitGroup
	total := 0
	for _, n := range in {
		go func() {
			wg.Add(1)
			defer wg.Done()
			total += n
		}()
	}
	wg.Wait()
	return total
}
"""
SUM_TEST = """package sum_test

import (
	"testing"

	"example.com/svc/sum"
)

func TestOf(t *testing.T) {
	totals := &sum.Totals{}
	totals.Of("a")
	totals.Of("b")
}

func TestSum(t *testing.T) {
	if n := sum.Sum([]int{1, 2, 3, 4, 5, 6, 7, 8}); n != 36 {
		t.Fatal(n)
	}
}

func TestLeft(t *testing.T) {
	found := make(chan int)
	go func() { found <- 1 }()
}
"""
GOOD_TEST = 'package good\n\nimport "testing"\n\nfunc TestGood(t *testing.T) {}\n'


@needs_race
def test_mend_goes_on_until_the_tests_are_clean(tmp_path: Path) -> None:
    files = {"sum/sum.go": SUM, "sum/sum_test.go": SUM_TEST, "good/good_test.go": GOOD_TEST}
    root = repository(tmp_path, files)
    found = run("mend", "--commit", "mended", "--timeout", "60", "./...", cwd=root)
    assert found.code == 0, found.err
    lines = found.err.splitlines()
    assert lines[0].startswith("round 1: ")
    assert lines[-1] == "go test -race: 2 of 2 packages clean"
    messages = git(root, "log", "--format=%B", "main..mended")
    commits = git(root, "rev-list", "main..mended").split()
    assert len(commits) >= 3
    assert messages.count("Evidence:") == len(commits)
    assert f"mended: {len(commits)} commits; git log -p mended" in lines
    assert "- sum: go build, go vet, go test -race: 3 tests, " in messages
    assert "deadlocks 1 → 0" in messages
    text = git(root, "show", "mended:sum/sum.go")
    assert "defer t.mu.Unlock()" in text
    assert git(root, "status", "--porcelain") == ""


ADDED = """package added

import "sync/atomic"

type Meter struct{ n atomic.Int64 }

func (m *Meter) Tick()        { m.n.Store(m.n.Load() + 1) }
func (m *Meter) Total() int64 { return m.n.Load() }
"""
ADDED_TEST = """package added

import (
	"runtime"
	"sync"
	"testing"
)

func TestTotal(t *testing.T) {
	m := &Meter{}
	var wg sync.WaitGroup
	for i := 0; i < 8; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 0; i < 20000; i++ {
				m.Tick()
				if i%100 == 0 {
					runtime.Gosched()
				}
			}
		}()
	}
	wg.Wait()
	if n := m.Total(); n != 160000 {
		t.Fatal(n)
	}
}
"""


@needs_race
def test_tests_that_fail_without_a_symptom_are_mended(tmp_path: Path) -> None:
    root = repository(tmp_path, {"added/added.go": ADDED, "added/added_test.go": ADDED_TEST})
    found = run("mend", "--write", "--timeout", "60", "./...", cwd=root)
    assert found.code == 0, found.err
    assert "round 1: failing tests" in found.err
    assert "m.n.Add(1)" in (root / "added/added.go").read_text()


@needs_race
def test_what_cannot_be_mended_is_explained(tmp_path: Path) -> None:
    body = """package odd

import "testing"

func TestOdd(t *testing.T) {
	var hooks []func()
	hooks = append(hooks, func() { select {} })
	go hooks[0]()
}
"""
    root = project(tmp_path, {"odd/odd_test.go": body})
    found = run("mend", "--output-format", "json", cwd=root)
    assert found.code == 1
    value = json.loads(found.out)
    (package,) = value["packages"]
    assert (value["rounds"], value["fixes"], value["patch"]) == (1, [], "")
    assert [leak["stacks"][0]["doing"] for leak in package["before"]["leaks"]] == [
        "select (no cases)"
    ]
    assert package["after"] is None
    (left,) = value["left"]
    assert (left["kind"], left["outcome"]) == ("blocked", "unanswered")
    assert left["stacks"][0]["places"][0]["line"] == 7
    assert "odd/odd_test.go:7" in found.err


@needs_race
def test_stress_finds_what_a_single_run_may_not(tmp_path: Path) -> None:
    """Whether a plain run loses the race is up to the machine; under noise it is lost."""
    body = """package late

import "testing"

func TestLate(t *testing.T) {
	ready := make(chan bool, 1)
	value := 0
	go func() {
		ready <- true
		value = 1
	}()
	<-ready
	if value > 1 {
		t.Fatal(value)
	}
}
"""
    root = project(tmp_path, {"late/late_test.go": body})
    found = run("prove", "--stress", "--no-fixes", "--output-format", "json", cwd=root)
    assert found.code == 1
    (package,) = json.loads(found.out)["packages"]
    assert package["command"] == "go test -race -count=5 -cpu=1,2,4 with noise"
    assert package["before"]["races"]
    assert found.err.endswith("0 of 1 package clean\n")


def test_noise_keeps_lines_and_leaves_headers_alone(tmp_path: Path) -> None:
    body = """package a

import "sync"

func F(ch chan int, mu *sync.Mutex) int {
	mu.Lock()
	defer mu.Unlock()
	go func() { ch <- 1 }()
	if n := <-ch; n > 1 {
		return <-ch
	}
	for range 2 {
		select {
		case ch <- 1:
		case n := <-ch:
			ch <- n
		}
	}
L:
	for {
		break L
	}
	return 0
}
"""
    here = opened(tmp_path, {"a/a.go": body, "a/a_test.go": "package a_test\n"})
    files = noisy(here, ["a"])
    assert sorted(files) == ["a/a.go", "a/threadmend_noise_a_0.go"]
    marked = [line for line in files["a/a.go"].decode().split("\n") if "threadmendNoise" in line]
    assert marked == [
        "\tthreadmendNoise(); mu.Lock()",
        "\tthreadmendNoise(); go func() {threadmendNoise();  threadmendNoise(); ch <- 1 }()",
        "\t\tthreadmendNoise(); return <-ch",
        "\t\tthreadmendNoise(); select {",
        "\t\t\tthreadmendNoise(); ch <- n",
    ]
    assert files["a/a.go"].count(b"\n") == body.count("\n")
