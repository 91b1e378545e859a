"""`mend`: prove, fix what the tests show, prove again, and hand over the diff with its evidence."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from threadmend.cli.errors import BadInputError
from threadmend.cli.fix import Way, hand_over, modes
from threadmend.cli.output import Output
from threadmend.cli.prove import placed
from threadmend.cli.proving import Proving
from threadmend.cli.session import Request, Session
from threadmend.model import OutcomeKind
from threadmend.report import json

if TYPE_CHECKING:
    from threadmend.prove.answer import Reply
    from threadmend.prove.mend import Mended

__all__ = ["run"]


def run(request: Request, way: Way, *, branch: str | None, as_json: bool, proving: Proving) -> int:
    """Mend what the tests show; returns 1 when a diff was printed or something is left."""
    from threadmend.prove.mend import mend

    if as_json and way not in {Way.DIFF, Way.WRITE}:
        raise BadInputError(f"{way} has no JSON; choose --diff or --write")
    session, output = Session.open(request), Output()
    with proving.shop(session) as shop:
        how = proving.testing(shop.tool)
        if shop.tool.no_race:
            output.note(shop.tool.no_race)
        done = mend(session.project, shop, how, session.options, session.options.wants, output.note)
    if as_json:
        if way is Way.WRITE:
            hand_over(session, done.patch, way, output, branch=branch)
        output.text(json.dumps(_document(done, str(how), session)))
    else:
        hand_over(session, done.patch, way, output, branch=branch)
    _say(done, str(how), session, output)
    clean = all(c.last.clean or c.last.reason == "has no tests" for c in done.comparisons)
    return int(not clean or (bool(done.patch.after) and way in {Way.DIFF, Way.MBOX}))


def _say(done: Mended, how: str, session: Session, output: Output) -> None:
    """Say what was fixed, what the tests showed before and after, and what is left."""
    from threadmend.cli.symptoms import ending
    from threadmend.prove.explain import explanation, headline
    from threadmend.report import evidence

    for outcome in done.patch.outcomes:
        if outcome.kind is OutcomeKind.FIXED and outcome.fix is not None:
            where = session.shown(outcome.finding.path)
            output.note(f"{where}: {outcome.fix.title} ({outcome.finding.rule})")
    output.notes(evidence.table(done.comparisons, session.shown))
    place = placed(session)
    for comparison in done.comparisons:
        output.notes(evidence.sights(comparison, place))
        last = comparison.last
        if not last.ran and last.reason != "has no tests":
            output.note(f"{session.shown(comparison.directory)}: not run: {last.reason}")
    width = max(60, min(160, shutil.get_terminal_size((100, 0)).columns))
    for reply in _left(done):
        output.note(f"{headline(reply.located, session.shown)}: {ending(reply)}")
        for line in explanation(reply.located, done.project, session.shown, width):
            output.note(line)
    output.note(evidence.summary(done.comparisons, how))


def _left(done: Mended) -> list[Reply]:
    """Return the symptoms of the last tests that nothing was done about."""
    if not any(c.last.symptoms for c in done.comparisons):
        return []
    return [reply for reply in done.replies if not reply.fixed and reply.located.tops]


def _document(done: Mended, how: str, session: Session) -> dict[str, Any]:
    from threadmend.cli.symptoms import value
    from threadmend.diff import render
    from threadmend.report import evidence

    patch = done.patch
    diff = render(patch.before, patch.after, modes=modes(session, patch))
    return {
        "version": json.VERSION,
        "rounds": done.rounds,
        "packages": evidence.document(done.comparisons, how, placed(session)),
        "fixes": [
            {
                "rule": outcome.finding.rule,
                "path": outcome.finding.path,
                "message": outcome.finding.message,
                "title": outcome.fix.title,
                "safety": outcome.fix.safety.value,
            }
            for outcome in patch.outcomes
            if outcome.kind is OutcomeKind.FIXED and outcome.fix is not None
        ],
        "left": [value(reply) for reply in _left(done)],
        "patch": diff.decode("utf-8", "surrogateescape"),
    }
