"""Judge a round of fixes by the text that they make together.

A fix is refused when a file no longer parses or a name is used out of its scope, when its finding
is still there, when it brings a finding that was not there before, or when it leads back to an
earlier text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from threadmend.analysis import Options, analyse
from threadmend.compose import Edits, apply_edits, by_path, shift
from threadmend.golang.builders import realign
from threadmend.golang.unknown_names import names_out_of_scope
from threadmend.importers import python_importers
from threadmend.model import Confidence, Finding, Fix, Safety, Subject
from threadmend.project import Project
from threadmend.recipes.files import is_recipe
from threadmend.recipes.yamltree import parse
from threadmend.source import UnreadableError
from threadmend.suppress import CATEGORY

__all__ = ["Attempt", "Complaint", "Judge", "Verdict", "aligned", "directory"]

_ALONE = 6
"""How many fixes are tried alone, nearest first, to find out which one is to blame."""
_TAKES = re.compile(rb"\bwith [^(\n]*:|\bR?Lock\(|\.acquire\(|\.join\(|\.wait\(|\.get\(")
"""What callers of a Python function may notice that it does now."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A fix that is to be applied, and the finding (of the current text) that it is for."""

    finding: Finding
    choice: int
    """Which of the finding's fixes."""

    @property
    def fix(self) -> Fix:
        """Return the fix."""
        return self.finding.fixes[self.choice]


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong with a composed text, and where."""

    path: str
    offset: int
    reason: str


@dataclass(slots=True)
class Verdict:
    """A composed text, what is wrong with it, and what its findings continue."""

    project: Project
    edits: Edits
    texts: dict[str, bytes]
    complaints: list[Complaint] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    """The findings of the packages that were asked again."""
    origin: dict[Finding, Finding] = field(default_factory=dict)
    """The finding of the text before that each of them continues."""
    directories: set[str] = field(default_factory=set)
    """The packages that were asked again: those of the edits, and who imports them."""


class Judge:
    """Holds the current text, and its findings by every rule that has a say.

    Those are the rules of the run and, so that no fix trades one bug for another, every
    other rule that runs by default.
    """

    def __init__(self, project: Project, options: Options, findings: Iterable[Finding]) -> None:
        """`findings` are those of the run, which may cover only a part."""
        self.project = project
        names = {rule.name for rule in options.rules}
        findings = list(findings)
        others = [r for r in options.known if r.default and not r.codemod and r.name not in names]
        if not any(_is_code(edit.path) for f in findings for x in f.fixes for edit in x.edits):
            others = []  # which speak about code
        self._rules = (*options.rules, *others)
        whole = (Subject.GO_MODULE, Subject.PYTHON_PROJECT, Subject.PROJECT)
        self._module_rules = {r.name for r in self._rules if r.subject in whole}
        self._options = replace(options, targets=None)
        self._findings: dict[str, list[Finding]] = {}
        self._complete = options.targets is None and not others
        self._history: dict[str, list[tuple[bytes, frozenset[str]]]] = {}
        if self._complete:
            self._store(findings, None)

    # -- findings of the current text -----------------------------------------------------

    def _store(self, findings: Iterable[Finding], directories: Collection[str] | None) -> None:
        """Keep the answers of packages; of module rules also those about other packages."""
        for known, kept in self._findings.items():
            if directories is None or known in directories:
                kept.clear()
            else:
                kept[:] = [f for f in kept if f.rule not in self._module_rules]
        for name in directories or ():
            self._findings.setdefault(name, [])
        for finding in findings:
            self._findings.setdefault(directory(finding.path), []).append(finding)

    def _before(self, directories: Collection[str]) -> list[Finding]:
        """Return the findings that an analysis of these packages would give now."""
        missing = [name for name in directories if name not in self._findings]
        if missing and not self._complete:
            # Module rules answer about everything at once: then everything has to be known.
            wanted = None if self._module_rules else missing
            self._store(self._analyse(self.project, wanted), wanted)
            self._complete = wanted is None
        return [
            finding
            for name in sorted(self._findings)
            for finding in self._findings[name]
            if name in directories or finding.rule in self._module_rules
        ]

    def _analyse(self, project: Project, directories: Collection[str] | None) -> list[Finding]:
        return analyse(project, self._options, rules=self._rules, directories=directories).findings

    # -- composing and judging ------------------------------------------------------------

    def settle(
        self, attempts: Sequence[Attempt]
    ) -> tuple[Verdict, list[Attempt], dict[Attempt, str]]:
        """Compose as many attempts as make a good text; return it, them, and why not others."""
        left = list(attempts)
        refused: dict[Attempt, str] = {}
        while True:
            verdict = self.compose(left)
            if not verdict.complaints:
                return verdict, left, refused
            for attempt, reason in self._culprits(verdict, left).items():
                refused[attempt] = reason
                left.remove(attempt)

    def compose(self, attempts: Sequence[Attempt], also: Collection[str] = ()) -> Verdict:
        """Return the text that the attempts make together, judged; `also` are more packages
        to ask.
        """
        edits = aligned(self.project, by_path(e for a in attempts for e in a.fix.edits))
        texts = {path: apply_edits(self._data(path), edits[path]) for path in edits}
        verdict = Verdict(self.project.with_files(texts), edits, texts)
        if not attempts:
            return verdict
        complaints = list(self._broken(verdict)) or list(self._returning(verdict, attempts))
        if not complaints:
            directories = {*map(directory, edits), *also}
            taking = [p for p, some in edits.items() if any(_TAKES.search(e.new) for e in some)]
            directories |= python_importers(verdict.project, taking)
            verdict.directories = directories
            before = self._before(directories)
            verdict.findings = self._analyse(verdict.project, directories)
            complaints = self._compare(before, verdict, {attempt.finding for attempt in attempts})
        verdict.complaints = complaints
        return verdict

    def accept(self, verdict: Verdict, rules: Iterable[str]) -> None:
        """Make a verdict's text the current one."""
        names = frozenset(rules)
        for path in verdict.texts:
            self._history.setdefault(path, []).append((self._data(path), names))
        self.project = verdict.project
        self._store(verdict.findings, verdict.directories)

    def again(self, directories: Collection[str]) -> Verdict:
        """Ask about packages that nobody edited, but whose imports changed."""
        before = self._before(directories)
        verdict = Verdict(self.project, {}, {})
        verdict.findings = self._analyse(self.project, directories)
        self._compare(before, verdict, set())
        self._store(verdict.findings, directories)
        return verdict

    def _data(self, path: str) -> bytes:
        return self.project.source(path).data if path in self.project else b""

    def _broken(self, verdict: Verdict) -> Iterable[Complaint]:
        """Yield the files that parsed before, or parsed better."""
        for path in verdict.texts:
            try:
                verdict.project.source(path)
            except UnreadableError as error:
                yield Complaint(path, 0, f"the result {error.reason}")
                continue
            if path.endswith(".go"):
                old = self.project.go.tree(path).errors if path in self.project else []
                new = verdict.project.go.tree(path).errors
                if len(new) > len(old):
                    line = verdict.project.source(path).line_of(new[0][0])
                    yield Complaint(path, new[0][0], f"the result does not parse (line {line})")
                elif path in self.project:
                    yield from self._out_of_scope(path, verdict)
            elif path.endswith((".py", ".ipynb")) and verdict.project.python.readable(path) is None:
                if path not in self.project or self.project.python.readable(path) is not None:
                    yield Complaint(path, 0, "the result does not parse")
            elif path.endswith((".yml", ".yaml")) and parse(verdict.texts[path]) is None:
                if parse(self._data(path)) is not None:
                    yield Complaint(path, 0, "the result does not parse")

    def _out_of_scope(self, path: str, verdict: Verdict) -> Iterable[Complaint]:
        """Yield the variables that an edited function names where they are not in scope."""
        seen: set[int] = set()
        for edit in verdict.edits[path]:
            at = shift(verdict.edits, path, edit.start)
            declaration = verdict.project.go.tree(path).declaration_at(at)
            if declaration is None or declaration.start in seen or not edit.new.strip():
                continue
            seen.add(declaration.start)
            names = list(names_out_of_scope(verdict.project.go.file(path), at))
            before = {n.name for n in names_out_of_scope(self.project.go.file(path), edit.start)}
            for name in names:
                if name.name not in before:
                    text = f"{name.name} is not in scope where the fix uses it"
                    yield Complaint(path, name.start, text)

    def circle(self, attempt: Attempt) -> tuple[str, int] | None:
        """Return the file that a fix alone gives an earlier text, and how many changes of it that
        text had seen.
        """
        edits = aligned(self.project, by_path(attempt.fix.edits))
        for path, some in edits.items():
            text = apply_edits(self._data(path), some)
            for number, (earlier, _) in enumerate(self._history.get(path, ())):
                if earlier == text:
                    return path, number
        return None

    def _returning(self, verdict: Verdict, attempts: Sequence[Attempt]) -> Iterable[Complaint]:
        """Yield the files that would have an earlier text again."""
        for path, text in verdict.texts.items():
            rules = {a.finding.rule for a in attempts if any(e.path == path for e in a.fix.edits)}
            for number, (earlier, _) in enumerate(self._history.get(path, ())):
                if earlier == text:
                    since = self._history[path][number:]
                    names = sorted(rules.union(*(names for _, names in since)))
                    said = f"{' and '.join(names)} undo each other"
                    yield Complaint(path, verdict.edits[path][0].start, f"did not settle: {said}")
                    break

    # -- comparing findings ---------------------------------------------------------------

    def _compare(
        self, before: Sequence[Finding], verdict: Verdict, fixed: Collection[Finding]
    ) -> list[Complaint]:
        """Pair the findings before and after; complain about those that have no partner.

        Partners have the same rule and stand at the same place (counting the edits in), or
        say the same about the same line; what is then left of a rule in a file is taken for
        old findings whose words changed. The findings that were fixed are nobody's partner.
        """
        left = [finding for finding in before if finding not in fixed]
        fresh = list(verdict.findings)
        edits = verdict.edits
        old_project, new_project = self.project, verdict.project

        def pair(old: Callable[[Finding], Hashable], new: Callable[[Finding], Hashable]) -> None:
            waiting: dict[Hashable, list[Finding]] = {}
            for finding in left:
                waiting.setdefault(old(finding), []).append(finding)
            for finding in list(fresh):
                partners = waiting.get(new(finding))
                if partners:
                    verdict.origin[finding] = partner = partners.pop(0)
                    fresh.remove(finding)
                    left.remove(partner)

        pair(
            lambda f: (f.rule, f.path, shift(edits, f.path, f.start)),
            lambda f: (f.rule, f.path, f.start),
        )
        pair(lambda f: _content(f, old_project), lambda f: _content(f, new_project))
        pair(lambda f: (f.rule, f.path), lambda f: (f.rule, f.path))
        complaints = []
        for finding in fresh:
            verdict.origin[finding] = finding
            if finding.category == CATEGORY:  # about comments, not about code
                continue
            if finding.confidence is Confidence.LOW:  # a hint that nobody sees unless asked
                continue
            line = new_project.source(finding.path).line_of(finding.start)
            place = f"{finding.path}:{line}"
            still = any(_same(finding, f, edits) for f in fixed)
            likely = finding.confidence is Confidence.HIGH
            mendable = finding.safety is Safety.SAFE or (
                finding.safety is Safety.UNSAFE and self._options.unsafe
            )
            hidden = any(_hid(f, finding, edits) for f in fixed)
            if not still and mendable and (hidden or not likely):
                continue  # a matter of hardening, or not new: a next round can mend it
            reason = (
                "the finding is still there after the fix"
                if still
                else f"the fix brings {finding.rule} at {place}: {finding.message}"
            )
            complaints.append(Complaint(finding.path, finding.start, reason))
        return complaints

    # -- whom to blame --------------------------------------------------------------------

    def _culprits(self, verdict: Verdict, attempts: Sequence[Attempt]) -> dict[Attempt, str]:
        """Return at least one attempt that a complaint is about, with the reason."""
        blamed: dict[Attempt, str] = {}
        tried: dict[Attempt, set[str]] = {}
        for complaint in verdict.complaints:
            near = sorted(attempts, key=lambda a: _distance(a, complaint, verdict.edits))
            if any(attempt in blamed for attempt in near[:1]):
                continue
            culprit = near[0]
            for attempt in near[:_ALONE] if len(near) > 1 else []:
                if attempt not in tried:
                    alone = self.compose([attempt])
                    tried[attempt] = {c.path for c in alone.complaints}
                if complaint.path in tried[attempt]:
                    culprit = attempt
                    break
            else:
                if len(near) > 1:
                    culprit = self._participant(near, complaint)
            blamed.setdefault(culprit, complaint.reason)
        return blamed

    def _participant(self, attempts: Sequence[Attempt], complaint: Complaint) -> Attempt:
        """Return the attempt with which the first of them begin to bring a complaint."""
        folder = {directory(complaint.path)}

        def brings(some: Sequence[Attempt]) -> bool:
            found = self.compose(some, folder).complaints
            return any(_where(c) == _where(complaint) for c in found)

        none, enough = min(_ALONE, len(attempts) - 1), len(attempts)
        if brings(attempts[:none]):
            none, enough = 0, none
        while enough - none > 1:
            half = (none + enough) // 2
            none, enough = (none, half) if brings(attempts[:half]) else (half, enough)
        return attempts[enough - 1]


