"""`map` draws the lock order and the channels: cycles in red, missing ends marked."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from commandline import project, run

from threadmend.graph import components
from threadmend.report.drawing import _ALARM

BANK = """\
package bank

import "sync"

type ledger struct {
	mu    sync.Mutex
	total int
}

type account struct {
	mu sync.Mutex
	l  *ledger
}

func (a *account) pay(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.l.add(n)
}

func (l *ledger) add(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total += n
}

func (l *ledger) close(a *account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.mu.Lock()
	a.mu.Unlock()
}

type feed struct {
	in   chan int
	lost chan int
}

func newFeed() *feed {
	f := &feed{}
	f.in = make(chan int, 8)
	f.lost = make(chan int)
	go f.read()
	return f
}

func (f *feed) put(n int) { f.in <- n }

func (f *feed) read() {
	for n := range f.in {
		f.lost <- n
	}
}
"""


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    return project(tmp_path, {"go.mod": "module example.com/bank\n\ngo 1.25\n", "a.go": BANK})


def drawn(root: Path, form: str) -> str:
    done = run("map", "--output-format", form, cwd=root)
    assert done.code == 0, done.err
    return done.out


def test_dot_has_the_cycle_of_locks_with_its_functions_in_red(bank: Path) -> None:
    lines = drawn(bank, "dot").splitlines()
    edges = [line for line in lines if "->" in line and "mu" in line]
    assert len(edges) == 2
    assert all(_ALARM in line for line in edges)
    assert any('"account.pay"' in line for line in edges)
    assert any('"ledger.close"' in line for line in edges)


def test_mermaid_has_capacity_goroutine_and_the_missing_end(bank: Path) -> None:
    text = drawn(bank, "mermaid")
    assert "bank.feed.in (8)" in text
    assert '[["bank.feed.read"]]' in text
    assert text.count("no receiver") == 1
    assert "no sender" not in text
    assert "linkStyle" in text


def test_svg_is_well_formed_and_names_every_vertex(bank: Path) -> None:
    root = ElementTree.fromstring(drawn(bank, "svg"))
    said = {text.text for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"bank.ledger.mu", "bank.account.mu", "bank.feed.put", "no receiver"} <= said
    paths = [p.get("stroke") for p in root.iter("{http://www.w3.org/2000/svg}path")]
    assert paths.count(_ALARM) == 3


def test_a_project_without_locks_draws_two_titles(tmp_path: Path) -> None:
    root = project(tmp_path, {"go.mod": "module a\n", "a.go": "package a\n"})
    assert ElementTree.fromstring(drawn(root, "svg")).tag.endswith("svg")
    assert "->" not in drawn(root, "dot")


def test_components_finds_every_cycle() -> None:
    edges = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("e", "e")]
    assert components("abcde", edges) == [["a", "b", "c"], ["d"], ["e"]]
