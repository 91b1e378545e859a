"""`audit`: the checklist for a project as one page."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from threadmend.audit.build import build
from threadmend.audit.gather import gather
from threadmend.audit.page import Page
from threadmend.cli.errors import BadInputError
from threadmend.cli.options import AuditFormat
from threadmend.cli.output import Output
from threadmend.cli.session import Request, Session
from threadmend.engine import Options
from threadmend.model import Confidence
from threadmend.registry import load_rules, select
from threadmend.report import json, text
from threadmend.report.text import plain
from threadmend.write import write

__all__ = ["run"]


def run(request: Request, form: AuditFormat, file: Path | None) -> int:
    """Print the page, or write it to a file; returns 3 when a rule failed, else 0."""
    session, output = Session.open(request), Output()
    with output.progress("auditing") as progress:
        usual = session.options.confidence
        facts = gather(session.project, _options(session), progress, usual)
    page = build(facts, _arguments(request), ",".join(request.select))
    place = Path.cwd() if file is None else file.absolute().parent
    if form is AuditFormat.TEXT and file is None:
        from threadmend.audit.text import lines

        output.lines(lines(page, session.shown))
    else:
        _hand_over(_rendered(page, form, session, place), file, output)
    output.notes(text.failure_lines(facts.report.failures, session.shown))
    return 3 if facts.report.failures else 0


def _options(session: Session) -> Options:
    """Return the usual options with the codemods, which are asked and not applied.

    A selection on the command line is the whole answer.
    """
    if session.request.select:
        return session.options
    known = load_rules()
    codemods = [rule.name for rule in known if rule.codemod]
    asked = select(known, codemods, session.config.ignore)
    names = {rule.name for rule in (*session.rules, *asked)}
    confidence = session.config.confidence or Confidence.LOW
    rules = tuple(rule for rule in known if rule.name in names)
    return replace(session.options, rules=rules, confidence=confidence)


def _arguments(request: Request) -> tuple[str, ...]:
    """Return what commands need to see what this run saw."""
    options = ["--isolated"] if request.isolated else []
    options += ["--config", os.fspath(request.config)] if request.config is not None else []
    options += ["--ignore", ",".join(request.ignore)] if request.ignore else []
    return (*options, *request.paths)


def _rendered(page: Page, form: AuditFormat, session: Session, place: Path) -> str:
    if form is AuditFormat.JSON:
        from threadmend.audit.document import document

        return json.dumps(document(page))
    if form is AuditFormat.TEXT:
        from threadmend.audit.text import lines

        return "".join(f"{plain(line)}\n" for line in lines(page, session.shown))
    link = _linking(session, place)
    if form is AuditFormat.MARKDOWN:
        from threadmend.audit.markdown import markdown

        return markdown(page, link)
    from threadmend.audit.html import html

    return html(page, link)


def _linking(session: Session, place: Path) -> Callable[[str, int], str]:
    """Return what makes a link to a line of a file, seen from the folder of the page."""
    from urllib.parse import quote

    def link(path: str, line: int) -> str:
        relative = os.path.relpath(session.root / path, place).replace(os.sep, "/")
        return f"{quote(relative, errors='surrogateescape')}#L{line}"

    return link


def _hand_over(rendered: str, file: Path | None, output: Output) -> None:
    if file is None:
        output.text(rendered)
        return
    data = rendered.encode("utf-8", "surrogateescape")
    try:
        old = file.read_bytes() if file.exists() else None
    except OSError as error:
        raise BadInputError(f"{file}: {(error.strerror or str(error)).lower()}") from None
    if old != data:
        write(file.absolute().parent, {file.name: old}, {file.name: data})
    output.note(f"{file}: written")
