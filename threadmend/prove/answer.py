"""Answer: the patch for the symptoms of some reports, and what became of each of them.

First the findings that explain a symptom are fixed, hints included: what a run showed needs
no further proof. Where that mends nothing, rules are asked again with the symptom as
evidence. Nothing else is touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from threadmend.engine import Options, Progress, fix
from threadmend.golang.evidence import line_map
from threadmend.model import Confidence, Outcome, OutcomeKind, Patch
from threadmend.project import Project
from threadmend.prove.connect import Connections, is_connected
from threadmend.prove.locate import Located, locate
from threadmend.prove.remap import Remap
from threadmend.prove.symptom import Kind, Symptom

__all__ = ["Answer", "Reply", "answer"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of one symptom: the outcomes that belong to it."""

    located: Located
    outcomes: tuple[Outcome, ...] = ()

    @property
    def fixed(self) -> bool:
        """Return whether a fix for it was applied."""
        return any(outcome.kind is OutcomeKind.FIXED for outcome in self.outcomes)


@dataclass(frozen=True, slots=True)
class Answer:
    """The patch, a reply for each symptom in the order of the reports, and files that differ
    from what the reports were made of.
    """

    patch: Patch
    replies: tuple[Reply, ...]
    stale: tuple[str, ...] = ()


def answer(
    project: Project,
    symptoms: Sequence[Symptom],
    options: Options,
    *,
    here: str = "",
    progress: Progress | None = None,
) -> Answer:
    """Return what mends the symptoms; `here` is the folder that relative paths start from."""
    remap = Remap(project, here)
    located = _distinct(locate(symptom, remap, project) for symptom in symptoms)
    placed = [one for one in located if one.tops]
    stale = tuple(sorted(remap.stale))
    if not placed:
        return Answer(Patch(), tuple(map(Reply, located)), stale)
    directories = {d or "." for one in placed for d in one.directories}
    targets = options.targets
    if targets is None:
        targets = None if "." in directories else tuple(sorted(directories))
    options = replace(
        options,
        targets=targets,
        unsafe=True,
        cache=False,
        confidence=Confidence.LOW,
    )
    run = _Run(project, options, located, progress)
    for stage in _STAGES:
        run.stage(stage)
    return Answer(run.patch, tuple(run.replies), stale)


_STAGES = ("near", "evidence", "wider")
"""Findings about the very places; rules with the symptoms as evidence; findings around them."""


class _Run:
    """The stages of one answer: the patch so far, and the replies."""

    def __init__(
        self,
        project: Project,
        options: Options,
        located: Sequence[Located],
        progress: Progress | None,
    ) -> None:
        self._project = project
        self._options = options
        self._progress = progress
        self.replies = [Reply(one) for one in located]
        self.patch = Patch()

    def stage(self, stage: str) -> None:
        """Fix what is left in one way."""
        left = [n for n, r in enumerate(self.replies) if not r.fixed and r.located.tops]
        if not left or (stage == "wider" and not self._any_race(left)):
            return
        there, back = self._maps()
        moved = {n: self.replies[n].located.followed(there) for n in left}
        project = self._project
        if stage == "evidence":
            evidence = [e for n in left if (e := self.replies[n].located.evidence) is not None]
            if not evidence:
                return
            project = project.with_evidence(evidence)
        if self.patch.after:
            project = project.with_files(self.patch.after)
        wider = stage == "wider"
        connected = Connections(list(moved.values()), wider=wider)
        found = fix(project, replace(self._options, connected=connected), self._progress)
        for number, one in moved.items():
            mine = [
                self._placed(outcome, project, back)
                for outcome in found.outcomes
                if is_connected(one, outcome.finding, project, wider=wider)
            ]
            known = self.replies[number]
            self.replies[number] = replace(known, outcomes=_merged(known.outcomes, mine))
        placed = tuple(self._placed(outcome, project, back) for outcome in found.outcomes)
        self.patch = _together(self.patch, replace(found, outcomes=placed))

    def _any_race(self, left: Sequence[int]) -> bool:
        return any(self.replies[n].located.symptom.kind is Kind.RACE for n in left)

    def _maps(self) -> tuple[_Lines, _Lines]:
        """Return where lines of the first text are now, and the other way round."""
        there, back = {}, {}
        for path, text in self.patch.after.items():
            old = self.patch.before.get(path)
            if old is not None and text is not None:
                there[path], back[path] = line_map(old, text), line_map(text, old)
        return there, back

    def _placed(self, outcome: Outcome, project: Project, back: _Lines) -> Outcome:
        """Return an outcome with its finding at its place in the first text."""

        def offset(path: str, at: int) -> int:
            lines = back.get(path)
            if lines is None:
                return at
            source, first = project.source(path), self._project.source(path)
            line = source.line_of(at)
            column = at - source.line_starts[line - 1]
            known = min(lines.get(line, line), len(first.line_starts))
            start = first.line_starts[known - 1]
            return min(start + column, first.line_end(start))

        finding = outcome.finding
        if not back.keys() & {finding.path, *(r.path for r in finding.related)}:
            return outcome
        start = offset(finding.path, finding.start)
        related = tuple(
            replace(r, start=offset(r.path, r.start), end=max(offset(r.path, r.start),
                    offset(r.path, r.end)))
            for r in finding.related
        )  # fmt: skip
        end = max(start, offset(finding.path, finding.end))
        return replace(outcome, finding=replace(finding, start=start, end=end, related=related))


_Lines = dict[str, dict[int, int]]


def _distinct(located: Iterable[Located]) -> list[Located]:
    """Return the symptoms without those that show the same places in the same way."""
    found: dict[object, Located] = {}
    for one in located:
        tops = tuple(sorted((p.path, p.line) for p in one.tops))
        kind = one.symptom.kind
        key = (kind, tops, one.symptom.message) if tops else (kind, id(one))
        found.setdefault(key, one)
    return list(found.values())


def _merged(known: Sequence[Outcome], more: Sequence[Outcome]) -> tuple[Outcome, ...]:
    found = {(o.finding.rule, o.finding.path, o.finding.message): o for o in known}
    found.update({(o.finding.rule, o.finding.path, o.finding.message): o for o in more})
    return tuple(found.values())


def _together(first: Patch, second: Patch) -> Patch:
    """Return two patches, one after the other, as one."""
    outcomes = _merged(first.outcomes, second.outcomes)
    return replace(
        second.behind(first),
        outcomes=tuple(sorted(outcomes, key=lambda o: o.finding.order)),
        unreadable=tuple(dict.fromkeys([*first.unreadable, *second.unreadable])),
        failures=tuple(dict.fromkeys([*first.failures, *second.failures])),
        by_rule={**first.by_rule, **second.by_rule},
    )
