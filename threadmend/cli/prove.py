"""`prove`: the packages' own tests under the race detector and the judge of leaks."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from threadmend.cli.output import Output
from threadmend.cli.proving import Proving
from threadmend.cli.session import Request, Session
from threadmend.model import Patch
from threadmend.report import json

if TYPE_CHECKING:
    from threadmend.prove.compare import Comparison
    from threadmend.prove.symptom import Frame

__all__ = ["placed", "report", "run"]


def run(request: Request, proving: Proving, *, fixed: bool, as_json: bool) -> int:
    """Run tests, before and (when `fixed`) after the fixes; returns 1 when something is wrong
    with what was looked at last, 3 when a rule failed.
    """
    from threadmend.engine import fixes
    from threadmend.prove.compare import Laboratory, compare

    session, output = Session.open(request), Output()
    with proving.shop(session) as shop:
        patch = Patch()
        if fixed:
            with output.progress("fixing") as progress:
                make = fixes(session.project, session.options, progress)
                patch = make({})
            patch = proving.proved(session, make, patch, shop)
        how = proving.testing(shop.tool)
        laboratory = Laboratory(session.project, shop, how)
        found = compare(laboratory, patch, session.options.wants)
        report(found, str(how), session, output, as_json=as_json, patch=patch)
        if shop.tool.no_race and how.judged:
            output.note(shop.tool.no_race)
    if patch.failures:
        return 3
    return int(not all(c.last.clean or c.last.reason == "has no tests" for c in found))


def report(
    found: Sequence[Comparison],
    how: str,
    session: Session,
    output: Output,
    *,
    as_json: bool,
    patch: Patch,
) -> None:
    """Print what the tests showed."""
    from threadmend.diff import render
    from threadmend.report import evidence

    place = placed(session)
    if as_json:
        value = {
            "version": json.VERSION,
            "packages": evidence.document(found, how, place),
            "patch": render(patch.before, patch.after).decode("utf-8", "surrogateescape"),
        }
        output.text(json.dumps(value))
    else:
        output.lines(evidence.table(found, session.shown))
        for comparison in found:
            output.lines(evidence.sights(comparison, place))
    for comparison in found:
        last = comparison.last
        if not last.ran and last.reason != "has no tests":
            output.note(f"{session.shown(comparison.directory)}: not run: {last.reason}")
    output.note(evidence.summary(found, how))


def placed(session: Session) -> Callable[[Frame], str]:
    """Return what says where a frame is: `svc/a.go:12`, empty outside of the project."""
    root = os.path.realpath(session.root)

    def place(frame: Frame) -> str:
        if not frame.file.startswith(root + os.sep):
            return ""
        path = Path(frame.file).relative_to(root).as_posix()
        return f"{session.shown(path)}:{frame.line}"

    return place
