"""`audit`: one page about a project; `pytest --update` writes the golden pages of a mixed one."""

from __future__ import annotations

import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from commandline import CLEAN, project, run

from threadmend.audit.build import build
from threadmend.audit.document import document
from threadmend.audit.gather import gather
from threadmend.audit.pictures import cut, judged
from threadmend.engine import Options
from threadmend.graph import Edge, Graph, Vertex, labels, short
from threadmend.inventory import Inventory
from threadmend.model import Confidence
from threadmend.project import Project
from threadmend.registry import load_rules

PAGES = Path(__file__).parent / "pages"

BANK = """\
package bank

import (
	"context"
	"os/exec"
	"sync"
	"time"
)

type ledger struct {
	mu    sync.Mutex
	total int
}

type account struct {
	mu sync.RWMutex
	l  *ledger
	n  int
}

func (a *account) Pay(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n -= n
	a.l.add(n)
}

func (l *ledger) add(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total += n
}

func (l *ledger) Close(a *account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n, l.total = 0, 0
}

func Totals(accounts []*account) int {
	parts := make(chan int, len(accounts))
	for _, a := range accounts {
		go func() { parts <- a.n }()
	}
	sum := 0
	for n := range parts {
		sum += n
	}
	return sum
}

func Beat(say func()) {
	go func() {
		for {
			say()
			time.Sleep(time.Second)
		}
	}()
}

func Backup(ctx context.Context, path string) error {
	if err := exec.CommandContext(ctx, "sync").Run(); err != nil {
		return err
	}
	return run(context.Background(), path)
}

func run(ctx context.Context, path string) error {
	_ = context.TODO()
	return exec.Command("cp", path, path+".bak").Run()
}
"""

BANK_TEST = """\
package bank

import "testing"

func TestPay(t *testing.T) {
	a := &account{l: &ledger{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Pay(1)
	}()
	<-done
}
"""

FEED = '''\
"""Reads feeds."""

import queue
import threading
from concurrent.futures import ThreadPoolExecutor


class Reader:
    def __init__(self):
        self._lock = threading.Lock()
        self._seen = {}
        self._jobs = queue.Queue()

    def add(self, name):
        with self._lock:
            self._seen[name] = True
        self._jobs.put(name)

    def drop(self, name):
        with self._lock:
            del self._seen[name]


def fetch(names, read):
    pool = ThreadPoolExecutor()
    threading.Thread(target=read).start()
    return [pool.submit(read, name) for name in names]
'''

WORKFLOW = """\
on: push
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - run: go test -race ./...
"""

