"""mend(): run the tests, fix what they show, run them again, until nothing is left to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from threadmend.engine import Options, Veto, fixes
from threadmend.model import OutcomeKind, Patch
from threadmend.project import Project
from threadmend.prove.answer import Reply, answer
from threadmend.prove.bisect import Make, proved_and_seen
from threadmend.prove.compare import Comparison, Laboratory, Wants
from threadmend.prove.evidence import PackageRun, Trial, signature
from threadmend.prove.levels import Level
from threadmend.prove.packages import Shop
from threadmend.prove.proof import Examined, Examiner
from threadmend.prove.symptom import Symptom

__all__ = ["Mended", "mend"]

ROUNDS = 6
_TRIES = 3
"""How many ways to mend the same symptoms are tried in a round."""

Tell = Callable[[str], None]


@dataclass
class Mended:
    """What mend() did: the patch, each package's tests at first and at last, and what is left."""

    project: Project
    """With the patch."""
    patch: Patch
    comparisons: list[Comparison]
    replies: tuple[Reply, ...] = ()
    """What became of the symptoms that are left."""
    rounds: int = 0


def mend(
    project: Project, shop: Shop, how: Trial, options: Options, wants: Wants, tell: Tell
) -> Mended:
    """Mend what the tests of a project show; nothing is written.

    In every round the symptoms are answered, and when that does not help, what the rules find
    in those packages is fixed, and in those where tests fail without a symptom. A patch stays
    when build, vet and tests have nothing against it and something that was wrong is not any
    more.
    """
    laboratory = Laboratory(project, shop, how)
    first = laboratory.run({}, laboratory.packages(wants))
    run = _Run(project, shop, how, options, dict(first))
    rounds = 0
    while rounds < ROUNDS and run.ill:
        rounds += 1
        tell(f"round {rounds}: {_said(run.symptoms) or 'failing tests'}")
        if not run.round():
            break
    comparisons = [
        Comparison(name, before, run.last[name] if run.last[name] is not before else None)
        for name, before in first.items()
    ]
    patch = replace(run.patch, evidence=_evidence(run.patch, comparisons, how))
    return Mended(run.project, patch, comparisons, run.replies, rounds)


def _said(symptoms: Sequence[Symptom]) -> str:
    kinds: dict[str, int] = {}
    for symptom in symptoms:
        kinds[symptom.message] = kinds.get(symptom.message, 0) + 1
    return ", ".join(f"{what}{f' (×{n})' if n > 1 else ''}" for what, n in kinds.items())


@dataclass
class _Run:
    """One call of mend(): the text so far, and what its tests showed last."""

    project: Project
    shop: Shop
    how: Trial
    options: Options
    last: dict[str, PackageRun]
    patch: Patch = field(default_factory=Patch)
    replies: tuple[Reply, ...] = ()

    @property
    def symptoms(self) -> list[Symptom]:
        """Return what is wrong, each thing once."""
        found = {signature(s): s for run in self.last.values() for s in run.symptoms}
        return list(found.values())

    @property
    def ill(self) -> tuple[str, ...]:
        """Return the packages with symptoms, and those in which tests just fail."""
        return tuple(sorted(n for n, run in self.last.items() if run.symptoms or run.failed))

    def round(self) -> bool:
        """Try what may help; return whether something did, which is then in the text."""
        ways = (self._by_symptom, self._by_finding) if self.symptoms else (self._by_finding,)
        for make in ways:
            for patch, seen in self._tries(make):
                if not _helps(seen.comparisons):
                    continue
                self.patch = _together(self.patch, patch)
                self.project = self.project.with_files(patch.after)
                for comparison in seen.comparisons:
                    if comparison.directory in self.last:
                        self.last[comparison.directory] = comparison.last
                return True
        return False

    def _tries(self, make: Make) -> Iterator[tuple[Patch, Examined]]:
        """Yield patches that nothing can be said against, each with other fixes."""
        vetoes: dict[Veto, str] = {}
        level = Level.RACE if self.how.race else Level.TESTS
        for _ in range(_TRIES):
            patch = make(vetoes)
            if not patch.after:
                return
            examiner = Examiner(self.project, self.shop, level, self.how)
            examiner.seed(self.last)

            def again(more: Mapping[Veto, str], known: dict[Veto, str] = vetoes) -> Patch:
                return make({**known, **more})

            patch, seen = proved_and_seen(again, examiner.examine, patch)
            if patch.after:
                yield patch, seen
            vetoes = vetoes | {
                (o.finding.order, o.fix.title if o.fix else ""): "it does not help"
                for o in patch.outcomes
                if o.kind in {OutcomeKind.FIXED, OutcomeKind.REFUSED}
            }

    def _by_symptom(self, vetoes: Mapping[Veto, str]) -> Patch:
        found = answer(self.project, self.symptoms, replace(self.options, vetoes=vetoes))
        if not vetoes:
            self.replies = found.replies
        return found.patch

    def _by_finding(self, vetoes: Mapping[Veto, str]) -> Patch:
        """Fix what the rules find in packages where something is wrong, and in no others."""
        ill = self.ill
        options = replace(self.options, targets=None if "." in ill else ill, unsafe=True)
        return fixes(self.project, options)(vetoes)


def _helps(comparisons: Iterable[Comparison]) -> bool:
    """Return whether less is wrong after a patch: fewer symptoms, or tests get further."""
    before, after = (
        [run for c in comparisons for run in [getattr(c, side)] if run.ran]
        for side in ("before", "last")
    )
    return _badness(after) < _badness(before)


def _badness(runs: Sequence[PackageRun]) -> tuple[int, int, int]:
    symptoms = {signature(symptom) for run in runs for symptom in run.symptoms}
    ended = sum(len(run.ended_by) for run in runs)
    return (ended, len(symptoms), sum(len(run.failed) for run in runs))


def _together(first: Patch, second: Patch) -> Patch:
    """Return two patches, one after the other, as one; its steps lead from text to text."""
    steps = {rule: dict(files) for rule, files in first.by_rule.items()}
    for rule, files in second.by_rule.items():
        for path, text in files.items():
            # A file that a later rule touched belongs to that rule's step from there on.
            owners = [name for name, own in steps.items() if path in own]
            later = list(steps)[list(steps).index(rule) + 1 :] if rule in steps else []
            owner = next((name for name in reversed(later) if name in owners), rule)
            steps.setdefault(owner, {})[path] = text
    return replace(
        second.behind(first),
        outcomes=(
            *(o for o in first.outcomes if o.kind is OutcomeKind.FIXED),
            *second.outcomes,
        ),
        by_rule=steps,
    )


def _evidence(patch: Patch, comparisons: Iterable[Comparison], how: Trial) -> dict[str, str]:
    runs = {comparison.directory: comparison for comparison in comparisons}
    found = {}
    for path in patch.after:
        directory = PurePosixPath(path).parent.as_posix()
        known = runs.get(directory)
        said = f": {known.said}" if known is not None and known.last.ran else ""
        found[path] = f"{directory}: go build, go vet, {how}{said}"
    return found
