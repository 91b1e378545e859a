"""Proofs of a patch: what build and vet say after it that they did not say before.

Nothing is written: the patched files are laid over the tree (`go … -overlay`). The text after
the patch is looked at first, because it is usually clean and then there is nothing to compare.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from threadmend.importers import importers
from threadmend.model import Outcome, OutcomeKind, Patch, Proof
from threadmend.project import Project
from threadmend.prove.compare import Comparison
from threadmend.prove.constraints import Context, context_for
from threadmend.prove.evidence import PackageRun, Trial
from threadmend.prove.levels import Level
from threadmend.prove.messages import Message, excuse
from threadmend.prove.overlay import Overlay
from threadmend.prove.packages import GoPackage, Home, Shop, home_of, patterns
from threadmend.prove.retest import Retester

__all__ = ["Complaint", "Examined", "Examiner", "stamped"]

_FOREIGN_SECONDS = 120
"""What building for another platform may take: its standard library is rarely there yet."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something that a patch brought about: which tool says so, what, and of which folder."""

    tool: str
    message: Message
    directory: str

    @property
    def reason(self) -> str:
        """Return what a refused fix is told."""
        return f"{self.tool}: {self.message}"


@dataclass(slots=True)
class Examined:
    """What is wrong with a patch, and a proof for each of its files otherwise."""

    complaints: list[Complaint] = field(default_factory=list)
    proofs: dict[str, Proof] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    """The tests of the affected packages, when they were run."""


@dataclass(slots=True)
class _Sides:
    """A module, before and after the patch, and the changed files that it holds."""

    home: Home
    after: Overlay
    before: Callable[[], Overlay]
    paths: list[str]


Said = Mapping[Path, Sequence[Message]]
Ask = Callable[[Overlay, Collection[Path]], Said]


