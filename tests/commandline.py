"""Run the command line in a process of its own, and projects to run it on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

RACY = """\
package svc

import "sync"

func Run(jobs []func()) {
	var wg sync.WaitGroup
	for _, job := range jobs {
		go func() {
			wg.Add(1)
			defer wg.Done()
			job()
		}()
	}
	wg.Wait()
}
"""
MENDED = RACY.replace("\t\t\twg.Add(1)\n", "").replace("\t\tgo func", "\t\twg.Add(1)\n\t\tgo func")
CLEAN = "package svc\n\nfunc Add(a, b int) int { return a + b }\n"
RULE = "go/waitgroup-add-in-goroutine"


@dataclass(frozen=True)
class Result:
    """What a run said and how it ended."""

    code: int
    out: str
    err: str


def run(*arguments: str, cwd: Path, stdin: str = "", **environment: str) -> Result:
    """Run `threadmend ARGUMENTS` in a folder."""
    ended = subprocess.run(
        [sys.executable, "-m", "threadmend", *arguments],
        cwd=cwd,
        input=stdin.encode("utf-8", "surrogateescape"),
        capture_output=True,
        env=plain_environment() | environment,
        timeout=120,
        check=False,
    )
    out, err = (text.decode("utf-8", "surrogateescape") for text in (ended.stdout, ended.stderr))
    return Result(ended.returncode, out, err)


def plain_environment() -> dict[str, str]:
    """Return this process's environment without what changes colours, git or debugging."""
    dropped = ("NO_COLOR", "FORCE_COLOR", "THREADMEND_DEBUG")
    return {
        name: value
        for name, value in os.environ.items()
        if name not in dropped and not name.startswith("GIT_")
    }


def project(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files below a folder, with a go.mod, and return the folder."""
    for path, text in {"go.mod": "module example.com/svc\n\ngo 1.22\n", **files}.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def git(root: Path, *arguments: str) -> str:
    """Run git in a folder, as nobody in particular."""
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", *identity, *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        env=plain_environment(),
        check=True,
    ).stdout


def repository(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Return a project that is committed to a new repository."""
    project(root, files)
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "start")
    return root
