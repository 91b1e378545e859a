"""settle(): rounds of fixes until nothing is left to do, with an outcome for every finding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from threadmend import parallel
from threadmend.analysis import Options, Progress, Veto, reported
from threadmend.cache import remembered
from threadmend.compose import Claims, Edits, apply_edits, by_path, unshift
from threadmend.importers import importers
from threadmend.judge import Attempt, Judge, Verdict, aligned, directory
from threadmend.model import (
    Confidence,
    Finding,
    Order,
    Outcome,
    OutcomeKind,
    Patch,
    Safety,
)
from threadmend.permit import forbidden
from threadmend.project import Project

__all__ = ["ROUNDS", "Settler", "settle"]

ROUNDS = 10
"""After so many rounds what is left to do is reported instead of done."""

_AGAIN = 4
"""How often everything is done anew without fixes that others would undo."""
_SAFETY = {Safety.SAFE: 0, Safety.UNSAFE: 1, Safety.MANUAL: 2}
_CONFIDENCE = {Confidence.HIGH: 0, Confidence.MEDIUM: 1, Confidence.LOW: 2}


@dataclass(slots=True)
class _Case:
    """A finding on its way through the rounds."""

    first: Finding
    """As it was found, at its place in the text before any fix."""
    now: Finding
    """As it is in the current text."""
    refused: dict[str, str] = field(default_factory=dict)
    """Titles of fixes that were refused, and why."""
    lost_to: str = ""
    """The rule whose fix took the bytes in this round."""


def settle(project: Project, options: Options, progress: Progress | None = None) -> Patch:
    """Return the patch and the outcomes of engine.fix()."""
    return Settler(project, options, progress).patch(options.vetoes)


class Settler:
    """What a project's findings are, found once, for patches with and without some fixes."""

    def __init__(
        self, project: Project, options: Options, progress: Progress | None = None
    ) -> None:
        self.project = project
        self.options = options
        with parallel.quiet():
            self._answers, self._about = remembered(project, options, progress)
            self._chosen = list(reported(self._answers.findings, project, options))

    def patch(self, vetoes: Mapping[Veto, str]) -> Patch:
        """Return the patch without the fixes that are vetoed, and why those are refused.

        Fixes that others would undo are not made either: it would be left to chance which of
        them stays.
        """
        answers = self._answers
        with parallel.quiet():
            for _ in range(_AGAIN):
                options = replace(self.options, vetoes=vetoes)
                run = _Run(self.project, options, answers.findings, self._chosen)
                run.rounds()
                if not run.undone.keys() - vetoes.keys():
                    break
                vetoes = {**run.undone, **vetoes}
            patch = run.patch()
        return replace(patch, unreadable=self._about.unreadable, failures=tuple(answers.failures))


