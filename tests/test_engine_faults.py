"""Input that nobody should write: it is read, reported or left alone, and nothing falls over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from toy import became, go, options, project, replacing, rule

from threadmend.config import Config
from threadmend.engine import check, fix
from threadmend.model import OutcomeKind
from threadmend.project import Project
from threadmend.registry import load_rules, select

BAD = rule("bad", rb"bad\(\)", replacing(b"good()"))
OURS = select(load_rules())


def refused(root: Path, name: str, content: bytes) -> str:
    """Return why a file is not taken; the others are."""
    opened = project(root, {name: content, "good.go": go("\tbad()\n")})
    report = check(opened, options(BAD))
    assert [finding.path for finding in report.findings] == ["good.go"]
    (one,) = report.unreadable
    assert one.path == name
    return one.reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"package x\n\xff bad()\n", "is not UTF-8 (line 2)"),
        (b"package x\n\0", "holds NUL bytes"),
        (b"func bad() {}\n", "has no package clause"),
        (b"/* bad() package x\n", "has no package clause"),
        (b"package x\n//" + b"x" * (8 << 20), "is larger than 8 MB"),
    ],
)
def test_what_is_no_go_source_is_reported(tmp_path: Path, content: bytes, reason: str) -> None:
    assert refused(tmp_path, "x.go", content) == reason


def test_a_link_out_of_the_project_is_not_read(tmp_path: Path) -> None:
    outside = tmp_path / "outside.go"
    outside.write_text(go("\tbad()\n"))
    root = tmp_path / "project"
    project(root, {"a.go": go("\tbad()\n")})
    (root / "link.go").symlink_to(outside)
    (root / "gone.go").symlink_to(root / "nowhere.go")
    (root / "loop.go").symlink_to("loop.go")
    report = check(Project.open(root, config=Config()), options(BAD))
    assert [finding.path for finding in report.findings] == ["a.go"]
    assert [(one.path, one.reason) for one in report.unreadable] == [
        ("gone.go", "cannot be read: no such file or directory"),
        ("link.go", "is a symbolic link that leads out of the project"),
        ("loop.go", "cannot be read: too many levels of symbolic links"),
    ]


def test_a_folder_that_became_a_link_out_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x.go").write_text(go("\tbad()\n"))
    root = tmp_path / "project"
    project(root, {"a.go": go("\tbad()\n")})
    (root / "sub").symlink_to(tmp_path / "outside")
    opened = Project(root, ["a.go", "sub/x.go"])
    assert [one.path for one in check(opened, options(BAD)).unreadable] == ["sub/x.go"]


def test_a_link_to_another_file_of_the_project_is_not_reported_twice(tmp_path: Path) -> None:
    project(tmp_path, {"a/a.go": go("\tbad()\n")})
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.go").symlink_to("../a/a.go")
    report = check(Project.open(tmp_path, config=Config()), options(BAD))
    assert [finding.path for finding in report.findings] == ["a/a.go"]
    assert report.unreadable == ()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_does_not_stop_the_run(tmp_path: Path) -> None:
    project(tmp_path, {"a.go": go("\tbad()\n")})
    os.mkfifo(tmp_path / "p.go")
    report = check(Project.open(tmp_path, config=Config()), options(BAD))
    assert [(one.path, one.reason) for one in report.unreadable] == [
        ("p.go", "is not a regular file")
    ]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_reported(tmp_path: Path) -> None:
    project(tmp_path, {"a.go": go("\tbad()\n"), "b.go": go("")})
    (tmp_path / "b.go").chmod(0)
    report = check(Project.open(tmp_path, config=Config()), options(BAD))
    assert [one.reason for one in report.unreadable] == ["cannot be read: permission denied"]


def test_truncated_source_is_read_up_to_where_it_breaks(tmp_path: Path) -> None:
    whole = go("\tbad()\n") + "\nfunc g() {\n\tif x {\n\t\tbad()\n"
    opened = project(tmp_path, {"a.go": whole})
    patch = fix(opened, options(BAD))
    assert patch.unreadable == ()
    kinds = [outcome.kind for outcome in patch.outcomes]
    assert len(kinds) == 2
    for outcome in patch.outcomes:
        if outcome.kind is OutcomeKind.REFUSED:
            assert "does not parse" in outcome.reason


def test_the_inside_of_an_error_is_never_edited(tmp_path: Path) -> None:
    opened = project(tmp_path, {"a.go": "package a\n\nfunc f() { bad() }\n\nvar x = = bad()\n"})
    (start, end), *_ = opened.go.tree("a.go").errors
    inside = rule("inside", rb"=", replacing(b"=="))
    patch = fix(opened, options(inside))
    for outcome in patch.outcomes:
        if start <= outcome.finding.start < end:
            assert outcome.kind is OutcomeKind.REFUSED
            assert "where it does not parse" in outcome.reason
    assert became(fix(opened, options(BAD)))[0][1] == "fixed"


@pytest.mark.parametrize(
    "body",
    [
        "\tx := " + "(" * 100_000 + "1" + ")" * 100_000 + "\n",
        "\tx := " + "-" * 50_000 + "1\n",
        "{" * 20_000 + "}" * 20_000 + "\n",
        "\tgo func() {\n" * 2_000 + "\twg.Add(1); mu.Lock(); ch <- 1\n" + "\t}()\n" * 2_000,
        "\tx := " + "f(" * 30_000 + ")" * 30_000 + "\n",
    ],
    ids=["parentheses", "signs", "blocks", "goroutines", "calls"],
)
def test_deep_nesting_ends_no_process(tmp_path: Path, body: str) -> None:
    wide = "\tvar wg sync.WaitGroup\n\tvar mu sync.Mutex\n\tch := make(chan int)\n"
    deep = go(wide + body).replace("svc\n", 'svc\n\nimport "sync"\n', 1)
    opened = project(tmp_path, {"deep.go": deep, "good.go": go("\tbad()\n")})
    report = check(opened, options(*OURS, BAD))
    assert ("go/bad", "good.go") in {(f.rule, f.path) for f in report.findings}
    for failure in report.failures:
        assert failure.reason == "is nested too deeply"


def test_a_large_file_is_read(tmp_path: Path) -> None:
    line = "\tfine(1, 2, 3)\n"
    text = go(line * 100_000 + "\tbad()\n")
    opened = project(tmp_path, {"large.go": text})
    report = check(opened, options(*OURS, BAD))
    assert [finding.rule for finding in report.findings] == ["go/bad"]
    assert report.failures == ()


def test_a_file_that_changes_under_the_run_is_seen_once(tmp_path: Path) -> None:
    opened = project(tmp_path, {"a.go": go("\tbad()\n")})
    before = opened.source("a.go").data
    (tmp_path / "a.go").write_text("package other\n")
    patch = fix(opened, options(BAD))
    assert patch.before == {"a.go": before}


def test_an_empty_project_has_no_findings(tmp_path: Path) -> None:
    report = check(Project.open(tmp_path, config=Config()), options(BAD))
    assert (report.findings, report.unreadable, report.failures) == ((), (), ())
    assert fix(Project.open(tmp_path, config=Config()), options(BAD)).after == {}
