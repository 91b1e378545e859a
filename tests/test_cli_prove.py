"""The command line and the Go toolchain: when it is asked, what is said, what is left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commandline import CLEAN, MENDED, RACY, plain_environment, project, run
from gotool import needs_go
from test_toolchain import gone

MISSING = RACY.replace('import "sync"', 'import (\n\t"sync"\n\n\t_ "example.org/not/here"\n)')


@needs_go
def test_write_proves_with_build_and_vet(tmp_path: Path) -> None:
    root = project(tmp_path, {"a/a.go": RACY, "b/b.go": MISSING, "c/c.go": CLEAN})
    found = run("fix", "--write", cwd=root)
    assert found.code == 0
    first, *lines = found.err.splitlines()
    assert (first, lines[0]) == ("2 fixed; 2 files changed", "1 fix proved: go build, go vet")
    assert lines[1].startswith("1 fix unproved: dependencies are missing: b/b.go:6: no required")
    assert (root / "a/a.go").read_text() == MENDED
    assert not list(root.rglob("go.sum"))


@needs_go
def test_the_json_has_proofs(tmp_path: Path) -> None:
    root = project(tmp_path, {"a/a.go": RACY})
    proof = {}
    for options in (["--prove", "build"], []):
        found = run("fix", "--output-format", "json", *options, cwd=root)
        (outcome,) = json.loads(found.out)["outcomes"]
        proof[len(options)] = outcome["proof"]
    assert proof == {2: {"result": "proved", "detail": "go build"}, 0: None}


def test_without_a_toolchain_nothing_is_proved(tmp_path: Path) -> None:
    root = project(tmp_path, {"a/a.go": RACY})
    code = "import importlib.util as u\nfind = u.find_spec\n"
    code += "u.find_spec = lambda name: None if name == 'go' else find(name)\n"
    code += "from threadmend.__main__ import main\nmain()"
    said = []
    for options in (["--write"], ["--prove", "vet"]):
        (root / "a/a.go").write_text(RACY)
        environment = plain_environment() | {"PATH": ""}
        done = subprocess.run(
            [sys.executable, "-c", code, "fix", *options],
            cwd=root, env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        said.append(done.stderr)
    assert said == [
        "1 fixed; 1 file changed\n",
        "1 fixed; 1 file in the diff\n1 fix unproved: no Go toolchain is installed\n",
    ]


def test_prove_and_no_prove_disagree(tmp_path: Path) -> None:
    found = run("fix", "--prove", "vet", "--no-prove", cwd=project(tmp_path, {"a.go": RACY}))
    assert (found.code, found.out) == (2, "")
    assert found.err == "threadmend: --prove and --no-prove cannot be combined\n"


@needs_go
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_proof_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """A compiler that never ends stands for a long build."""
    root = project(tmp_path / "tree", {"a/a.go": RACY})
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    slow = tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/pids\nexec sleep 60\n")
    slow.chmod(0o755)
    environment = plain_environment() | {
        "GOFLAGS": f"-toolexec={slow}",
        "GOCACHE": str(tmp_path / "gocache"),
        "TMPDIR": str(temporary),
    }
    command = [sys.executable, "-m", "threadmend", "fix", "--write"]
    started = subprocess.Popen(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    pids = tmp_path / "pids"
    while not (pids.exists() and pids.read_text()) and started.poll() is None:
        time.sleep(0.02)
    assert list(temporary.iterdir())
    started.send_signal(number)
    _, said = started.communicate(timeout=60)
    assert started.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number], said
    assert not list(temporary.iterdir())
    assert (root / "a/a.go").read_text() == RACY
    for pid in map(int, pids.read_text().split()):
        assert gone(pid)