class Examiner:
    """Asks the toolchain about patches of one project."""

    def __init__(
        self, project: Project, shop: Shop, level: Level, how: Trial | None = None
    ) -> None:
        self.project = project
        self.shop = shop
        self.level = level
        self._how = how or Trial()
        self._retester = Retester(project, shop, self._how) if level.runs_tests else None

    def seed(self, runs: Mapping[str, PackageRun]) -> None:
        """Take runs of tests without any patch as they are, by folder."""
        if self._retester is not None:
            self._retester.seed(runs)

    def examine(self, patch: Patch) -> Examined:
        """Return what the toolchain says of a patch."""
        found = Examined()
        homes: dict[Home, list[str]] = {}
        for path in patch.after:
            if path.endswith(".go"):
                directory = (self.shop.root / path).parent
                homes.setdefault(home_of(directory, self.shop.root), []).append(path)
        for home, paths in homes.items():
            self._module(found, self._sides(home, paths, patch), patch)
        if self._retester is not None and not found.complaints:
            self._test(found, self._retester, patch)
        return found

    def _test(self, found: Examined, retester: Retester, patch: Patch) -> None:
        comparisons, worse = retester.test(patch)
        found.comparisons = comparisons
        found.complaints += [Complaint("go test", m, name) for name, m in worse.items()]
        said = {c.directory: self._tested(c) for c in comparisons}
        for path, proof in found.proofs.items():
            about = said.get(PurePosixPath(path).parent.as_posix())
            if proof.proved and about is not None:
                found.proofs[path] = Proof(about[0], f"{proof.detail}, {about[1]}")

    def _tested(self, comparison: Comparison) -> tuple[bool, str]:
        """Return whether a package's tests prove anything, and what they say."""
        run = comparison.last
        if run.reason == "has no tests":
            return True, "no tests"
        if not run.ran:
            return False, f"the tests do not run: {run.reason}"
        return True, str(self._how)

    def overlay(self, files: Mapping[str, bytes | None], home: Home) -> Overlay:
        """Return an overlay of files, on top of the project's own buffers."""
        return self.shop.overlay({**self.project.overlay, **files}, home)

    def _sides(self, home: Home, paths: list[str], patch: Patch) -> _Sides:
        laid: list[Overlay] = []

        def before() -> Overlay:
            if not laid:
                laid.append(self.overlay({}, home))
            return laid[0]

        return _Sides(home, self.overlay(patch.after, home), before, paths)

    # -- one module -----------------------------------------------------------------------

    def _module(self, found: Examined, sides: _Sides, patch: Patch) -> None:
        folders: dict[Path, list[str]] = {}
        for path in sides.paths:
            folders.setdefault((self.shop.root / path).parent, []).append(path)
        packages: dict[Path, GoPackage] = {}

        def compiled(overlay: Overlay, directories: Collection[Path]) -> Said:
            known, wrong = self.shop.load(sides.home, patterns(sides.home, directories), overlay)
            packages.update({**known, **packages})
            lost = wrong or [Message("", 0, "go list does not list the package")]
            return {d: known[d].said if d in known and not wrong else lost for d in directories}

        seen = self._importing(sides, patch)
        bad = self._compare(found, "go build", sides, compiled, [*folders, *seen])
        good = [d for d in (*folders, *seen) if d not in bad]
        if self.level is not Level.BUILD and good:
            bad |= self._compare(found, "go vet", sides, self._vet(sides.home), good)
        for directory, paths in folders.items():
            foreign = self._foreign(packages.get(directory), paths)
            for path in paths:
                if path not in foreign:
                    found.proofs[path] = bad.get(directory) or Proof(True, self._checks())
            for context, some in _by_context(foreign).items():
                proof = self._elsewhere(found, sides, context, some)
                found.proofs.update(dict.fromkeys(some, proof))

    def _checks(self) -> str:
        return "go build" if self.level is Level.BUILD else "go build, go vet"

    def _importing(self, sides: _Sides, patch: Patch) -> list[Path]:
        """Return the folders of packages that may see a change at somebody's top level.

        What is inside of functions cannot break whoever calls them.
        """
        after = self.project.with_files(patch.after)
        found = importers(self.project, after, list(patch.after))
        places = [self.shop.root / name for name in sorted(found)]
        return [p for p in places if home_of(p, self.shop.root) == sides.home]

    def _compare(
        self,
        found: Examined,
        tool: str,
        sides: _Sides,
        ask: Ask,
        directories: Sequence[Path],
    ) -> dict[Path, Proof]:
        """Add what is only said after the patch; return why the other folders are unproved."""
        unproved: dict[Path, Proof] = {}
        after = {d: list(said) for d, said in ask(sides.after, directories).items() if said}
        if not after:
            return unproved
        stopped = {directory: why for directory, said in after.items() if (why := _stopped(said))}
        unproved = {directory: Proof(False, why) for directory, why in stopped.items()}
        after = {directory: said for directory, said in after.items() if directory not in stopped}
        before = ask(sides.before(), list(after)) if after else {}
        for directory, said in after.items():
            known = {message.key for message in before.get(directory, ())}
            new = [message for message in said if message.key not in known]
            name = directory.relative_to(self.shop.root).as_posix()
            if new:
                found.complaints += [Complaint(tool, message, name) for message in new]
                unproved[directory] = Proof(False, f"{tool}: {new[0]}")
            elif tool != "go vet":  # which is no worse than it was
                reason = excuse(said) or f"{tool} fails without the patch, too: {said[0]}"
                unproved[directory] = Proof(False, reason)
        return unproved

    def _vet(self, home: Home) -> Ask:
        def ask(overlay: Overlay, directories: Collection[Path]) -> Said:
            names = patterns(home, directories)
            done = self.shop.run(home, "vet", *overlay.flags, "--", *names)
            said: dict[Path, list[Message]] = {d: [] for d in directories}
            for message in self.shop.said(done, home, overlay):
                place = (self.shop.root / message.path).parent if message.path else None
                for directory in [place] if place in said else said if place is None else ():
                    assert directory is not None
                    said[directory].append(message)
            return said

        return ask

    # -- other platforms ------------------------------------------------------------------

    def _foreign(
        self, package: GoPackage | None, paths: Iterable[str]
    ) -> dict[str, Context | None]:
        """Return the files that are not built here, and where they would be."""
        here = self.shop.tool.settings
        built = package.files if package else set()
        return {
            path: context_for(
                PurePosixPath(path).name,
                self.project.source(path).data if path in self.project else b"",
                here.get("GOOS", ""),
                here.get("GOARCH", ""),
            )
            for path in paths
            if package is not None and PurePosixPath(path).name not in built
        }

    def _elsewhere(
        self, found: Examined, sides: _Sides, context: Context | None, paths: Sequence[str]
    ) -> Proof:
        """Return the proof of a folder's files that are built for another platform."""
        if context is None:
            return Proof(False, "no platform builds this file")
        if self.shop.tool.settings.get("CGO_ENABLED") == "0" and any(map(self._needs_c, paths)):
            return Proof(False, "cgo is switched off")
        limits = self.shop.limits
        shop = replace(
            self.shop,
            limits=replace(limits, seconds=min(limits.seconds, _FOREIGN_SECONDS)),
        )
        directory = (self.shop.root / paths[0]).parent
        names = patterns(sides.home, [directory])
        if context.alone:
            names = [f"{names[0]}/{PurePosixPath(paths[0]).name}"]

        def compiled(overlay: Overlay, directories: Collection[Path]) -> Said:
            known, wrong = shop.load(sides.home, names, overlay, context=context)
            some = [message for package in known.values() for message in package.said]
            return {directory: [*wrong, *some]}

        bad = self._compare(found, "go build", sides, compiled, [directory])
        if directory in bad:
            return Proof(False, f"for {context}: {bad[directory].detail}")
        return Proof(True, f"go build for {context}")

    def _needs_c(self, path: str) -> bool:
        return b'import "C"' in (self.project.source(path).data if path in self.project else b"")


def _stopped(said: Sequence[Message]) -> str:
    """Return why the go command was stopped, when it was."""
    found = (m.text for m in said if m.text.startswith(("go took", "go printed")))
    return next(found, "")


def _by_context(foreign: Mapping[str, Context | None]) -> dict[Context | None, list[str]]:
    grouped: dict[Context | None, list[str]] = {}
    for path, context in foreign.items():
        # Programs of their own are looked at one by one.
        grouped.setdefault(context, []).append(path)
    return grouped


def stamped(patch: Patch, seen: Examined) -> Patch:
    """Return a patch whose outcomes say how each fix was proved, or why it was not."""
    runs = {comparison.directory: comparison for comparison in seen.comparisons}
    evidence = {}
    for path, proof in seen.proofs.items():
        directory = PurePosixPath(path).parent.as_posix()
        line = f"{directory}: {'' if proof.proved else 'unproved: '}{proof.detail}"
        run = runs.get(directory)
        evidence[path] = f"{line}: {run.said}" if run is not None and run.last.ran else line
    outcomes = tuple(_stamp(outcome, seen.proofs) for outcome in patch.outcomes)
    return replace(patch, outcomes=outcomes, evidence=evidence)


def _stamp(outcome: Outcome, proofs: Mapping[str, Proof]) -> Outcome:
    if outcome.kind is not OutcomeKind.FIXED:
        return outcome
    edits = outcome.fix.edits if outcome.fix else ()
    paths = {edit.path for edit in edits} or {outcome.finding.path}
    mine = [proofs[path] for path in sorted(paths) if path in proofs]
    if not mine:
        return outcome
    worst = next((proof for proof in mine if not proof.proved), mine[0])
    return replace(outcome, proof=worst)
