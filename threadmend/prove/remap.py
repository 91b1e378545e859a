"""Remap: which file of the project a report means, whatever machine it was written on.

Reports name files as the build saw them: absolute, below the module cache, as import paths
(`-trimpath`), below a container's `/app`. The function beside the path says the package; a
line outside of that function says that the file is another version of itself.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from threadmend.project import Project
from threadmend.prove.symptom import Frame
from threadmend.source import UnreadableError

__all__ = ["Place", "Remap"]

_CACHE = re.compile(r"^.*/pkg/mod/(?:cache/download/)?")
_VERSION = re.compile(r"@v[^/]+")
_FUNCTIONS = frozenset({"function_declaration", "method_declaration"})
_OUTSIDE = ("/usr/local/go/src/", "/usr/lib/go", "/site-packages/", "/dist-packages/")
_STEP = re.compile(r"\[[^\]]*\]|[().*]|-fm$|-range\d+$")


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file of the project, and the function that the report names there."""

    path: str
    line: int
    function: str = ""
    column: int = 0


class Remap:
    """Finds the project's files for the frames of reports."""

    def __init__(self, project: Project, here: str = "") -> None:
        """`here`: the folder of the project (relative) that relative paths start from."""
        self._project = project
        self._here = here
        self._known: dict[tuple[str, str], str | None] = {}
        self.stale: set[str] = set()
        """Files whose lines do not fit the functions that a report names in them."""

    def place(self, frame: Frame) -> Place | None:
        """Return where a frame is in the project, None when it is elsewhere or has changed."""
        package = _package_of(frame.function)
        key = (frame.file, package)
        if key not in self._known:
            self._known[key] = self._file(frame.file, package)
        path = self._known[key]
        if path is None:
            return None
        try:
            source = self._project.source(path)
        except UnreadableError:
            return None
        if not 1 <= frame.line <= len(source.line_starts):
            self.stale.add(path)
            return None
        if not self._fits(path, frame):
            if not frame.function.endswith("-fm"):  # a method value, where it was taken
                self.stale.add(path)
            return None
        return Place(path, frame.line, frame.function, frame.column)

    # -- the file -------------------------------------------------------------------------

    def _file(self, reported: str, package: str) -> str | None:
        name = reported.replace("\\", "/")
        own = self._in_package(name, package) if package else None
        if own is not None:
            return own
        if package and package not in {"main", "command-line-arguments"} and self._is_go(name):
            return None  # the function is of a package that the project does not have
        if any(part in name for part in _OUTSIDE):
            return None
        return self._exact(name) or self._by_suffix(name)

    def _is_go(self, name: str) -> bool:
        return name.endswith(".go") and bool(self._directories)

    @cached_property
    def _directories(self) -> dict[str, list[str]]:
        """Return the folders of every package, by import path (external tests have their own)."""
        found: dict[str, list[str]] = defaultdict(list)
        if any(path.endswith(".go") for path in self._project.paths):
            for package in self._project.go.packages:
                found[package.path].append(package.directory)
                if package.directory not in found[package.path.removesuffix("_test")]:
                    found[package.path.removesuffix("_test")].append(package.directory)
        return dict(found)

    def _in_package(self, name: str, package: str) -> str | None:
        base = name.rpartition("/")[2]
        directories = self._directories.get(package) or self._directories.get(
            package.removesuffix("_test")
        )
        found = [
            path
            for directory in directories or ()
            if (path := f"{directory}/{base}".lstrip("/")) in self._project
        ]
        if len(found) > 1:
            found.sort(key=lambda path: -_common(path, name))
        return found[0] if found else None

    def _exact(self, name: str) -> str | None:
        """Return the file that a path names: absolute, relative, or by import path."""
        root = self._project.root.resolve().as_posix()
        for start in (root, self._project.root.as_posix()):
            if name.startswith(f"{start}/"):
                inside = _plain(name[len(start) + 1 :])
                return inside if inside in self._project else None
        if not name.startswith("/") and name[1:2] != ":":
            for start in (self._here, ""):
                path = _plain(f"{start}/{name}" if start else name)
                if path in self._project:
                    return path
        trimmed = _VERSION.sub(
            "", re.sub(r"!([a-z])", lambda m: m[1].upper(), _CACHE.sub("", name))
        )
        directory, _, base = trimmed.rpartition("/")
        for found in self._directories.get(directory, ()):
            path = f"{found}/{base}".lstrip("/")
            if path in self._project:
                return path
        return None

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for path in self._project.paths:
            found[path.rpartition("/")[2]].append(path)
        return dict(found)

    def _by_suffix(self, name: str) -> str | None:
        """Return the only file that has most of the last folders in common with a path."""
        if "/pkg/mod/" in name:
            return None
        candidates = self._by_name.get(name.rpartition("/")[2], [])
        ranked = sorted(((_common(path, name), path) for path in candidates), reverse=True)
        if not ranked or (len(ranked) > 1 and ranked[0][0] == ranked[1][0]):
            return None
        return ranked[0][1]

    # -- the line -------------------------------------------------------------------------

    def _fits(self, path: str, frame: Frame) -> bool:
        """Return whether the line lies in the function of that name."""
        if not path.endswith(".go") or not _package_of(frame.function):
            return True
        tree = self._project.go.tree(path)
        source = tree.source
        start = source.line_starts[frame.line - 1]
        offset = start + len(source.indent_at(start))
        declaration = tree.declaration_at(min(offset, max(len(source.data) - 1, 0)))
        if declaration is None:
            return False
        if declaration.kind not in _FUNCTIONS:
            return "init" in frame.function or "glob." in frame.function
        name = declaration.node["name"].name
        return name in _parts(frame.function)


def _package_of(function: str) -> str:
    """Return the import path in a function's name, `""` when there is none."""
    if not function or function.startswith("<"):
        return ""
    head, slash, tail = function.rpartition("/")
    first, dot, _ = tail.partition(".")
    if not dot:
        return ""
    return (head + slash + first).replace("%2e", ".")


def _parts(function: str) -> set[str]:
    tail = function.rpartition("/")[2]
    return set(_STEP.sub(" ", tail).split())


def _plain(path: str) -> str:
    parts: list[str] = []
    for part in PurePosixPath(path).parts:
        if part == ".." and parts:
            parts.pop()
        elif part not in {"..", "."}:
            parts.append(part)
    return "/".join(parts)


def _common(path: str, name: str) -> int:
    """Return how many components two paths share at the end."""
    ours, theirs = path.split("/")[::-1], name.split("/")[::-1]
    count = 0
    for mine, other in zip(ours, theirs, strict=False):
        if mine != other:
            break
        count += 1
    return count
