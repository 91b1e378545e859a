"""Project: files by path, what is generated or excluded, buffers laid over the disk."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from threadmend.config import Config, load
from threadmend.discovery import discover
from threadmend.globs import matches
from threadmend.model import Unreadable
from threadmend.recipes.files import ProjectFiles, is_recipe
from threadmend.recipes.files import is_generated as is_generated_recipe
from threadmend.source import SourceFile, UnreadableError

if TYPE_CHECKING:
    from threadmend.golang.evidence import Evidence
    from threadmend.golang.workspace import Workspace
    from threadmend.python.project import PythonProject
    from threadmend.python.syntax import Tree

__all__ = ["Project", "UnreadableError"]

LIMIT = 8 << 20
"""Larger files are not read: nobody writes them, and their syntax trees take gigabytes."""

_CLAUSE = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:\s+|//[^\n]*(?:\n|\Z)|/\*.*?\*/)*+package\s+[^\W\d]\w*", re.S
)
_GENERATED = re.compile(
    rb"^//(?:[ \t]*DO NOT EDIT\b.*|.*\bDO NOT EDIT(?: \w+)?[.!]?)[ \t]*\r?$", re.M
)
_GENERATED_PYTHON = re.compile(rb"^# (?:Code )?[Gg]enerated .*DO NOT EDIT", re.M)
_VENDORED = frozenset({"vendor", "node_modules", "third_party"})


class Project:
    """The files of one root folder. `overlay` holds bytes that stand for a file's own:
    an editor's buffer, a patched text; `None` is a file that is not there.
    """

    def __init__(
        self,
        root: Path,
        paths: Iterable[str],
        *,
        overlay: Mapping[str, bytes | None] | None = None,
        config: Config | None = None,
        named: Sequence[str] = (),
    ) -> None:
        self.root = Path(root)
        self.config = config or Config()
        self.named = tuple(named)
        self.evidence: tuple[Evidence, ...] = ()
        self.overlay = dict(overlay or {})
        present = {path for path in paths if self.overlay.get(path, b"") is not None}
        present.update(path for path, data in self.overlay.items() if data is not None)
        self.paths: tuple[str, ...] = tuple(sorted(p for p in present if not is_recipe(p)))
        self.recipes: tuple[str, ...] = tuple(sorted(p for p in present if is_recipe(p)))
        """Files around the code, which only rules about the whole project read."""
        self._known = present
        self._sources: dict[str, SourceFile] = {}
        self._unreadable: dict[str, UnreadableError] = {}
        self._excuses: dict[str, str | None] = {}
        self._inside: dict[str, bool] = {}
        self._workspace: Workspace | None = None
        self._python: PythonProject | None = None

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        config: Config | None = None,
        overlay: Mapping[str, bytes | None] | None = None,
        named: Sequence[str] = (),
    ) -> Project:
        """Open a folder: read its settings (unless given) and list its files.

        `named` are the paths that a user named: `testdata` folders, which the go tool does
        not look into, are part of the project only when named.
        """
        chosen = load(root) if config is None else config
        paths = [path for path in discover(root, recipes=True) if not _hidden_from_go(path, named)]
        return cls(root, paths, overlay=overlay, config=chosen, named=named)

    def __contains__(self, path: str) -> bool:
        return path in self._known

    @property
    def go_paths(self) -> list[str]:
        """Return the paths of Go files and module files."""
        return [p for p in self.paths if p.endswith((".go", "go.mod", "go.work"))]

    # -- content --------------------------------------------------------------------------

    def source(self, path: str) -> SourceFile:
        """Return the content of a file; raises UnreadableError(path, reason)."""
        found = self._sources.get(path)
        if found is not None:
            return found
        if path in self._unreadable:
            raise self._unreadable[path]
        try:
            source = SourceFile(path, self._read(path))
        except UnreadableError as error:
            self._unreadable[path] = error
            raise
        self._sources[path] = source
        return source

    def _read(self, path: str) -> bytes:
        data = self.overlay.get(path)
        if path in self.overlay:
            if data is None:
                raise UnreadableError(path, "is not there")
        else:
            if self._leads_out(path):
                raise UnreadableError(path, "is a symbolic link that leads out of the project")
            data = _read_file(self.root, path)
        assert data is not None
        if len(data) > LIMIT:
            raise UnreadableError(path, f"is larger than {LIMIT >> 20} MB")
        problem = _problem(path, data)
        if problem:
            raise UnreadableError(path, problem)
        return data

    @cached_property
    def _real_root(self) -> str:
        return os.path.realpath(self.root)

    def _leads_out(self, path: str) -> bool:
        folder = path.rpartition("/")[0]
        inside = self._inside.get(folder)
        if inside is None:
            real = os.path.realpath(os.path.join(self.root, folder))
            inside = self._inside[folder] = _is_below(real, self._real_root)
        if not inside:
            return True
        full = os.path.join(self.root, path)
        return os.path.islink(full) and not _is_below(os.path.realpath(full), self._real_root)

    @cached_property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """Return the files that cannot be taken, and why; reads every file."""
        for path in self.paths:
            try:
                self.source(path)
            except UnreadableError:
                continue
        found = sorted(self._unreadable.items())
        return tuple(Unreadable(p, e.reason) for p, e in found if p in self._known)

    def excuse(self, path: str) -> str | None:
        """Return why nothing is reported or edited in a file; None when it is an ordinary one."""
        if path not in self._excuses:
            self._excuses[path] = self._excuse(path)
        return self._excuses[path]

    def _excuse(self, path: str) -> str | None:
        folders = path.split("/")[:-1]
        for name in folders:
            if name in _VENDORED:
                return f"is vendored ({name}/)"
        if matches(path, self.config.exclude):
            return "is excluded by the configuration"
        try:
            data = self.source(path).data
        except UnreadableError as error:
            return error.reason
        if path not in self.overlay and os.path.islink(os.path.join(self.root, path)):
            return "is a symbolic link"
        if _is_generated(path, data):
            return "is generated"
        return None

    # -- languages ------------------------------------------------------------------------

    @property
    def go(self) -> Workspace:
        """Return the Go packages and modules; files that cannot be read are left out."""
        if self._workspace is None:
            from threadmend.golang.workspace import Workspace

            self._workspace = Workspace(self._readable_go(), self.source)
            self._workspace.evidence = self.evidence
        return self._workspace

    @property
    def python(self) -> PythonProject:
        """Return the Python files; those that cannot be read are left out."""
        if self._python is None:
            self._python = self._new_python({})
        return self._python

    def _new_python(self, trees: Mapping[str, Tree]) -> PythonProject:
        from threadmend.python.project import PythonProject

        bad = {unreadable.path for unreadable in self.unreadable}
        paths = [path for path in self.paths if path not in bad]
        package = _package(self.root) if "__init__.py" in paths else ""
        return PythonProject(paths, self.source, self.settings, trees, package)

    @property
    def files(self) -> ProjectFiles:
        """Return everything there is: the code and the files around it."""
        usual = [path for path in self.recipes if self.excuse(path) is None]
        return ProjectFiles(usual, self.source, lambda: self.go)

    def settings(self, path: str) -> bytes | None:
        """Return the content of a file that need not be there: `pyproject.toml`."""
        try:
            return self.source(path).data if path in self else None
        except UnreadableError:
            return None

    def _readable_go(self) -> list[str]:
        bad = {unreadable.path for unreadable in self.unreadable}
        return [path for path in self.go_paths if path not in bad]

    def with_files(self, changes: Mapping[str, bytes | None]) -> Project:
        """Return the project with other bytes in some files; shares what did not change."""
        changed = {
            path: data
            for path, data in changes.items()
            if path not in self._sources or self._sources[path].data != data
        }
        overlay = {**self.overlay, **changed}
        paths = [path for path in (*self.paths, *self.recipes) if path not in overlay]
        new = Project(self.root, paths, overlay=overlay, config=self.config, named=self.named)
        new._sources = {p: s for p, s in self._sources.items() if p not in changed}
        new._unreadable = {p: e for p, e in self._unreadable.items() if p not in changed}
        new._excuses = {p: e for p, e in self._excuses.items() if p not in changed}
        if self.evidence:
            new.evidence = self._followed(changed)
        if self._workspace is not None:
            from threadmend.golang.workspace import Workspace

            trees = {p: t for p, t in self._workspace._trees.items() if p not in changed}
            new._workspace = Workspace(new._readable_go(), new.source, trees)
            new._workspace.evidence = new.evidence
        if self._python is not None:
            kept = {p: t for p, t in self._python.trees.items() if p not in changed}
            new._python = new._new_python(kept)
        return new

    def _followed(self, changed: Mapping[str, bytes | None]) -> tuple[Evidence, ...]:
        from threadmend.golang.evidence import moved

        new = {path: data for path, data in changed.items() if data is not None}
        old = {path: self.source(path).data for path in new if path in self}
        return moved(self.evidence, old, new)

    def with_evidence(self, evidence: Sequence[Evidence]) -> Project:
        """Return the project with what runs of it showed; rules act upon that, too."""
        new = Project(
            self.root,
            (*self.paths, *self.recipes),
            overlay=self.overlay,
            config=self.config,
            named=self.named,
        )
        new._sources, new._excuses = dict(self._sources), dict(self._excuses)
        new._unreadable = dict(self._unreadable)
        new.evidence = tuple(evidence)
        return new


def _hidden_from_go(path: str, named: Sequence[str]) -> bool:
    """Return whether the go tool would not look at a path, and nobody named it either."""
    *folders, name = path.split("/")
    if name.startswith(("_", ".")) and name.endswith(".go"):
        return path not in named
    for depth, folder in enumerate(folders, 1):
        if folder == "testdata" or (folder.startswith("_") and path.endswith(".go")):
            top = "/".join(folders[:depth])
            return not any(one == top or one.startswith(top + "/") for one in named)
    return False


def _package(root: Path) -> str:
    """Return the dotted name by which a folder that is a Python package is imported."""
    names: list[str] = []
    folder = root.resolve()
    while folder.name and (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return ".".join(names)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _read_file(root: Path, path: str) -> bytes:
    full = os.path.join(root, path)
    try:
        # Without O_NONBLOCK a named pipe would wait for a writer.
        descriptor = os.open(full, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, RuntimeError) as error:
        raise UnreadableError(path, _words(error)) from None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError(path, "is not a regular file")
        if status.st_size > LIMIT:
            raise UnreadableError(path, f"is larger than {LIMIT >> 20} MB")
        try:
            return file.read()
        except OSError as error:
            raise UnreadableError(path, _words(error)) from None


def _words(error: Exception) -> str:
    said = error.strerror if isinstance(error, OSError) else None
    return f"cannot be read: {(said or str(error)).lower()}"


def _problem(path: str, data: bytes) -> str | None:
    if not path.endswith(".go") and not is_recipe(path):
        return None
    if b"\0" in data:
        return "holds NUL bytes"
    if not data.isascii():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            return f"is not UTF-8 (line {line})"
    if path.endswith(".go") and _CLAUSE.match(data) is None:
        return "is empty" if not data.strip() else "has no package clause"
    return None


def _is_generated(path: str, data: bytes) -> bool:
    if path.endswith(".go"):
        mark = _GENERATED.search(data) if b"DO NOT EDIT" in data else None
        if mark is None:
            return False
        clause = _CLAUSE.match(data)
        return clause is None or mark.start() < clause.end()
    if PurePosixPath(path).suffix == ".py":
        return _GENERATED_PYTHON.search(data[:2000]) is not None
    return is_recipe(path) and is_generated_recipe(data)
