"""The cache: an answer only for the same bytes, never a damaged one, nothing in the project."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from toy import Finding, go, options, project, rule

from threadmend import cache
from threadmend.cache import Cache, folder_of
from threadmend.config import Config
from threadmend.engine import Options, Report, check, fix
from threadmend.golang.file import GoFile
from threadmend.model import Confidence, Edit, Fix, Related, Rule, Safety, Subject
from threadmend.project import Project

FILES = {"a/a.go": go("\tbad()\n"), "b/b.go": go("\tfine()\n"), "c/c.go": b"\xff"}


class Counting:
    """A rule that counts how often it was asked, and a finding with everything in it."""

    def __init__(self) -> None:
        self.asked = 0
        self.rule = Rule("go/counting", "Count", self.check, Subject.GO_FILE, "toy")
        self.options = options(self.rule, cache=True)

    def check(self, file: GoFile) -> Iterator[Finding]:
        self.asked += 1
        fix = Fix("Mend", (Edit(file.path, 0, 1, b"\xff\x00\n"),), Safety.UNSAFE, "it may")
        yield Finding(
            file.path,
            0,
            7,
            "message \N{SNOWMAN}",
            (fix,),
            (Related(file.path, 1, 2, "there"),),
            "reason",
            Confidence.LOW,
        )


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THREADMEND_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "project"


def age(root: Path) -> None:
    """Make the files old enough for their time stamps to be believed."""
    old = time.time() - 60
    for file in root.rglob("*"):
        os.utime(file, (old, old))


def run(root: Path, options: Options, config: Config | None = None) -> Report:
    return check(Project.open(root, config=config or Config()), options)


def test_the_same_bytes_are_asked_about_once(root: Path) -> None:
    project(root, FILES)
    counting = Counting()
    first = run(root, counting.options)
    assert counting.asked == 2
    assert run(root, counting.options) == first
    assert counting.asked == 2
    assert [finding.confidence for finding in first.findings] == [Confidence.LOW] * 2
    assert [(one.path, one.reason) for one in first.unreadable] == [
        ("c/c.go", "is not UTF-8 (line 1)")
    ]
    fix(Project.open(root, config=Config()), counting.options)
    assert counting.asked == 2


def test_other_bytes_rules_targets_or_settings_are_asked_about_anew(root: Path) -> None:
    project(root, FILES)
    counting = Counting()
    run(root, counting.options)
    (root / "b/b.go").write_text(go("\tgood()\n"))
    run(root, counting.options)
    assert counting.asked == 4
    (root / "d.go").write_text("package d\n")
    assert len(run(root, counting.options).findings) == 3
    (root / "d.go").unlink()
    run(root, counting.options)
    assert counting.asked == 7
    run(root, options(counting.rule, cache=True, targets=["a"]))
    assert counting.asked == 8
    run(root, counting.options, Config(exclude=("a",)))
    assert counting.asked == 9
    other = rule("other", b"x")
    run(root, options(counting.rule, other, cache=True))
    assert counting.asked == 11


def test_a_buffer_over_a_file_counts_by_its_bytes(root: Path) -> None:
    project(root, FILES)
    counting = Counting()
    run(root, counting.options)
    over = Project.open(root, config=Config(), overlay={"b/b.go": b"package b\n"})
    check(over, counting.options)
    assert counting.asked == 4


def test_what_did_not_change_is_not_even_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(root, FILES)
    age(root)
    counting = Counting()
    first = run(root, counting.options)
    monkeypatch.setattr(cache, "_RACY", -(10**18))  # chmod and utime set the other time stamp
    run(root, counting.options)
    read: list[str] = []
    monkeypatch.setattr(Project, "_read", lambda self, path: read.append(path) or b"")
    assert run(root, counting.options) == first
    assert read == []


def test_a_file_that_changed_in_the_same_instant_is_noticed(root: Path) -> None:
    project(root, FILES)
    counting = Counting()
    run(root, counting.options)
    before = (root / "b/b.go").stat()
    (root / "b/b.go").write_text(go("\tFINE()\n"))
    os.utime(root / "b/b.go", ns=(before.st_atime_ns, before.st_mtime_ns))
    run(root, counting.options)
    assert counting.asked == 4


@pytest.mark.parametrize("damage", ["cut", "flip", "forge", "empty", "folder"])
def test_a_damaged_cache_is_made_anew(root: Path, damage: str) -> None:
    project(root, FILES)
    age(root)
    counting = Counting()
    first = run(root, counting.options)
    place = folder_of(root)
    assert place is not None
    for file in place.glob("*.json"):
        data = file.read_bytes()
        if damage == "cut":
            file.write_bytes(data[: len(data) // 2])
        elif damage == "flip":
            file.write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
        elif damage == "forge":
            file.write_bytes(data.partition(b"\n")[0] + b'\n{"findings": [], "unreadable": []}')
        elif damage == "empty":
            file.write_bytes(b"")
        else:
            file.unlink()
            file.mkdir()
    assert run(root, counting.options) == first
    assert counting.asked == 4


def test_a_value_of_another_shape_is_not_an_answer(root: Path) -> None:
    project(root, FILES)
    counting = Counting()
    first = run(root, counting.options)
    place = folder_of(root)
    assert place is not None
    for file in place.glob("*.json"):
        store = Cache(place)
        store.store(file.stem, {"findings": [["too", "short"]], "unreadable": 3})
    assert run(root, counting.options) == first


def test_a_failure_is_not_remembered(root: Path) -> None:
    project(root, FILES)
    asked: list[str] = []

    def broken(file: GoFile) -> Iterator[Finding]:
        asked.append(file.path)
        raise KeyError

    failing = Rule("go/broken", "Break", broken, Subject.GO_FILE, "toy")
    for _ in range(2):
        assert run(root, options(failing, cache=True)).failures
    assert len(asked) == 4


def test_without_the_cache_nothing_is_kept(root: Path, folder: Path) -> None:
    project(root, FILES)
    run(root, options(Counting().rule))
    assert not folder.exists()


def test_the_project_is_left_alone_and_the_cache_says_what_it_is(root: Path) -> None:
    project(root, FILES)
    before = sorted(root.rglob("*"))
    run(root, Counting().options)
    assert sorted(root.rglob("*")) == before
    place = folder_of(root)
    assert place is not None
    assert (
        (place / "CACHEDIR.TAG")
        .read_text()
        .startswith("Signature: 8a477f597d28d172789f06886806bc55")
    )
    assert place.stat().st_mode & 0o077 == 0


def test_a_cache_that_cannot_be_written_is_no_error(root: Path, folder: Path) -> None:
    project(root, FILES)
    folder.write_text("a file is in the way")
    assert len(run(root, Counting().options).findings) == 2


def test_old_results_go(root: Path) -> None:
    store = Cache(root / "c")
    for number in range(30):
        store.store(f"{number:02}", {"x": number})
    assert len(list((root / "c").glob("*.json"))) == 12


def test_runs_at_the_same_time_do_not_disturb_each_other(root: Path) -> None:
    store = Cache(root / "c")
    wrong: list[object] = []

    def work(number: int) -> None:
        for _ in range(30):
            store.store("same", {"x": [number] * 2000})
            value = store.load("same", lambda value: value["x"])
            if value is None or len(set(value)) != 1:
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sorted(path.name for path in (root / "c").iterdir()) == ["CACHEDIR.TAG", "same.json"]


def test_every_project_has_a_folder_of_its_own(tmp_path: Path, folder: Path) -> None:
    one, two = folder_of(tmp_path / "one"), folder_of(tmp_path / "two")
    assert one != two
    assert one is not None
    assert one.parent == folder


def test_nothing_stored_is_executed(root: Path) -> None:
    store = Cache(root / "c")
    store.store("x", {"a": 1})
    digest, _, body = (root / "c" / "x.json").read_bytes().partition(b"\n")
    assert len(digest) == 32
    assert json.loads(body) == {"a": 1}
