"""Gather: one pass over the project that asks the rules and takes the inventory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from threadmend.engine import Options, Progress, Report, observed
from threadmend.inventory import Inventory
from threadmend.model import Confidence
from threadmend.project import Project

__all__ = ["Facts", "gather"]

_PYTHON = (".py", ".ipynb")


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the sections are written from."""

    project: Project
    options: Options
    report: Report
    inventory: Inventory

    def wants(self, path: str) -> bool:
        """Return whether a file is one that the page is about."""
        return self.options.wants(path) and self.project.excuse(path) is None

    @property
    def go_files(self) -> list[str]:
        """Return the Go files, sorted."""
        return [p for p in self.project.paths if p.endswith(".go") and self.wants(p)]

    @property
    def python_files(self) -> list[str]:
        """Return the Python files, sorted."""
        return [p for p in self.project.paths if p.endswith(_PYTHON) and self.wants(p)]

    def count(self, *rules: str) -> int:
        """Return how many findings some rules have."""
        return sum(finding.rule.partition("/")[2] in rules for finding in self.report.findings)


def gather(
    project: Project,
    options: Options,
    progress: Progress | None = None,
    confidence: Confidence = Confidence.LOW,
) -> Facts:
    """Ask the rules, and take the inventory in the same processes.

    `confidence` is that of findings of plain runs; codemods have that of the options, since
    a rule that is run by its name gives hints as well.
    """
    observe = _Observer(project, options.wants)
    report, seen = observed(project, replace(options, observe=observe), progress)
    known = list(Confidence)
    limit = known.index(confidence)
    codemods = {rule.name for rule in options.known if rule.codemod}
    kept = [
        finding
        for finding in report.findings
        if finding.rule in codemods or known.index(finding.confidence) <= limit
    ]
    report = replace(report, findings=tuple(kept))
    whole = Inventory()
    for one in seen:
        whole.add(one)
    facts = Facts(project, options, report, whole)
    if facts.go_files and not project.go.modules:
        whole.add(observe.order())
    return facts


class _Observer:
    """Takes the inventory of what rules are asked about."""

    def __init__(self, project: Project, wants: Callable[[str], bool]) -> None:
        self._project = project
        self._wants = wants

    def _wanted(self, path: str) -> bool:
        return self._wants(path) and self._project.excuse(path) is None

    def order(self) -> Inventory:
        """Return the lock order of the Go code."""
        from threadmend.golang.inventory import lock_order

        return lock_order(self._project.go, self._wanted)

    def __call__(self, subject: Any) -> Inventory:
        kind = type(subject).__name__
        if kind == "Module":
            # Lock order is one graph for the whole project: the first module's is everybody's.
            return self.order() if subject is self._project.go.modules[0] else Inventory()
        if kind == "Package":
            from threadmend.golang.inventory import inventory

            return inventory(subject, self._wanted)
        from threadmend.python.inventory import inventory as python_inventory

        return python_inventory(subject)
