"""What goes wrong around the command line: readers that leave, Ctrl-C, bugs, odd files."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import CLEAN, MENDED, RACY, plain_environment, project, repository, run

from threadmend.cli.watch import changes, stamps

COMMAND = [sys.executable, "-m", "threadmend"]


def test_a_folder_that_is_gone_is_one_line_and_exit_2(tmp_path: Path) -> None:
    """The folder in which the command runs was removed by somebody else."""
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f'rmdir "{gone}" && exec "{sys.executable}" -m threadmend check .'
    ended = subprocess.run(
        ["sh", "-c", script], cwd=gone, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr == "threadmend: the current folder does not exist any more\n"


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    root = project(tmp_path, {f"f{number}/a.go": RACY * 1 for number in range(60)})
    for arguments in (["check"], ["fix"], ["check", "--output-format", "json"]):
        with subprocess.Popen(
            [*COMMAND, *arguments], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            child.stdout.close()
            said = child.stderr.read()
            child.wait()
        assert b"Traceback" not in said
        assert b"Broken" not in said
        assert child.returncode == 141


class Watching:
    """`check --watch` at work; whatever it does not say in time fails the test."""

    def __init__(self, root: Path) -> None:
        self.child = subprocess.Popen(
            [*COMMAND, "check", "--watch"], cwd=root,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=plain_environment(),
        )  # fmt: skip
        self._said = b""

    def until(self, text: bytes) -> None:
        """Read until `text` was said."""
        assert self.child.stderr is not None
        ends = time.monotonic() + 60
        while text not in self._said:
            ready, _, _ = select.select([self.child.stderr], [], [], ends - time.monotonic())
            assert ready, f"never said {text!r}, but {self._said!r}"
            self._said += os.read(self.child.stderr.fileno(), 65536)
        self._said = self._said.partition(text)[2]

    def interrupt(self) -> bytes:
        """Press Ctrl-C; return what was said after it."""
        self.child.send_signal(signal.SIGINT)
        return self._said + self.child.communicate(timeout=60)[1]


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    watch = Watching(project(tmp_path, {"a.go": CLEAN}))
    yield watch
    watch.child.kill()
    watch.child.communicate()


def test_ctrl_c_exits_130_with_one_line(watching: Watching) -> None:
    watching.until(b"Ctrl-C ends it\n")
    assert watching.interrupt().strip() == b"threadmend: interrupted"
    assert watching.child.returncode == 130


def test_watch_checks_again_when_a_file_changes_or_comes(
    watching: Watching, tmp_path: Path
) -> None:
    watching.until(b"watching 1 file;")
    (tmp_path / "a.go").write_text(RACY)
    watching.until(b"changed: a.go")
    watching.until(b"1 finding in 1 file")
    watching.until(b"watching 1 file;")
    (tmp_path / "b.go").write_text(CLEAN.replace("Add", "Sub"))
    watching.until(b"changed: b.go")
    watching.until(b"watching 2 files;")
    (tmp_path / "b.go").unlink()
    watching.until(b"changed: b.go")


def test_a_change_while_checking_is_not_lost(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": CLEAN})
    before = stamps(root)
    (root / "a.go").write_text(RACY)
    assert changes(root, before, interval=0) == ["a.go"]


def test_a_bug_exits_3_with_a_hint_and_on_demand_a_traceback(tmp_path: Path) -> None:
    project(tmp_path, {"a.go": CLEAN})
    program = (
        "import sys, threadmend.engine as e\n"
        "def check(*a): raise RuntimeError('boom')\n"
        "e.check = check\n"
        "from threadmend.cli.main import run; sys.exit(run(['check']))\n"
    )

    def crash(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=plain_environment() | environment,
            check=False,
        )

    quiet = crash()
    assert (quiet.returncode, quiet.stderr.count("\n")) == (3, 1)
    assert "RuntimeError: boom" in quiet.stderr
    assert "THREADMEND_DEBUG=1" in quiet.stderr
    loud = crash(THREADMEND_DEBUG="1")
    assert loud.returncode == 3
    assert "Traceback" in loud.stderr


def test_a_file_that_cannot_be_written_stops_the_whole_write(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": RACY, "b/b.go": RACY})
    (root / "b/b.go").chmod(0o444)
    found = run("fix", "--write", cwd=root)
    assert (found.code, found.err.count("\n")) == (2, 1)
    assert "b/b.go" in found.err
    assert (root / "a.go").read_text() == RACY


def test_a_link_out_of_the_project_is_left_alone(tmp_path: Path) -> None:
    outside = tmp_path / "outside.go"
    outside.write_text(RACY)
    root = project(tmp_path / "in", {"a.go": CLEAN})
    (root / "link.go").symlink_to(outside)
    found = run("fix", "--write", cwd=root)
    assert found.code == 0
    assert outside.read_text() == RACY


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("truncated", RACY[: len(RACY) // 2].encode()),
        ("not_utf8", b"package svc // \xff\xfe\n"),
        ("nul", b"package svc\n\0\n"),
        ("empty", b""),
        ("deep", b"package svc\n\nvar x = " + b"(" * 20_000 + b"1" + b")" * 20_000 + b"\n"),
        ("deep_blocks", b"package svc\n\nfunc f() " + b"{" * 5_000 + b"}" * 5_000 + b"\n"),
        ("large", b"package svc\n\n" + b"// line\n" * 1_300_000),
        ("long_line", b"package svc\n\nvar x = `" + b"x" * 2_000_000 + b"`\n"),
    ],
)
def test_an_odd_file_does_not_keep_the_others_from_being_fixed(
    tmp_path: Path, name: str, data: bytes
) -> None:
    root = project(tmp_path, {"good/good.go": RACY, f"odd/{name}.go": data})
    found = run("fix", "--write", cwd=root)
    assert found.code == 0, found.err
    assert (root / "good/good.go").read_text() == MENDED
    assert (root / f"odd/{name}.go").read_bytes() == data


def test_a_kill_while_writing_leaves_every_file_whole(tmp_path: Path) -> None:
    names = [f"p{number}/a.go" for number in range(40)]
    root = project(tmp_path, dict.fromkeys(names, RACY))
    for delay in (0.3, 0.5, 0.6, 0.7, 0.9):
        for name in names:
            (root / name).write_text(RACY)
        with subprocess.Popen(
            [*COMMAND, "fix", "--write"], cwd=root, stderr=subprocess.DEVNULL
        ) as c:
            time.sleep(delay)
            c.kill()
        assert all((root / name).read_text() in {RACY, MENDED} for name in names)


# -- terminals -------------------------------------------------------------------------------


def on_a_terminal(root: Path, *arguments: str, **environment: str) -> str:
    """Run with all three streams on a terminal; return what it showed."""
    primary, secondary = pty.openpty()
    settings = plain_environment() | {"TERM": "xterm-256color", "COLUMNS": "60"} | environment
    child = subprocess.Popen(
        [*COMMAND, *arguments], cwd=root, stdin=secondary, stdout=secondary, stderr=secondary,
        env=settings,
    )  # fmt: skip
    os.close(secondary)
    shown = b""
    while True:
        try:
            chunk = os.read(primary, 65536)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    os.close(primary)
    child.wait()
    return shown.decode("utf-8", "replace")


def test_on_a_terminal_findings_and_diffs_are_coloured(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": RACY})
    check = on_a_terminal(root, "check")
    assert "\x1b[1;31m^^^^^^^^^\x1b[0m" in check
    assert "\x1b[1;36m^^^^^^^^^^^ ...\x1b[0m" in check
    diff = on_a_terminal(root, "fix")
    for colour, sign in ((32, "+"), (31, "-")):
        assert re.search(rf"\x1b\[{colour}m\{sign} .*\x1b\[{colour}mwg.Add\(1\)\x1b\[0m", diff)


def test_no_color_and_dumb_terminals_get_none(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": RACY})
    assert "\x1b[" not in on_a_terminal(root, "check", NO_COLOR="1", TERM="dumb")
    assert "\x1b[" in run("check", cwd=root, FORCE_COLOR="1").out
    assert "\x1b[" not in run("check", cwd=root).out


def test_nothing_is_taken_for_markup_or_wrapped(tmp_path: Path) -> None:
    folder = "[bold]" + "x" * 90
    root = repository(tmp_path, {f"{folder}/a.go": RACY})
    assert f"{folder}/a.go" in on_a_terminal(root, "check").replace("\x1b[0m", "")
    assert f"+++ b/{folder}/a.go" in run("fix", cwd=root).out
