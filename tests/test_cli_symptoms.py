"""`fix --from` from outside: reports from files and pipes, what is said, and how it ends."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from commandline import RACY, git, repository, run

BOX = """\
package svc

// Box counts.
type Box struct {
	n int
}

// Inc counts.
func (b *Box) Inc() { b.n++ }
"""
REPORT = """\
==================
WARNING: DATA RACE
Write at 0x00c0000140b8 by goroutine 8:
  example.com/svc.(*Box).Inc()
      /app/box.go:9 +0x44

Previous write at 0x00c0000140b8 by goroutine 7:
  example.com/svc.(*Box).Inc()
      /app/box.go:9 +0x44
==================
"""
FILES = {"go.mod": "module example.com/svc\n\ngo 1.25\n", "box.go": BOX, "other.go": RACY}
SAID = "box.go:9: data race (race detector): Guard n with a new field mu (go/reported-race); "


def test_only_what_the_report_shows_is_mended(tmp_path: Path) -> None:
    root = repository(tmp_path, FILES)
    found = run("fix", "--from", "-", cwd=root, stdin=REPORT)
    assert found.code == 1
    assert "other.go" not in found.out + found.err
    assert SAID in found.err
    (root / "p").write_text(found.out)
    git(root, "apply", "p")
    assert "b.mu.Lock()" in (root / "box.go").read_text()


def test_several_reports_packed_or_not_are_written(tmp_path: Path) -> None:
    root = repository(tmp_path, FILES)
    (root / "a.log.gz").write_bytes(gzip.compress(REPORT.encode()))
    (root / "b.log").write_text("ok  \texample.com/svc\t0.01s\n")
    done = run("fix", "--write", "--no-prove", "--from", "a.log.gz", "--from", "b.log", cwd=root)
    assert (done.code, done.out) == (0, "")
    assert "b.mu.Lock()" in (root / "box.go").read_text()
    assert (root / "other.go").read_text() == RACY


def test_commits_and_mails_hold_the_fixes(tmp_path: Path) -> None:
    root = repository(tmp_path, FILES)
    mail = run("fix", "--mbox", "--no-prove", "--from", "-", cwd=root, stdin=REPORT)
    (root.parent / "mails").write_text(mail.out)
    git(root, "am", "-q", "../mails")
    assert "b.mu.Lock()" in (root / "box.go").read_text()


def test_json_has_the_symptoms(tmp_path: Path) -> None:
    root = repository(tmp_path, FILES)
    elsewhere = REPORT.replace("example.com/svc", "example.com/lib")
    found = run("fix", "--from", "-", "--output-format", "json", cwd=root, stdin=REPORT + elsewhere)
    first, second = json.loads(found.out)["symptoms"]
    assert (first["kind"], first["outcome"], first["rules"]) == (
        "race", "fixed", ["go/reported-race"])  # fmt: skip
    place = {"path": "box.go", "line": 9, "function": "example.com/svc.(*Box).Inc"}
    assert first["stacks"][0]["places"] == [place]
    assert second["outcome"] == "elsewhere"


def test_what_is_left_is_shown_with_the_choices(tmp_path: Path) -> None:
    files = {**FILES, "box.go": BOX + "\nfunc (b *Box) at() *int { return &b.n }\n"}
    found = run("fix", "--from", "-", cwd=repository(tmp_path, files), stdin=REPORT)
    assert (found.code, found.out) == (1, "")
    assert "no fix: the address of b.n is taken (go/reported-race)" in found.err
    assert found.err.count(">    9 | func (b *Box) Inc()") == 2
    assert "  choices:\n    - hold one mutex at every access of the variable\n" in found.err


def test_files_that_have_changed_since_are_named(tmp_path: Path) -> None:
    root = repository(tmp_path, {**FILES, "box.go": BOX.replace("Inc", "Add")})
    found = run("fix", "--from", "-", cwd=root, stdin=REPORT)
    assert (found.code, found.out) == (0, "")
    assert "box.go: differs from what the report was made of" in found.err


def test_a_run_without_symptoms_is_no_error(tmp_path: Path) -> None:
    root = repository(tmp_path, FILES)
    found = run("fix", "--from", "-", cwd=root, stdin="ok  \texample.com/svc\t0.01s\n")
    assert (found.code, found.out) == (0, "")
    assert found.err == "nothing to fix\nthe reports show no symptom\n"


def test_bad_input_is_one_line_and_exit_2(tmp_path: Path) -> None:
    root = repository(tmp_path, FILES)
    (root / "bad.json").write_text('{\n  "runs": [,]\n}\n')
    (root / "cut.gz").write_bytes(gzip.compress(REPORT.encode())[:-9])
    for arguments, said in (
        (("bad.json",), "threadmend: bad.json:2:12: is not JSON: Expecting value\n"),
        (("none.log",), "threadmend: none.log: cannot be read: no such file or directory\n"),
        (("cut.gz",), "threadmend: cut.gz: the gzip data breaks off after"),
        (("-", "-"), "threadmend: standard input can be read only once\n"),
        (("-", "--interactive"), "threadmend: --from and --interactive cannot be combined\n"),
    ):
        names = [x for a in arguments for x in ([a] if a.startswith("--") else ["--from", a])]
        found = run("fix", *names, cwd=root)
        assert (found.code, found.out) == (2, ""), arguments
        assert found.err.startswith(said)
        assert found.err.count("\n") == 1
