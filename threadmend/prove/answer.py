"""Answer: the patch for the symptoms of some reports, and what became of each of them.

First the findings that explain a symptom are fixed, hints included: what a run showed needs
no further proof. Where that mends nothing, rules are asked again with the symptom as
evidence. Nothing else is touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from threadmend.engine import Options, Progress, fix
from threadmend.model import Confidence, Outcome, OutcomeKind, Patch
from threadmend.project import Project
from threadmend.prove.connect import Connections, is_connected
from threadmend.prove.locate import Located, locate
from threadmend.prove.remap import Remap
from threadmend.prove.symptom import Symptom

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
        connected=Connections(placed),
    )
    first = fix(project, options, progress)
    replies = _replies(located, first.outcomes, project)
    open_ = [reply.located for reply in replies if not reply.fixed and reply.located.tops]
    evidence = [e for one in open_ if (e := one.evidence) is not None]
    if not evidence:
        return Answer(first, replies, stale)
    second = _by_evidence(project, first, open_, options, progress)
    later = _replies(open_, second.outcomes, project)
    by_symptom = {id(reply.located): reply for reply in later}
    merged = tuple(_merge(reply, by_symptom.get(id(reply.located))) for reply in replies)
    return Answer(_together(first, second), merged, stale)


def _distinct(located: Iterable[Located]) -> list[Located]:
    """Return the symptoms without those that show the same places in the same way."""
    found: dict[object, Located] = {}
    for one in located:
        tops = tuple(sorted((p.path, p.line) for p in one.tops))
        kind = one.symptom.kind
        key = (kind, tops, one.symptom.message) if tops else (kind, id(one))
        found.setdefault(key, one)
    return list(found.values())


def _replies(
    located: Sequence[Located], outcomes: Sequence[Outcome], project: Project
) -> tuple[Reply, ...]:
    return tuple(
        Reply(one, tuple(o for o in outcomes if is_connected(one, o.finding, project)))
        for one in located
    )


def _by_evidence(
    project: Project,
    first: Patch,
    open_: Sequence[Located],
    options: Options,
    progress: Progress | None,
) -> Patch:
    """Fix again, with the symptoms that are left as evidence in the text so far."""
    evidence = [e for one in open_ if (e := one.evidence) is not None]
    start = project.with_evidence(evidence)
    if first.after:
        start = start.with_files(first.after)
    return fix(start, replace(options, connected=Connections(open_)), progress)


def _merge(reply: Reply, later: Reply | None) -> Reply:
    if later is None or not (later.fixed or later.outcomes):
        return reply
    kept = {outcome.finding: outcome for outcome in reply.outcomes}
    kept.update({outcome.finding: outcome for outcome in later.outcomes})
    return replace(reply, outcomes=tuple(kept.values()))


def _together(first: Patch, second: Patch) -> Patch:
    """Return two patches, one after the other, as one."""
    before = {**second.before, **first.before}
    after = {**first.after, **second.after}
    same = {path for path in after if before[path] == after[path]}
    fixed = {o.finding for o in second.outcomes}
    outcomes = [o for o in first.outcomes if o.finding not in fixed]
    return Patch(
        before={path: text for path, text in before.items() if path not in same},
        after={path: text for path, text in after.items() if path not in same},
        outcomes=tuple(sorted([*outcomes, *second.outcomes], key=lambda o: o.finding.order)),
        unreadable=first.unreadable,
        failures=tuple(dict.fromkeys([*first.failures, *second.failures])),
        by_rule={**first.by_rule, **second.by_rule},
    )
