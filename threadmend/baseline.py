"""Baseline: findings that were there already, matched by content and not by line number."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from threadmend.config import ConfigError
from threadmend.model import Finding
from threadmend.project import Project

__all__ = ["Baseline"]

_VERSION = 1
_Key = tuple[str, str, str]


@dataclass(frozen=True)
class Baseline:
    """How often each (rule, path, text of the line) was found when the baseline was made."""

    counts: Counter[_Key]

    @classmethod
    def of(cls, findings: Iterable[Finding], project: Project) -> Baseline:
        """Return the baseline that excuses exactly these findings."""
        return cls(Counter(_key(finding, project) for finding in findings))

    @classmethod
    def load(cls, file: Path) -> Baseline:
        """Read a baseline file; raises ConfigError when it is not one."""
        try:
            table = json.loads(file.read_bytes())
        except OSError as error:
            raise ConfigError(f"{file}: {error.strerror}") from None
        except ValueError:
            raise ConfigError(f"{file}: not a baseline: no JSON") from None
        if not isinstance(table, dict) or table.get("version") != _VERSION:
            raise ConfigError(f"{file}: not a baseline of version {_VERSION}; make it anew")
        counts: Counter[_Key] = Counter()
        try:
            for entry in table["findings"]:
                key = (str(entry["rule"]), str(entry["path"]), str(entry["line"]))
                counts[key] += int(entry["count"])
        except (KeyError, TypeError, ValueError):
            raise ConfigError(f"{file}: not a baseline: an entry lacks a field") from None
        return cls(counts)

    def dump(self) -> bytes:
        """Return the content of the baseline file: sorted, one finding a line, for reviews."""
        entries = [
            json.dumps({"rule": rule, "path": path, "line": line, "count": count})
            for (rule, path, line), count in sorted(self.counts.items())
        ]
        body = ",\n    ".join(entries)
        inner = f"\n    {body}\n  " if entries else ""
        return f'{{\n  "version": {_VERSION},\n  "findings": [{inner}]\n}}\n'.encode()

    def new(self, findings: Iterable[Finding], project: Project) -> list[Finding]:
        """Return the findings that the baseline does not hold."""
        left = Counter(self.counts)
        fresh = []
        for finding in findings:
            key = _key(finding, project)
            if left[key] > 0:
                left[key] -= 1
            else:
                fresh.append(finding)
        return fresh


def _key(finding: Finding, project: Project) -> _Key:
    source = project.source(finding.path)
    line = source.line_text(source.line_of(finding.start))
    return (finding.rule, finding.path, " ".join(line.decode("utf-8", "replace").split()))
