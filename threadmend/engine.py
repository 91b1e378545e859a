"""check() and fix(): what a project's findings are, and what mends them.

Rules read and yield; this alone decides (`analysis` asks and excuses, `settle` merges and
composes), and `write` alone writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from threadmend import parallel
from threadmend.analysis import Options, Progress, Survey, Veto, analysed, reported
from threadmend.cache import remembered
from threadmend.gather import Answers
from threadmend.model import Failure, Finding, Patch, Unreadable
from threadmend.project import Project

__all__ = ["Failure", "Options", "Progress", "Report", "Veto", "check", "fix", "fixes", "observed"]


@dataclass(frozen=True)
class Report:
    """The result of `check`, sorted."""

    findings: tuple[Finding, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    failures: tuple[Failure, ...] = ()
    checked: int = 0
    """How many files were looked at."""


def check(project: Project, options: Options, progress: Progress | None = None) -> Report:
    """Return the findings of a project, and what kept rules from answering."""
    with parallel.quiet():
        return _report(project, options, *remembered(project, options, progress))


def observed(
    project: Project, options: Options, progress: Progress | None = None
) -> tuple[Report, list[Any]]:
    """Return what `check` does, and what the observer of the options said; always anew."""
    with parallel.quiet():
        answers, about = analysed(project, options, progress)
        return _report(project, options, answers, about), answers.observed


def _report(project: Project, options: Options, answers: Answers, about: Survey) -> Report:
    return Report(
        findings=tuple(reported(answers.findings, project, options)),
        unreadable=about.unreadable,
        failures=tuple(answers.failures),
        checked=about.checked,
    )


def fix(project: Project, options: Options, progress: Progress | None = None) -> Patch:
    """Return the patch that the fixes of a project make, with an outcome for every finding.

    Nothing is written. Safe fixes are taken, unsafe ones when the options allow them.
    """
    return fixes(project, options, progress)(options.vetoes)


def fixes(
    project: Project, options: Options, progress: Progress | None = None
) -> Callable[[Mapping[Veto, str]], Patch]:
    """Find what can be mended; return what makes a patch, without the fixes that are vetoed.

    Who tries several sets of fixes asks the rules about the project once.
    """
    # Imported here because `check` answers from the cache in less time than this takes.
    from threadmend.settle import Settler

    return Settler(project, options, progress).patch
