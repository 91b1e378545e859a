"""compare(): what a project's tests show without and with a patch, package by package."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from threadmend.model import Patch
from threadmend.project import Project
from threadmend.prove import leaks
from threadmend.prove.evidence import PackageRun, Trial, run_tests
from threadmend.prove.packages import GoPackage, Home, Shop, home_of, patterns
from threadmend.prove.stress import noisy

__all__ = ["Comparison", "Laboratory", "Wants", "compare"]

Wants = Callable[[str], bool]


@dataclass(slots=True)
class Comparison:
    """A package's tests before the patch, and after it when it may make a difference."""

    directory: str
    before: PackageRun
    after: PackageRun | None = None

    @property
    def said(self) -> str:
        """Return the counts before and after, those that are not 0 on both sides."""
        before, after = self.before.counts, self.last.counts
        changes = [
            f"{name} {before[name]} → {after[name]}"
            for name in before
            if before[name] or after[name]
        ]
        tests = f"{self.last.tests} test{'' if self.last.tests == 1 else 's'}"
        return f"{tests}, {', '.join(changes) or 'clean before and after'}"

    @property
    def last(self) -> PackageRun:
        """Return what is so with the patch."""
        return self.after or self.before


class Laboratory:
    """Runs the tests of a project's packages, with other bytes in some of its files."""

    def __init__(self, project: Project, shop: Shop, how: Trial) -> None:
        self.project = project
        self.shop = shop
        self.how = how
        self._judge = leaks.judge(shop.tool) if how.judged else {}
        self._homes: dict[Home, dict[Path, GoPackage]] = {}

    def packages(self, wants: Wants) -> list[Path]:
        """Return the folders below the project that have Go files and are wanted."""
        return sorted(
            {
                (self.shop.root / path).parent
                for path in self.project.paths
                if path.endswith(".go") and wants(path) and not _vendored(path)
            }
        )

    def touched(self, patch: Patch, directories: Iterable[Path]) -> list[Path]:
        """Return those of the folders that a patch changes, or whose packages import one."""
        changed = {(self.shop.root / path).parent for path in patch.after}
        found = []
        for home, packages in self._loaded(directories).items():
            del home
            paths = {p.path for d, p in packages.items() if d in changed}
            found += [d for d, p in packages.items() if d in changed or p.imports & paths]
        return sorted(found)

    def run(
        self, files: Mapping[str, bytes | None], directories: Iterable[Path]
    ) -> dict[str, PackageRun]:
        """Return what the tests of packages show, by folder of the project."""
        found: dict[str, PackageRun] = {}
        for home, packages in self._loaded(directories).items():
            tested = {d: p for d, p in packages.items() if p.has_tests}
            for directory in packages.keys() - tested.keys():
                name = directory.relative_to(self.shop.root).as_posix()
                found[name] = PackageRun(name, reason="has no tests")
            if tested:
                for run in self._tests(home, files, tested).values():
                    found[run.directory] = run
        return dict(sorted(found.items()))

    def _tests(
        self, home: Home, files: Mapping[str, bytes | None], packages: Mapping[Path, GoPackage]
    ) -> dict[Path, PackageRun]:
        laid = {**self.project.overlay, **files}
        if not self.how.noise:
            return self._run(home, laid, packages)
        names = [directory.relative_to(self.shop.root).as_posix() for directory in packages]
        loud = noisy(self.project.with_files(files), names)
        found = self._run(home, {**laid, **loud}, packages)
        # Noise that does not compile is no evidence of anything.
        quiet = {d: p for d, p in packages.items() if d not in found or not found[d].ran}
        return {**found, **self._run(home, laid, quiet)} if quiet else found

    def _run(
        self, home: Home, laid: Mapping[str, bytes | None], packages: Mapping[Path, GoPackage]
    ) -> dict[Path, PackageRun]:
        overlay = self.shop.overlay(laid, home, self._judge)
        folder = Path(tempfile.mkdtemp(dir=self.shop.place))
        return run_tests(self.shop, home, overlay, packages, self.how, folder)

    def _loaded(self, directories: Iterable[Path]) -> dict[Home, dict[Path, GoPackage]]:
        """Return the packages by module, as the go command lists them; each is asked for once."""
        wanted: dict[Home, list[Path]] = {}
        for directory in directories:
            wanted.setdefault(home_of(directory, self.shop.root), []).append(directory)
        found = {}
        for home, some in wanted.items():
            known = self._homes.setdefault(home, {})
            missing = [directory for directory in some if directory not in known]
            if missing:
                overlay = self.shop.overlay(self.project.overlay, home)
                names = patterns(home, missing)
                listed, _ = self.shop.load(home, names, overlay, compiled=False)
                known.update(listed)
            found[home] = {directory: known[directory] for directory in some if directory in known}
        return found


def _vendored(path: str) -> bool:
    return path.startswith("vendor/") or "/vendor/" in path


def compare(laboratory: Laboratory, patch: Patch, wants: Wants) -> list[Comparison]:
    """Return the packages with their tests before a patch, and after it where it may matter."""
    directories = laboratory.packages(wants)
    found = [Comparison(name, run) for name, run in laboratory.run({}, directories).items()]
    if patch.after:
        touched = laboratory.touched(patch, directories)
        after = laboratory.run(patch.after, touched)
        for comparison in found:
            comparison.after = after.get(comparison.directory)
    return found