def aligned(project: Project, edits: Edits) -> Edits:
    """Return the edits of a text with the columns of Go files as gofmt writes them.

    Columns depend on all edits of a file together, so that no fix can see to them alone.
    """
    return {
        path: realign(project.go.tree(path), some)
        if path.endswith(".go") and path in project
        else some
        for path, some in edits.items()
    }


def _is_code(path: str) -> bool:
    """Return whether rules about code look at a path."""
    return not is_recipe(path)


def directory(path: str) -> str:
    """Return the folder of a path, `""` for the root."""
    return path.rpartition("/")[0]


def _where(complaint: Complaint) -> tuple[str, str]:
    """Return what two complaints have in common that differ in the lines above them."""
    return (complaint.path, re.sub(r":\d+:", ":", complaint.reason))


def _content(finding: Finding, project: Project) -> Hashable:
    source = project.source(finding.path)
    line = source.line_text(source.line_of(finding.start))
    return (finding.rule, finding.path, finding.message, b" ".join(line.split()))


def _same(finding: Finding, fixed: Finding, edits: Edits) -> bool:
    if (finding.rule, finding.path) != (fixed.rule, fixed.path):
        return False
    return finding.message == fixed.message or finding.start == shift(
        edits, fixed.path, fixed.start
    )


def _hid(fixed: Finding, finding: Finding, edits: Edits) -> bool:
    """Return whether a finding is about the operation of a fixed one, which the fix left alone.

    What waited for ever whatever happened (a nil channel) was nothing to talk about yet.
    """
    if finding.path != fixed.path or any(
        e.start < fixed.end and fixed.start < e.end for e in edits.get(fixed.path, ())
    ):
        return False
    place = (shift(edits, fixed.path, fixed.start), shift(edits, fixed.path, fixed.end))
    return (finding.start, finding.end) == place


def _distance(attempt: Attempt, complaint: Complaint, edits: Edits) -> tuple[int, int, int]:
    """Return how far a fix is from a place of the new text: file, folder, bytes."""
    fix = attempt.fix
    if any(edit.path == complaint.path for edit in fix.edits):
        places = [shift(edits, e.path, e.start) for e in fix.edits if e.path == complaint.path]
        return (0, min(abs(place - complaint.offset) for place in places), attempt.finding.start)
    folders = {directory(edit.path) for edit in fix.edits}
    return (1 if directory(complaint.path) in folders else 2, 0, attempt.finding.start)
