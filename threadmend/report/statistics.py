"""Findings counted by rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from threadmend.model import Finding, Safety

__all__ = ["Count", "counts", "table"]


@dataclass(frozen=True, slots=True)
class Count:
    """How often a rule found something, and how many of these come with which fix."""

    rule: str
    total: int
    files: int
    safe: int
    unsafe: int
    manual: int


def counts(findings: Iterable[Finding]) -> list[Count]:
    """Return a count per rule, the most frequent first, then by name."""
    by_rule: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_rule[finding.rule].append(finding)
    result = [
        Count(
            rule=rule,
            total=len(found),
            files=len({finding.path for finding in found}),
            safe=_number(found, Safety.SAFE),
            unsafe=_number(found, Safety.UNSAFE),
            manual=_number(found, Safety.MANUAL),
        )
        for rule, found in by_rule.items()
    ]
    return sorted(result, key=lambda item: (-item.total, item.rule))


def table(found: Sequence[Count]) -> str:
    """Return the counts in aligned columns, one rule a line, with a heading and a total."""
    if not found:
        return ""
    heading = ("count", "files", "safe", "unsafe", "manual", "rule")
    rows = [
        (item.total, item.files, item.safe, item.unsafe, item.manual, item.rule) for item in found
    ]
    lines = [_row(heading), *(_row(row) for row in rows)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[int | str]) -> str:
    *numbers, rule = cells
    return "".join(f"{cell!s:>6}  " for cell in numbers) + str(rule)


def _number(found: Sequence[Finding], safety: Safety) -> int:
    return sum(finding.safety is safety for finding in found)
