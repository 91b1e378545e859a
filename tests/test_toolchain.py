"""Runs of the go command: limits, what is left behind, names of files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from threadmend.prove.overlay import Overlay
from threadmend.prove.process import Done, Limits, call, folder
from threadmend.prove.toolchain import _flags


def python(code: str, place: Path, **limits: float) -> Done:
    command = [sys.executable, "-c", code]
    return call(command, place, dict(os.environ), Limits(**limits), place)  # type: ignore[arg-type]


def test_a_call_returns_what_was_said(tmp_path: Path) -> None:
    done = python("import sys; print(1); print(2, file=sys.stderr); sys.exit(3)", tmp_path)
    assert (done.code, done.out, done.err, done.stopped) == (3, b"1\n", b"2\n", "")


def test_a_call_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open('child', 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    done = python(code, tmp_path, seconds=2)
    assert done.stopped == "took longer than 2 s"
    assert gone(int((tmp_path / "child").read_text()))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_call_that_takes_too_much_memory_is_killed(tmp_path: Path) -> None:
    code = "import time; kept = b'x' * (200 << 20); time.sleep(60)"
    done = python(code, tmp_path, memory=100 << 20)
    assert done.stopped == "took more than 100 MB of memory"


def test_a_child_that_stays_is_killed(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid)\n"
    )
    done = python(code, tmp_path, seconds=30)
    assert done.stopped == ""
    assert gone(int(done.out))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_after_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from threadmend.prove.process import Limits, call, folder\n"
        "with folder() as place:\n"
        '    child = \'import os,time; open("pid","w").write(str(os.getpid())); time.sleep(60)\'\n'
        "    print(place, flush=True)\n"
        "    call([sys.executable, '-c', child], Path('.'), dict(os.environ), Limits(), place)\n"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert started.stdout is not None
    place = Path(started.stdout.readline().decode().strip())
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text()):
        time.sleep(0.01)
    started.send_signal(number)
    started.communicate(timeout=30)
    assert started.returncode != 0
    assert not place.exists()
    assert gone(int(pid.read_text()))


def gone(process: int) -> bool:
    """Return whether a process is dead, or will be as soon as somebody asks how it ended."""
    for _ in range(200):
        try:
            os.kill(process, 0)
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


def test_read_only_folders_are_removed() -> None:
    with folder() as place:
        inside = place / "module"
        inside.mkdir()
        (inside / "file").touch()
        inside.chmod(0o500)
    assert not place.exists()


def test_flags_that_write_modules_are_dropped() -> None:
    said = "-mod=mod -tags=a,b '-ldflags=-s -w' -overlay=x.json -json -mod=vendor"
    assert _flags(said) == ["-tags=a,b", "'-ldflags=-s -w'", "-mod=vendor", "-buildvcs=false"]


def test_complaints_are_about_the_files_themselves(tmp_path: Path) -> None:
    tree, place = tmp_path / "tree", tmp_path / "o"
    (tree / "a").mkdir(parents=True)
    place.mkdir()
    overlay = Overlay(place, {tree / "a/a.go": b"package a\n", tree / "a/b.go": None})
    copy = place / "0/a.go"
    relative = os.path.relpath(copy, tree)
    said = f"# m/a\n{relative}:3:5: undefined: x ({copy}:1:1: earlier)\n./b.go:1:2: y\n"
    mine = overlay.restored(said, tree)
    assert mine == "# m/a\na/a.go:3:5: undefined: x (a/a.go:1:1: earlier)\n./b.go:1:2: y\n"
    assert f"-overlay={overlay.file}" in overlay.flags
