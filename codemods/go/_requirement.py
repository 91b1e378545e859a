"""What a module needs to import a dependency: edits of go.mod and go.sum, or why there are none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from threadmend.golang.builders.modfile import add_requirement, add_requirements
from threadmend.golang.workspace import Module
from threadmend.model import Edit
from threadmend.recipes.files import ProjectFiles
from threadmend.source import SourceFile

__all__ = ["Dependency", "Need", "needed", "numbers"]


@dataclass(frozen=True, slots=True)
class Dependency:
    """A module in the version that is written, and what goes with it.

    `sums` are lines of go.sum, as the checksum database has them. `demands` says what that
    version requires: a module that has less of it must be brought up by the go command.
    `brings` is a module that no go.mod names unless something else needs it, `package` the folder
    that is imported, where it is not the module's own.
    """

    path: str
    version: str
    sums: tuple[str, ...]
    demands: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    brings: tuple[str, str] | None = None
    test: bool = False
    package: str = ""

    @property
    def get(self) -> str:
        """Return the command that requires it."""
        if self.package:
            return f"go get {self.path}/{self.package}"
        return f"go get {'-t ' if self.test else ''}{self.path}@{self.version}"


@dataclass(frozen=True, slots=True)
class Need:
    """The edits that let a module import a dependency, or the reason why there are none."""

    edits: tuple[Edit, ...] = ()
    reason: str = ""
    command: str = ""
    """What is still to be run."""


def needed(project: ProjectFiles, module: Module, wanted: Dependency) -> Need:
    """Return what it takes to import a dependency in a module."""
    path = f"{module.directory}/go.mod".lstrip("/")
    source = project.go.source(path)
    folder = f"{module.directory}/" if module.directory else ""
    vendored = [p for p in project.go.go_files if p.startswith(f"{folder}vendor/")]
    below = f"{folder}vendor/{wanted.path}/{wanted.package}".rstrip("/") + "/"
    known = wanted.path in module.requires or wanted.path == module.path
    if known and _has(vendored, below if wanted.package else ""):
        indirect = re.escape(wanted.path.encode()) + rb"[ \t]+v\S+[ \t]+// indirect"
        return Need(command="go mod tidy" if re.search(indirect, source.data) else "")
    if vendored:
        return Need(reason=f"the module is vendored: run {wanted.get} && go mod vendor first")
    sums = project.text(f"{folder}go.sum")
    can = module.go_version >= (1, 17) and wanted.path.encode() not in source.data
    newer = sums is not None and _knows_newer(sums.data, wanted)
    if not can or newer or _is_behind(module, wanted):
        return Need(reason=f"go.mod has to be changed by the go command: run {wanted.get} first")
    if sums is None and module.requires:
        return Need(reason=f"there is no go.sum to write to: run {wanted.get} first")
    edits = (*_required(source, module, wanted), *_summed(sums, f"{folder}go.sum", wanted))
    others = sorted(m.directory or "." for m in project.go.modules if module.path in m.requires)
    also = f", also in {', '.join(others)}" if others and not wanted.test else ""
    return Need(edits, command=f"go mod tidy{also}")


def _has(vendored: list[str], folder: str) -> bool:
    """Return whether a module that is vendored has a folder; others have them all."""
    return not vendored or any(path.startswith(folder) for path in vendored)


def _knows_newer(sums: bytes, wanted: Dependency) -> bool:
    """Return whether some module of the build wants a newer version, which would be selected."""
    ours = numbers(wanted.version)
    lines = re.finditer(rb"^" + re.escape(wanted.path.encode()) + rb" (v[^\s/]+)", sums, re.M)
    return any(numbers(line[1].decode()) > ours for line in lines)


def _is_behind(module: Module, wanted: Dependency) -> bool:
    if any(_less(module.requires.get(p), v) for p, v in wanted.demands.items()):
        return True
    if wanted.brings is None:
        return False
    path, version = wanted.brings
    return module.requires.get(path, version) < version  # dates in them compare as text


def _less(version: str | None, wanted: tuple[int, int, int]) -> bool:
    return version is not None and bool(numbers(version)) and numbers(version) < wanted


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version: (1, 3, 0) of v1.3.0, () of what is none."""
    found = re.match(r"v(\d+)\.(\d+)\.(\d+)", version)
    return tuple(map(int, found.groups())) if found else ()


def _required(source: SourceFile, module: Module, wanted: Dependency) -> tuple[Edit, ...]:
    direct = (wanted.path, wanted.version)
    if wanted.brings is None or wanted.brings[0] in module.requires:
        return (add_requirement(source, *direct),)
    return add_requirements(source, direct, wanted.brings)


def _summed(sums: SourceFile | None, path: str, wanted: Dependency) -> tuple[Edit, ...]:
    """Return the edits of go.sum, which is sorted by module."""
    data, newline = (b"", b"\n") if sums is None else (sums.data, sums.newline)
    places: dict[int, list[bytes]] = {}
    for line in (line.encode() for line in wanted.sums):
        if line not in data:
            places.setdefault(_place(data, line.split(b" ")[0]), []).append(line)
    return tuple(
        Edit(path, at, at, _lead(data, at, newline) + b"".join(line + newline for line in lines))
        for at, lines in places.items()
    )


def _place(data: bytes, module: bytes) -> int:
    at = 0
    for line in data.splitlines(keepends=True):
        if line.split(b" ")[0] > module:
            break
        at += len(line)
    return at


def _lead(data: bytes, at: int, newline: bytes) -> bytes:
    return newline if data[:at] and not data[:at].endswith(b"\n") else b""
