"""Session: what a command works on, opened from its options.

The paths of the command line choose what is reported; the project holds the whole repository
(or module, or folder) around them, because a lock's other half is often elsewhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from threadmend.baseline import Baseline
from threadmend.cli.errors import BadInputError
from threadmend.config import Config, load
from threadmend.discovery import changed_lines, find_root
from threadmend.engine import Options
from threadmend.model import Confidence, Rule
from threadmend.parallel import cpus
from threadmend.project import Project
from threadmend.registry import ALL, load_rules, rules_for, select
from threadmend.source import SourceFile, UnreadableError

__all__ = ["Request", "Session"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the options of a command asked for; None means that the configuration decides."""

    paths: tuple[str, ...] = ()
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    config: Path | None = None
    isolated: bool = False
    unsafe: bool = False
    no_cache: bool = False
    jobs: int | None = None
    since: str | None = None
    baseline: Path | None = None
    use_baseline: bool = True
    confidence: Confidence | None = None
    stdin_filename: str | None = None
    reports: tuple[str, ...] = ()


@dataclass
class Session:
    """An opened project, with what to run on it and how to show its paths."""

    request: Request
    root: Path
    targets: tuple[str, ...] | None
    overlay: dict[str, bytes | None] = field(default_factory=dict)

    @classmethod
    def open(cls, request: Request) -> Session:
        """Find the project that the paths lie in; raises BadInputError when there is none."""
        if request.stdin_filename is not None:
            return cls._of_stdin(request, request.stdin_filename)
        paths = [Path(path) for path in request.paths or (".",)]
        for path in paths:
            if not os.path.lexists(path):
                raise BadInputError(f"{path}: no such file or folder")
        roots = {find_root(path) for path in paths}
        if len(roots) > 1:
            several = ", ".join(sorted(str(root) for root in roots))
            raise BadInputError(f"the paths lie in different projects: {several}")
        root = roots.pop()
        return cls(request, root, _targets(root, paths))

    @classmethod
    def _of_stdin(cls, request: Request, name: str) -> Session:
        if request.paths:
            raise BadInputError("--stdin-filename names the file; give no other path")
        root = find_root(Path(name))
        path = _relative(root, Path(name))
        return cls(request, root, (path,), {path: sys.stdin.buffer.read()})

    @cached_property
    def config(self) -> Config:
        """Return the configuration, with what the command line says laid over it."""
        request = self.request
        config = load(self.root, isolated=request.isolated, file=request.config)
        if not (request.select or request.ignore):
            return config
        if request.select:
            # A selection on the command line is the whole answer, in every folder.
            overrides = tuple(replace(item, select=()) for item in config.overrides)
            config = replace(config, select=request.select, ignore=(), overrides=overrides)
        return replace(config, ignore=(*config.ignore, *request.ignore))

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """Return the rules to run."""
        known = load_rules()
        select(known, self.request.select, self.request.ignore)  # an unknown name is an error
        return rules_for(self.config, known)

    @cached_property
    def project(self) -> Project:
        """Return the project, listed but not read."""
        return Project.open(
            self.root, config=self.config, overlay=self.overlay, named=self.targets or ()
        )

    @cached_property
    def options(self) -> Options:
        """Return what the engine is to do."""
        request = self.request
        return Options(
            rules=self.rules,
            targets=self.targets,
            unsafe=request.unsafe or self.config.unsafe_fixes,
            jobs=request.jobs or self.config.jobs or cpus(),
            cache=self.config.cache and not request.no_cache,
            since=None if request.since is None else changed_lines(self.root, request.since),
            baseline=self._baseline(),
            confidence=request.confidence or self.config.confidence or self._usual_confidence,
        )

    @property
    def _usual_confidence(self) -> Confidence:
        """Hints come only when somebody asks for them: with `ALL`, or a rule by its name."""
        names = {name for rule in self.rules for name in (rule.name, rule.name.partition("/")[2])}
        asked = any(name == ALL or name in names for name in self.config.select)
        return Confidence.LOW if asked else Confidence.MEDIUM

    def _baseline(self) -> Baseline | None:
        if not self.request.use_baseline:
            return None
        file = self.request.baseline or self.configured_baseline
        return None if file is None else Baseline.load(file)

    @property
    def configured_baseline(self) -> Path | None:
        """Return the baseline file that the configuration names."""
        return None if self.config.baseline is None else self.root / self.config.baseline

    @property
    def stdin_path(self) -> str | None:
        """Return the path, in the project, of what came from standard input."""
        return None if self.request.stdin_filename is None else (self.targets or ("",))[0]

    def files(self) -> list[str]:
        """Return the paths that would be reported on, sorted."""
        named = self.targets
        chosen = [path for path in self.project.paths if path.endswith((".go", ".py", ".ipynb"))]
        if named is not None:
            chosen = [path for path in chosen if _below(path, named)]
        return [path for path in chosen if self.project.excuse(path) is None]

    def excuses(self) -> list[str]:
        """Return why a file that the user named is not looked at, a line each."""
        return [
            f"{self.shown(path)}: {reason}; left alone"
            for path in self.targets or ()
            if path in self.project and (reason := self.project.excuse(path))
        ]

    def source(self, path: str) -> SourceFile | None:
        """Return the text of a file before any fix, None when there is none."""
        try:
            return self.project.source(path) if path in self.project else None
        except UnreadableError:
            return None

    def shown(self, path: str) -> str:
        """Return a path of the project as seen from the current folder."""
        full = os.path.join(self.root, path)
        return full if self._elsewhere else os.path.relpath(full, self._here)

    @cached_property
    def _here(self) -> str:
        return os.getcwd()

    @cached_property
    def _elsewhere(self) -> bool:
        """Return whether the project is neither around the current folder nor below it."""
        here = Path(self._here)
        return not (self.root.is_relative_to(here) or here.is_relative_to(self.root))


def _targets(root: Path, paths: Sequence[Path]) -> tuple[str, ...] | None:
    named = {_relative(root, path) for path in paths}
    return None if "." in named else tuple(sorted(named))


def _relative(root: Path, path: Path) -> str:
    """Return a path below the root; links on the way to the root do not matter."""
    full = Path(os.path.abspath(path))
    if not full.is_relative_to(root):
        raise BadInputError(f"{path}: lies outside of the project {root}")
    return full.relative_to(root).as_posix()


def _below(path: str, named: Sequence[str]) -> bool:
    return any(path == name or path.startswith(name + "/") for name in named)
