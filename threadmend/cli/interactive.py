"""`fix --interactive`: ask about the fixes hunk by hunk, as `git add -p` does, and write what is
taken.

A fix is whole or absent, so a hunk is offered with everything that belongs to its fixes: the
import beside the call, the other files. Fixes whose lines would share a hunk are offered
together, and `s` splits them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from threadmend.cli.errors import BadInputError
from threadmend.cli.output import Output
from threadmend.cli.session import Session
from threadmend.compose import Claims, apply_edits, by_path
from threadmend.diff import FileMode, render
from threadmend.engine import check, fix
from threadmend.judge import aligned
from threadmend.model import Edit, Finding, Fix, OutcomeKind, Safety
from threadmend.report import text
from threadmend.report.text import Segment
from threadmend.write import write

__all__ = ["Choice", "Interview", "choices", "run"]

CONTEXT = 3

Pick = tuple[Finding, Fix]
Files = dict[str, bytes | None]
HELP = """\
y - take this hunk
n - do not take this hunk
q - quit; take neither this hunk nor the rest, write what was taken
a - take this hunk and all later ones in the file
d - take neither this hunk nor the later ones in the file
s - split this hunk into its fixes
? - print help"""


@dataclass(frozen=True)
class Choice:
    """Fixes that are asked about at once, in the order of the file."""

    picks: tuple[Pick, ...]

    @property
    def edits(self) -> list[Edit]:
        """Return the edits of all fixes."""
        return [edit for _, offer in self.picks for edit in offer.edits]

    @property
    def path(self) -> str:
        """Return the file that the first finding is in."""
        return self.picks[0][0].path

    def split(self) -> list[Choice]:
        """Return a choice for every fix."""
        return [Choice((pick,)) for pick in self.picks]


def run(session: Session, output: Output) -> int:
    """Ask about every fix and write those taken; returns 1 when a finding is left."""
    with output.progress("checking") as progress:
        report = check(session.project, session.options, progress)
        # What the engine refuses (it would not parse, or bring a new finding) is not offered.
        outcomes = fix(session.project, session.options, progress).outcomes
    output.notes(text.failure_lines(report.failures, session.shown))
    good = {o.finding.order for o in outcomes if o.kind is OutcomeKind.FIXED}
    offered = choices(session, [f for f in report.findings if f.order in good])
    if not offered:
        output.note(text.summary(report.findings, len(session.files())))
        return int(bool(report.findings))
    interview = Interview(session, output, _answer)
    interview.run(offered)
    taken = interview.taken
    before, after = _result(session, [edit for _, offer in taken for edit in offer.edits])
    _verify(session, after)
    write(session.root, before, after)
    left = text.count(len(report.findings) - len(taken), "finding")
    fixes = f"{len(taken)} {'fix' if len(taken) == 1 else 'fixes'}"
    output.note(f"{fixes} taken, {text.count(len(after), 'file')} changed; {left} left")
    return int(len(report.findings) > len(taken))


def choices(session: Session, findings: Sequence[Finding]) -> list[Choice]:
    """Return what to ask about: the best fix of each finding that the options allow."""
    picks = [
        (finding, finding.fixes[0])
        for finding in findings
        if finding.fixes and (session.options.unsafe or finding.safety is Safety.SAFE)
    ]
    offered: list[Choice] = []
    for pick in picks:
        if offered and _share_a_hunk(session, offered[-1].picks, pick):
            offered[-1] = Choice((*offered[-1].picks, pick))
        else:
            offered.append(Choice((pick,)))
    return offered


def _share_a_hunk(session: Session, group: Sequence[Pick], pick: Pick) -> bool:
    """Return whether a fix stands so near to the last of a group that git shows one hunk.

    Edits that both have, such as an added import, do not bring fixes together; fixes that
    exclude each other are not asked about at once.
    """
    claims = Claims()
    for finding, offer in group:
        claims.take(offer.edits, finding.rule)
    if claims.conflict(pick[1].edits) is not None:
        return False
    here = {edit for _, offer in group for edit in offer.edits}
    mine = set(pick[1].edits) - here
    return any(_near(session, one, other) for one in here for other in mine)


def _near(session: Session, one: Edit, other: Edit) -> bool:
    source = session.source(one.path)
    if one.path != other.path or source is None:
        return False
    first, last = sorted((one, other))
    return source.line_of(last.start) - source.line_of(first.end) <= 2 * CONTEXT


class Interview:
    """Goes through the choices, and keeps what the answers take."""

    def __init__(self, session: Session, output: Output, answer: Callable[[str], str]) -> None:
        self._session = session
        self._output = output
        self._answer = answer
        self._claims = Claims()
        self._always: dict[str, bool] = {}
        self.taken: list[Pick] = []

    def run(self, offered: Sequence[Choice]) -> None:
        """Ask about every choice until the last or `q`."""
        queue = list(offered)
        number = 1
        while queue:
            choice = queue.pop(0)
            if self._clashes(choice):
                queue[:0] = choice.split() if len(choice.picks) > 1 else []
                continue
            said = self._said(choice, f"({number}/{number + len(queue)})")
            if said == "q":
                return
            if said == "s":
                queue[:0] = choice.split()
                continue
            if said in "ya":
                self._take(choice)
            if said in "ad":
                self._always[choice.path] = said == "a"
            number += 1

    def _clashes(self, choice: Choice) -> bool:
        """Return whether a choice touches what was taken; a single fix is left for another run."""
        rule = self._claims.conflict(choice.edits)
        if rule is not None and len(choice.picks) == 1:
            finding, offer = choice.picks[0]
            where = self._session.shown(finding.path)
            self._output.note(f"{where}: left out, touches what {rule} changes: {offer.title}")
        return rule is not None

    def _take(self, choice: Choice) -> None:
        self.taken += choice.picks
        for finding, offer in choice.picks:
            self._claims.take(offer.edits, finding.rule)

    def _said(self, choice: Choice, place: str) -> str:
        """Return the letter that decides about a choice, asking until there is one."""
        if choice.path in self._always:
            return "y" if self._always[choice.path] else "n"
        letters = [*"ynqad", *("s" if len(choice.picks) > 1 else ""), "?"]
        _show(choice, self._session, self._output)
        while True:
            line = self._answer(f"{place} Take this hunk [{','.join(letters)}]? ")
            said = line.strip()[:1].lower() if line else "q"
            if said in letters and said != "?":
                return said
            if said:
                self._output.text(HELP + "\n")


def _show(choice: Choice, session: Session, output: Output) -> None:
    """Print why, and the diff of a choice alone."""
    for finding, offer in choice.picks:
        source = session.source(finding.path)
        line = source.line_of(finding.start) if source else 1
        output.lines(
            [
                (
                    Segment(f"{text.printable(session.shown(finding.path))}:{line}", "path"),
                    Segment(": "),
                    Segment(finding.rule, "rule"),
                    Segment(f": {text.printable(finding.message)}"),
                ),
                (Segment("  "), *text.fix_segments(offer)),
            ]
        )
    before, after = _result(session, choice.edits)
    modes = {path: FileMode.of(session.root / path) for path in after}
    output.diff(render(before, after, modes=modes, context=CONTEXT))


def _result(session: Session, edits: Iterable[Edit]) -> tuple[Files, Files]:
    """Return the files that edits change, before and after."""
    before: Files = {}
    after: Files = {}
    for path, own in aligned(session.project, by_path(edits)).items():
        source = session.source(path)
        before[path] = None if source is None else source.data
        after[path] = apply_edits(before[path] or b"", own)
    return before, after


def _verify(session: Session, after: Files) -> None:
    """Raise BadInputError when the fixes taken together break a file that parsed before."""
    project = session.project.with_files(after)
    for path in after:
        if not path.endswith(".go") or path not in session.project:
            continue
        if project.go.file(path).broken and not session.project.go.file(path).broken:
            raise BadInputError(f"{path}: would not parse with these fixes; nothing was written")


def _answer(prompt: str) -> str:
    """Ask on the terminal, or read the next line of a pipe; empty at its end."""
    sys.stdout.write(prompt)
    sys.stdout.flush()
    line = sys.stdin.readline()
    if not line or not sys.stdin.isatty():
        sys.stdout.write("\n")
    return line
