"""`fix`: find, rewrite, and hand the result over as a diff, files, mails or commits."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from threadmend.cli.errors import BadInputError
from threadmend.cli.output import Output
from threadmend.cli.proving import Proving
from threadmend.cli.session import Request, Session
from threadmend.diff import FileMode, render
from threadmend.engine import fixes
from threadmend.model import OutcomeKind, Patch
from threadmend.report import json, text
from threadmend.write import write

if TYPE_CHECKING:
    from threadmend.cli.symptoms import Reports

__all__ = ["Way", "hand_over", "modes", "run"]


class Way(StrEnum):
    """How the fixes are handed over."""

    DIFF = "--diff"
    WRITE = "--write"
    INTERACTIVE = "--interactive"
    MBOX = "--mbox"
    COMMIT = "--commit"

    @classmethod
    def chosen(
        cls, *, diff: bool, write: bool, interactive: bool, mbox: bool, branch: str | None
    ) -> Way:
        """Return the way that the options ask for; raises BadInputError when they disagree."""
        asked = {
            cls.DIFF: diff,
            cls.WRITE: write,
            cls.INTERACTIVE: interactive,
            cls.MBOX: mbox,
            cls.COMMIT: branch is not None,
        }
        ways = [way for way, yes in asked.items() if yes]
        if len(ways) > 1:
            raise BadInputError(f"{' and '.join(ways)} cannot be combined; choose one")
        return ways[0] if ways else cls.DIFF


_HANDED = {Way.DIFF: "diff", Way.MBOX: "mails", Way.COMMIT: "commits"}


def run(request: Request, way: Way, *, branch: str | None, as_json: bool, proving: Proving) -> int:
    """Fix what can be fixed; returns 1 when a diff was printed or a finding is left,
    3 when a rule failed.
    """
    if as_json and way not in {Way.DIFF, Way.WRITE}:
        raise BadInputError(f"{way} has no JSON; choose --diff or --write")
    if request.reports and way is Way.INTERACTIVE:
        raise BadInputError("--from and --interactive cannot be combined")
    if request.stdin_filename is not None and way not in {Way.DIFF, Way.WRITE}:
        raise BadInputError(f"{way} needs files, not standard input")
    session, output = Session.open(request), Output()
    if way is Way.INTERACTIVE:
        from threadmend.cli.interactive import run as ask

        return ask(session, output)
    with output.progress("fixing") as progress:
        reports = _reports(session, request)
        if reports is None:
            make = fixes(session.project, session.options, progress)
        else:
            make = partial(reports.patch, progress=progress)
        patch = make({})
    if proving.wanted(way is not Way.DIFF and session.stdin_path is None):
        patch = proving.proved_if_possible(session, make, patch)
    if as_json:
        _write_or_print(session, patch, way, output, reports)
    else:
        hand_over(session, patch, way, output, branch=branch)
    _report(session, patch, output, way)
    if reports is not None:
        reports.report(output)
    if patch.failures:
        return 3
    left = any(outcome.kind is not OutcomeKind.FIXED for outcome in patch.outcomes)
    if reports is not None:
        left = reports.unanswered  # several findings may explain one symptom
    printed = bool(patch.after) and way in {Way.DIFF, Way.MBOX}
    return int(left or printed)


def _reports(session: Session, request: Request) -> Reports | None:
    """Return the reports that the fixes are to answer, if any are named."""
    if not request.reports:
        return None
    from threadmend.cli.symptoms import Reports

    return Reports.open(session, request.reports)


def modes(session: Session, patch: Patch) -> dict[str, FileMode]:
    """Return the modes that the changed files have on disk."""
    return {path: FileMode.of(session.root / path) for path in patch.after}


def hand_over(
    session: Session, patch: Patch, way: Way, output: Output, *, branch: str | None
) -> None:
    """Commit, mail, write or print a patch."""
    if way is Way.COMMIT and patch.after:
        _commit(session, patch, branch or "", output)
    elif way is Way.MBOX:
        _mail(session, patch, output)
    elif way is Way.WRITE:
        _write(session, patch, output)
    else:
        output.diff(render(patch.before, patch.after, modes=modes(session, patch)))


def _write_or_print(
    session: Session, patch: Patch, way: Way, output: Output, reports: Reports | None
) -> None:
    """Print the document, after writing the files if that is the way."""
    if way is Way.WRITE and session.stdin_path is None:
        write(session.root, patch.before, patch.after)
    diff = render(patch.before, patch.after, modes=modes(session, patch))
    document = json.fix(patch, diff, session.source)
    if reports is not None:
        document["symptoms"] = reports.document()
    output.text(json.dumps(document))


def _write(session: Session, patch: Patch, output: Output) -> None:
    """Write the files; what came from standard input goes to standard output."""
    name = session.stdin_path
    if name is None:
        write(session.root, patch.before, patch.after)
        return
    output.data(patch.after.get(name, session.overlay[name]) or b"")


def _mail(session: Session, patch: Patch, output: Output) -> None:
    from threadmend.mailbox import mailbox
    from threadmend.registry import load_rules

    output.data(mailbox(patch, load_rules(), modes=modes(session, patch)))


def _commit(session: Session, patch: Patch, branch: str, output: Output) -> None:
    from threadmend.commit import commit
    from threadmend.registry import load_rules

    made = commit(session.root, branch, patch, load_rules())
    output.note(f"{branch}: {text.count(len(made), 'commit')}; git log -p {branch}")


def _report(session: Session, patch: Patch, output: Output, way: Way) -> None:
    """Say on stderr what became of the findings."""
    for line in session.excuses():
        output.note(line)
    output.notes(text.outcome_lines(patch.outcomes, session.source, session.shown))
    output.notes(text.unreadable_lines(patch.unreadable, session.shown))
    output.notes(text.failure_lines(patch.failures, session.shown))
    where = "changed" if way is Way.WRITE else f"in the {_HANDED[way]}"
    output.note(text.outcome_summary(patch.outcomes, len(patch.after), where))
    for line in text.proof_lines(patch.outcomes):
        output.note(line)