SHOP: dict[str, str | bytes] = {
    "bank/bank.go": BANK,
    "bank/bank_test.go": BANK_TEST,
    "feeds/reader.py": FEED,
    "feeds/latin.go": b"package feeds\n\n// \xff\n",
    "a <b>&c/x.go": 'package x\n\nimport "sync"\n\nvar mu sync.Mutex\n\nfunc X() { mu.Lock() }\n',
    "Makefile": "test:\n\tgo test -run '<i>|x' ./bank/...\n",
    ".github/workflows/ci.yml": WORKFLOW,
    ".golangci.yml": 'version: "2"\nlinters:\n  enable:\n    - bodyclose\n',
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a mixed project."""
    return project(tmp_path_factory.mktemp("audit") / "shop", SHOP)


@pytest.fixture(scope="module")
def shown(shop: Path) -> dict[str, object]:
    """Return its audit as JSON."""
    page = run("audit", "--output-format", "json", cwd=shop)
    found: dict[str, object] = json.loads(page.out)
    return found


RULES = (
    "go/lock-not-released,go/lock-order,go/producer-never-closes,python/executor-not-closed,"
    "go/context-not-propagated,go/golangci-concurrency,go/goleak-testmain,go/race-flag"
)
"""What the golden pages are made with: new rules change nothing there."""

ENDINGS = {"text": "txt", "markdown": "md", "html": "html", "json": "json"}


@pytest.mark.parametrize("form", ENDINGS)
def test_the_page_of_a_mixed_project(form: str, shop: Path, update: bool) -> None:
    found = run("audit", "--select", RULES, "--output-format", form, cwd=shop, PATH="")
    assert found.code == 0, found.err
    assert found.err == ""
    golden = PAGES / f"audit.{ENDINGS[form]}"
    if update:
        golden.write_text(found.out, "utf-8")
    assert found.out == golden.read_text("utf-8"), "run pytest --update tests/test_audit.py"


def section(shown: dict[str, object], name: str) -> dict[str, object]:
    """Return a section of a JSON page."""
    sections = shown["sections"]
    assert isinstance(sections, list)
    found: dict[str, object] = next(s for s in sections if s["name"] == name)
    return found


def test_the_figures_are_those_of_the_code(shown: dict[str, object]) -> None:
    def figures(name: str) -> object:
        return section(shown, name)["figures"]

    assert figures("race") == {"commands": 2, "with_race": 1, "could_race": 1}
    assert figures("leaks") == {"packages": 1, "checked": 0}
    assert figures("order") == {"cycles": 1, "orders": 2}
    assert figures("locks") == {"locks": 4, "places": 7, "with_guarded_fields": 3}
    assert figures("channels") == {"made": 1, "followed": 1, "unowned": 1}
    assert figures("goroutines") == {"launches": 2, "endless": 1, "unseen": 0}
    assert figures("contexts") == {
        "with_context": 1,
        "without_context": 1,
        "new_contexts": 2,
        "new_though_in_scope": 2,
        "todo": 1,
        "sleeps": 1,
    }
    assert figures("queues") == {"queues": 1, "unbounded": 1, "one_end": 1}


def test_every_place_is_one(shown: dict[str, object], shop: Path) -> None:
    found = re.findall(r'"path": "([^"]*)", "line": (\d+)', json.dumps(shown))
    assert len(found) > 30
    for path, line in found:
        assert int(line) <= len((shop / path).read_bytes().split(b"\n"))


def test_the_commands_work(shown: dict[str, object], shop: Path) -> None:
    commands = shown["commands"]
    assert isinstance(commands, list)
    asked = [command["command"] for command in commands]
    assert "threadmend fix --write" in asked
    for command in (
        "threadmend fix --unsafe-fixes",
        "threadmend fix --select go/goleak-testmain --unsafe-fixes",
        "threadmend fix --select go/race-flag --unsafe-fixes",
    ):
        assert command in asked
        name, *arguments = shlex.split(command)
        found = run(*arguments, cwd=shop)
        assert name == "threadmend"
        assert found.code == 1, found.err
        assert found.out, command


class Page(HTMLParser):
    """Reads a page: which tags stay open, ids, addresses, and its visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.open += [] if tag in {"meta", "path", "rect", "br"} else [tag]
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in {"href", "src"}:
                self.addresses.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"meta", "path", "rect", "br"}:
            assert self.open.pop() == tag