class _Run:
    """One call of settle()."""

    def __init__(
        self,
        project: Project,
        options: Options,
        findings: Iterable[Finding],
        chosen: Iterable[Finding],
    ) -> None:
        self._start = project
        self._options = options
        self._judge = Judge(project, options, findings)
        self._cases = [_Case(finding, finding) for finding in chosen]
        self._outcomes: list[Outcome] = []
        self._steps: list[tuple[str, str, bytes]] = []
        self._edits: list[Edits] = []
        self._taken: dict[str, list[list[Veto]]] = {}
        self.undone: dict[Veto, str] = {}
        """The fixes that were made and that a later one would have undone."""

    # -- rounds ---------------------------------------------------------------------------

    def rounds(self) -> None:
        """Apply fixes until there is none to apply."""
        confirmed: set[str] = set()
        for _ in range(ROUNDS):
            if self._round():
                continue
            importers = self._importers() - confirmed
            confirmed |= importers
            if not importers or not self._follow(self._judge.again(importers), importers):
                return

    def _round(self) -> bool:
        """Apply what can be applied together; return whether anything was tried."""
        attempts: dict[Attempt, _Case] = {}
        claims = Claims()
        for case in sorted(self._cases, key=self._rank):
            case.lost_to = ""
            choice = self._choice(case)
            if choice is None:
                continue
            attempt = Attempt(case.now, choice)
            case.lost_to = claims.conflict(attempt.fix.edits) or ""
            if not case.lost_to:
                claims.take(attempt.fix.edits, case.first.rule)
                attempts[attempt] = case
        if not attempts:
            return False
        verdict, good, refused = self._judge.settle(list(attempts))
        for attempt, reason in refused.items():
            attempts[attempt].refused[attempt.fix.title] = reason
            self._note_circle(attempt, reason)
        if good:
            self._take(verdict, good, [attempts[attempt] for attempt in good])
        return True

    def _note_circle(self, attempt: Attempt, reason: str) -> None:
        """Note the fixes that a refused one would have undone."""
        found = self._judge.circle(attempt)
        if found is not None:
            path, number = found
            self.undone.update((v, reason) for vetoes in self._taken[path][number:] for v in vetoes)

    def _rank(self, case: _Case) -> tuple[int, int, Order]:
        """Return the key that puts the best fixes first, the same way everywhere."""
        return (_SAFETY[case.now.safety], _CONFIDENCE[case.now.confidence], case.now.order)

    def _choice(self, case: _Case) -> int | None:
        """Return the first fix that may be applied."""
        for number, offered in enumerate(case.now.fixes):
            allowed = offered.safety is Safety.SAFE or (
                offered.safety is Safety.UNSAFE and self._options.unsafe
            )
            if not allowed or offered.title in case.refused:
                continue
            vetoes, order = self._options.vetoes, case.first.order
            reason = vetoes.get((order, offered.title)) or vetoes.get((order, ""))
            reason = reason or forbidden(offered, self._judge.project)
            if reason is None:
                return number
            case.refused[offered.title] = reason
        return None

    def _take(self, verdict: Verdict, good: Sequence[Attempt], cases: Sequence[_Case]) -> None:
        """Make the composed text the current one, and follow the findings into it."""
        rules = sorted({attempt.finding.rule for attempt in good})
        self._record(good, rules)
        self._judge.accept(verdict, rules)
        for path in verdict.texts:
            self._taken.setdefault(path, []).append(
                [
                    (case.first.order, attempt.fix.title)
                    for attempt, case in zip(good, cases, strict=True)
                    if any(edit.path == path for edit in attempt.fix.edits)
                ]
            )
        self._edits.append(verdict.edits)
        done = {id(case) for case in cases}
        self._outcomes += [
            Outcome(case.first, OutcomeKind.FIXED, fix=attempt.fix)
            for attempt, case in zip(good, cases, strict=True)
        ]
        self._cases = [case for case in self._cases if id(case) not in done]
        self._follow(verdict, verdict.directories, rules)

    def _follow(
        self, verdict: Verdict, directories: Iterable[str], rules: Sequence[str] = ()
    ) -> bool:
        """Find the open cases again in a new text; return whether there are new ones."""
        asked = set(directories)
        run = {rule.name for rule in self._options.rules}
        open_cases = {case.now: case for case in self._cases}
        still: list[_Case] = []
        new = False
        seen: set[int] = set()
        for finding in verdict.findings:
            case = open_cases.get(verdict.origin.get(finding, finding))
            if case is not None:
                case.now = finding
                still.append(case)
                seen.add(id(case))
            elif finding.rule in run and self._wants(finding, verdict):
                still.append(_Case(self._placed(finding), finding))
                new = True
        for case in self._cases:
            if id(case) in seen:
                continue
            if directory(case.now.path) not in asked:
                still.append(case)
            else:
                by = f"by the fix of {' and '.join(rules)}" if rules else "by the other fixes"
                self._outcomes.append(Outcome(case.first, OutcomeKind.FIXED, by))
        self._cases = still
        return new

    def _wants(self, finding: Finding, verdict: Verdict) -> bool:
        """Return whether a finding that nobody had before is one to report."""
        if verdict.origin.get(finding) is not finding or not self._options.wants(finding.path):
            return False
        return bool(reported([finding], self._judge.project, self._options))

    def _placed(self, finding: Finding) -> Finding:
        """Return a finding of the current text at its place in the first."""
        start, end = finding.start, finding.end
        for edits in reversed(self._edits):
            start, end = (unshift(edits, finding.path, offset) for offset in (start, end))
        return replace(finding, start=start, end=max(start, end))

    def _importers(self) -> set[str]:
        """Return the folders of packages that may see what changed, without the changed ones."""
        paths = {path for edits in self._edits for path in edits}
        return importers(self._start, self._judge.project, paths)

    # -- the result -----------------------------------------------------------------------

    def _record(self, good: Sequence[Attempt], rules: Sequence[str]) -> None:
        """Note the text of each file after each rule of the round, for commits by rule."""
        known = list(dict.fromkeys(rule for rule, _, _ in self._steps))
        order = [rule for rule in known if rule in rules]
        order += [rule for rule in rules if rule not in known]
        for number, rule in enumerate(order, 1):
            so_far = order[:number]
            some = by_path(edit for a in good if a.finding.rule in so_far for edit in a.fix.edits)
            edits = aligned(self._judge.project, some)
            touched = {e.path for a in good if a.finding.rule == rule for e in a.fix.edits}
            for path in sorted(touched):
                project = self._judge.project
                data = project.source(path).data if path in project else b""
                self._steps.append((rule, path, apply_edits(data, edits[path])))

    def patch(self) -> Patch:
        """Return the patch and what became of every finding."""
        before: dict[str, bytes | None] = {}
        after: dict[str, bytes | None] = {}
        for path in sorted({path for edits in self._edits for path in edits}):
            old = self._start.source(path).data if path in self._start else None
            new = self._judge.project.source(path).data
            if old != new:
                before[path], after[path] = old, new
        outcomes = self._outcomes + [self._outcome(case) for case in self._cases]
        return Patch(
            before=before,
            after=after,
            outcomes=tuple(sorted(outcomes, key=lambda outcome: outcome.finding.order)),
            by_rule=self._by_rule(after),
        )

    def _outcome(self, case: _Case) -> Outcome:
        finding = case.first
        if case.refused:
            reason = "; ".join(dict.fromkeys(case.refused.values()))
            return Outcome(finding, OutcomeKind.REFUSED, reason)
        if case.lost_to:
            reason = f"touches the same bytes as a fix of {case.lost_to}; run again"
            return Outcome(finding, OutcomeKind.CONFLICT, reason)
        if not case.now.fixes:
            return Outcome(finding, OutcomeKind.MANUAL, case.now.reason)
        best = case.now.fixes[0]
        if self._choice(case) is not None:
            reason = f"did not settle in {ROUNDS} rounds"
            return Outcome(finding, OutcomeKind.REFUSED, reason)
        kind = OutcomeKind.UNSAFE if best.safety is Safety.UNSAFE else OutcomeKind.MANUAL
        return Outcome(finding, kind, best.reason)

    def _by_rule(self, after: dict[str, bytes | None]) -> dict[str, dict[str, bytes | None]]:
        """Cut the way to `after` into one step per rule, in the order of first use.

        A file that a rule came back to after another one belongs, from there on, to the
        step of the last rule that touched it.
        """
        order = list(dict.fromkeys(rule for rule, _, _ in self._steps))
        result: dict[str, dict[str, bytes | None]] = {}
        shown: dict[str, bytes | None] = {
            p: self._start.source(p).data for p in after if p in self._start
        }
        for number, rule in enumerate(order, 1):
            applied = set(order[:number])
            step: dict[str, bytes | None] = {}
            for path in after:
                text = shown.get(path)
                for name, touched, data in self._steps:
                    if touched == path:
                        if name not in applied:
                            break
                        text = data
                if text != shown.get(path):
                    step[path] = shown[path] = text
            if step:
                result[rule] = step
        return result
