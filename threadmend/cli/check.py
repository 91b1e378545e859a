"""`check` and `baseline`: find, and print or write down what was found."""

from __future__ import annotations

import gc
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from threadmend.baseline import Baseline
from threadmend.cli.options import Format
from threadmend.cli.output import Output
from threadmend.cli.session import Request, Session
from threadmend.cli.watch import changes, stamps
from threadmend.engine import Report
from threadmend.engine import check as engine_check
from threadmend.report import json, statistics, text
from threadmend.write import write

__all__ = ["Wanted", "run", "show_the_files", "watch_and_run", "write_baseline"]

BASELINE = "threadmend-baseline.json"


@dataclass(frozen=True)
class Wanted:
    """How the findings are to be shown."""

    output_format: Format = Format.TEXT
    statistics: bool = False


def run(request: Request, wanted: Wanted) -> int:
    """Check once and print the findings; returns 1 when there are any."""
    session, output = Session.open(request), Output()
    return _show(session, _found(session, output), wanted, output)


def show_the_files(request: Request) -> int:
    """Print the files that would be looked at."""
    session = Session.open(request)
    Output().text("".join(f"{session.shown(path)}\n" for path in session.files()))
    return 0


def watch_and_run(request: Request, wanted: Wanted) -> int:
    """Check, and check again at every change, until Ctrl-C."""
    output = Output()
    while True:
        session = Session.open(request)
        gc.collect()  # the trees of the round before: nothing else collects them
        before = stamps(session.root)
        _show(session, _found(session, output), wanted, output)
        output.note(f"watching {text.count(len(session.files()), 'file')}; Ctrl-C ends it")
        changed = changes(session.root, before)
        output.note("")
        output.note(f"changed: {', '.join(changed[:3])}{' ...' if changed[3:] else ''}")


def write_baseline(request: Request, file: Path | None) -> int:
    """Write today's findings to a file; returns 0."""
    session, output = Session.open(replace(request, use_baseline=False)), Output()
    report = _found(session, output)
    known = Baseline.of(report.findings, session.project)
    chosen = file or session.configured_baseline or Path(BASELINE)
    old = chosen.read_bytes() if chosen.exists() else None
    write(chosen.absolute().parent, {chosen.name: old}, {chosen.name: known.dump()})
    output.note(f"{chosen}: {text.count(len(report.findings), 'finding')} written down")
    return 0


def _found(session: Session, output: Output) -> Report:
    with output.progress("checking") as progress:
        return engine_check(session.project, session.options, progress)


def _show(session: Session, report: Report, wanted: Wanted, output: Output) -> int:
    """Print a report; returns 3 when a rule failed, else 1 when anything was found."""
    if wanted.output_format is Format.JSON:
        output.text(json.dumps(_document(session, report, wanted)))
    elif wanted.statistics:
        output.text(statistics.table(statistics.counts(report.findings)))
    else:
        concise = wanted.output_format is Format.CONCISE
        lines = text.concise_lines if concise else text.finding_lines
        for finding in report.findings:
            output.lines(lines(finding, session.source, session.shown))
    if wanted.output_format is not Format.JSON:
        for line in session.excuses():
            output.note(line)
        output.notes(text.unreadable_lines(report.unreadable, session.shown))
        output.note(text.summary(report.findings, report.checked))
    output.notes(text.failure_lines(report.failures, session.shown))
    return 3 if report.failures else int(bool(report.findings))


def _document(session: Session, report: Report, wanted: Wanted) -> dict[str, Any]:
    if wanted.statistics:
        return json.statistics(statistics.counts(report.findings))
    return json.check(report.findings, report.unreadable, session.source)