def test_the_html_is_whole_and_asks_for_nothing_else(shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    found = run("audit", "--output-format", "html", "--output", str(file), cwd=shop)
    assert (found.code, found.out) == (0, "")
    text = file.read_text("utf-8")
    page = Page(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert not page.tags & {"script", "link", "iframe", "img", "b", "i"}
    assert "svg" in page.tags
    for address in page.addresses:
        path, _, fragment = address.partition("#")
        if path:
            assert (tmp_path / unquote(path)).resolve().is_relative_to(shop)
            assert (tmp_path / unquote(path)).is_file()
        else:
            assert fragment in page.ids
    outside = set(re.findall(r"https?://[^\s\"<]+", text))
    assert outside == {"http://www.w3.org/2000/svg"}


def test_the_markdown_keeps_strange_names_as_text() -> None:
    text = (PAGES / "audit.md").read_text("utf-8")
    assert "[a \\<b\\>\\&c/x.go:5](<a%20%3Cb%3E%26c/x.go#L5>)" in text
    assert "`go test -run '<i>\\|x' ./bank/...`" in text
    rows = [line for line in text.split("\n") if line.startswith("| ")]
    assert all(line.endswith(" |") for line in rows)
    assert "```mermaid\nflowchart LR\n" in text


def test_paths_choose_what_the_page_is_about(shop: Path) -> None:
    found = run("audit", "feeds", "--isolated", cwd=shop)
    assert found.code == 0
    assert "1 Python file\n" in found.out
    assert "bank" not in found.out
    assert "Race detector" not in found.out
    assert "threadmend fix --unsafe-fixes --isolated feeds" in found.out


def test_an_empty_project_has_an_empty_page(tmp_path: Path) -> None:
    (tmp_path / "threadmend.toml").touch()
    text = run("audit", cwd=tmp_path)
    assert (text.code, text.err) == (0, "")
    assert text.out.endswith("\nno Go or Python files\n\n")
    page = run("audit", "--output-format", "html", cwd=tmp_path)
    assert Page(page.out).open == []
    assert "no Go or Python files" in page.out


def test_a_project_without_concurrency(tmp_path: Path) -> None:
    found = run("audit", cwd=project(tmp_path, {"a.go": CLEAN}))
    assert found.code == 0
    assert "no goroutine is launched" in found.out
    assert "What can be fixed now" not in found.out


def test_bad_input_is_one_line_and_code_2(tmp_path: Path) -> None:
    project(tmp_path, {"a.go": CLEAN})
    for arguments in (["nowhere"], ["--output", str(tmp_path)]):
        found = run("audit", *arguments, cwd=tmp_path)
        assert found.code == 2
        assert found.err.count("\n") == 1
        assert found.out == ""


def test_several_processes_make_the_same_page(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threadmend.analysis._WORTH_FORKING", 0)
    pages = []
    for jobs in (1, 2):
        opened = Project.open(shop)
        options = Options(rules=load_rules(), jobs=jobs, confidence=Confidence.MEDIUM)
        pages.append(document(build(gather(opened, options))))
    assert pages[0] == pages[1]


def test_what_fails_for_one_file_is_told_and_the_rest_is_there(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(file: object) -> Inventory:
        raise ValueError("nothing to see")

    monkeypatch.setattr("threadmend.python.inventory.inventory", broken)
    facts = gather(Project.open(shop), Options(rules=(), jobs=1))
    assert [(f.path, f.reason.partition(" (")[0]) for f in facts.report.failures] == [
        ("feeds/reader.py", "ValueError: nothing to see")
    ]
    assert len(facts.inventory.locks) == 3


# -- pictures ------------------------------------------------------------------------------


def graph(*edges: tuple[str, str, bool]) -> Graph:
    """Return a graph of channels and functions: `c…` and `f…`."""
    names = sorted({name for a, b, _ in edges for name in (a, b)})
    kinds = {"c": "channel", "f": "function"}
    vertices = tuple(Vertex(n, "missing" if " has no " in n else kinds[n[0]], n) for n in names)
    return Graph("Talk", vertices, tuple(Edge(a, b, "", alarm) for a, b, alarm in edges))


def test_a_large_picture_keeps_alarms_and_whole_pieces() -> None:
    large = [("f0", f"c{n}", False) for n in range(5)]
    whole = graph(*large, ("f9", "c9", True), ("f7", "c7", False), ("c7", "f8", False))
    drawn = cut(whole, 6)
    assert {e.source for e in drawn.edges} == {"f9", "f0"}
    assert drawn.title == "Talk (6 of 8 arrows)"
    assert cut(whole, 8) is whole


def test_a_missing_end_is_drawn_only_where_it_is_certain() -> None:
    whole = graph(
        ("f1", "c1", False),
        ("c1", "c1 has no receiver", True),
        ("f1", "c2", False),
        ("c2", "c2 has no receiver", True),
        ("f1", "c3", False),
    )
    drawn = judged(whole, {"c1", "c2"}, {"c2"})
    assert [(e.source, e.target) for e in drawn.edges] == [
        ("c2", "c2 has no receiver"),
        ("f1", "c1"),
        ("f1", "c2"),
    ]


def test_a_class_is_shown_without_path_and_version() -> None:
    assert short("go.example.com/shop/client/v3.Client.mu") == "client.Client.mu"
    assert short("example.com/shop.mu") == "shop.mu"
    assert short("shop.feeds.reader.Reader._lock") == "reader.Reader._lock"


def test_two_classes_are_never_shown_alike() -> None:
    alike = ["example.com/shop/a/store.Store.mu", "example.com/shop/b/store.Store.mu"]
    assert labels([*alike, "example.com/shop/v2.mu"]) == {
        alike[0]: "a/store.Store.mu",
        alike[1]: "b/store.Store.mu",
        "example.com/shop/v2.mu": "shop.mu",
    }
    nested = ["example.com/x/a/store.mu", "example.com/y/a/store.mu"]
    assert list(labels(nested).values()) == ["x/a/store.mu", "y/a/store.mu"]
