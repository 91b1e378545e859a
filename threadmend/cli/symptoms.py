"""`fix --from`: the fixes for what the reports of a run show, and what is said about the rest."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from threadmend.cli.errors import BadInputError
from threadmend.cli.output import Output
from threadmend.cli.session import Session
from threadmend.engine import Progress, Veto
from threadmend.model import OutcomeKind, Patch
from threadmend.prove.answer import Answer, Reply, answer
from threadmend.prove.explain import choices, explanation, headline
from threadmend.prove.locate import Located, LocatedStack
from threadmend.prove.remap import Place
from threadmend.prove.reports import ReportError, read
from threadmend.prove.symptom import Symptom

__all__ = ["Reports", "ending", "value"]

_WIDTH = 100


@dataclass
class Reports:
    """The symptoms of the reports that the user named, and the answer to them."""

    session: Session
    symptoms: tuple[Symptom, ...]
    replies: tuple[Reply, ...] = ()
    stale: tuple[str, ...] = field(default=())

    @classmethod
    def open(cls, session: Session, names: Sequence[str]) -> Reports:
        """Read the reports, `-` is standard input; raises BadInputError for a broken one."""
        if names.count("-") > 1 or ("-" in names and session.stdin_path is not None):
            raise BadInputError("standard input can be read only once")
        found: list[Symptom] = []
        for name in names:
            source = "standard input" if name == "-" else name
            try:
                found += read(_data(name), source)
            except ReportError as error:
                raise BadInputError(str(error)) from None
        return cls(session, tuple(found))

    def patch(self, vetoes: Mapping[Veto, str], progress: Progress | None = None) -> Patch:
        """Return the patch that mends the symptoms, without the fixes that are vetoed."""
        session = self.session
        here = os.path.relpath(os.getcwd(), session.root)
        found: Answer = answer(
            session.project,
            self.symptoms,
            replace(session.options, vetoes=vetoes),
            here="" if here.startswith("..") or here == "." else here,
            progress=progress,
        )
        self.replies, self.stale = found.replies, found.stale
        return found.patch

    @property
    def unanswered(self) -> bool:
        """Return whether a symptom of the project is left without a fix."""
        return any(not reply.fixed and reply.located.tops for reply in self.replies)

    def report(self, output: Output) -> None:
        """Say on stderr what became of each symptom; what is left is shown in source."""
        shown = self.session.shown
        for path in self.stale:
            output.note(f"{shown(path)}: differs from what the report was made of")
        width = max(60, min(160, shutil.get_terminal_size((_WIDTH, 0)).columns))
        elsewhere = 0
        for reply in self.replies:
            if not reply.located.tops:
                elsewhere += 1
                continue
            output.note(f"{headline(reply.located, shown)}: {ending(reply)}")
            if not reply.fixed:
                project = self.session.project
                for line in explanation(reply.located, project, shown, width):
                    output.note(line)
        if elsewhere:
            what = "symptom lies" if elsewhere == 1 else "symptoms lie"
            output.note(f"{elsewhere} {what} outside of this project; nothing to do here")
        if not self.symptoms:
            output.note("the reports show no symptom")

    def document(self) -> list[dict[str, Any]]:
        """Return the symptoms for JSON, in the order of the reports."""
        return [value(reply) for reply in self.replies]


def _data(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise BadInputError(
            f"{name}: cannot be read: {(error.strerror or str(error)).lower()}"
        ) from None


def ending(reply: Reply) -> str:
    """Return what became of a symptom, in a clause."""
    for outcome in reply.outcomes:
        if outcome.kind is OutcomeKind.FIXED:
            best = outcome.finding.fixes[:1]
            title = best[0].title if best else "fixed with another finding"
            reason = f"; note: {best[0].reason}" if best and best[0].reason else ""
            return f"{title} ({outcome.finding.rule}){reason}"
    for outcome in reply.outcomes:
        if outcome.reason:
            return f"no fix: {outcome.reason} ({outcome.finding.rule})"
    return "no fix is known"


def value(reply: Reply) -> dict[str, Any]:
    """Return a symptom and what became of it, for JSON."""
    located, symptom = reply.located, reply.located.symptom
    return {
        "kind": symptom.kind.value,
        "message": symptom.message,
        "format": symptom.format,
        "report": symptom.source,
        "line": symptom.line,
        "outcome": _word(reply),
        "reason": "" if reply.fixed else ending(reply),
        "rules": sorted({o.finding.rule for o in reply.outcomes}),
        "objects": sorted(located.objects),
        "stacks": [_stack(stack) for stack in located.stacks],
        "choices": [] if reply.fixed else list(choices(located)),
    }


def _word(reply: Reply) -> str:
    if reply.fixed:
        return "fixed"
    return "unanswered" if _is_here(reply.located) else "elsewhere"


def _is_here(located: Located) -> bool:
    return bool(located.tops)


def _stack(stack: LocatedStack) -> dict[str, Any]:
    return {
        "doing": stack.stack.doing,
        "name": stack.stack.name,
        "places": [_place(place) for place in stack.places],
        "holds": list(stack.holds),
        "launched": None if stack.launch is None else _place(stack.launch),
    }


def _place(place: Place) -> dict[str, Any]:
    return {"path": place.path, "line": place.line, "function": place.function}
