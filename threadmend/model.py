"""The values that every part exchanges: Edit, Fix, Finding, Rule, Outcome, Patch.

This module imports nothing of ours, so that any layer may import it.
All offsets are bytes from 0; paths are relative to the project's root, with `/`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

__all__ = [
    "Confidence",
    "Edit",
    "Failure",
    "Finding",
    "Fix",
    "Order",
    "Outcome",
    "OutcomeKind",
    "Patch",
    "Proof",
    "Related",
    "Rule",
    "Safety",
    "Subject",
    "Unreadable",
]


class Safety(StrEnum):
    """What a fix may change, in the sense of ruff and gopls."""

    SAFE = "safe"
    """Every execution that was correct before behaves the same after."""
    UNSAFE = "unsafe"
    """Right for the bug, but an API, timing or blocking may change visibly."""
    MANUAL = "manual"
    """Found and explained; no rewrite is offered."""


class Confidence(StrEnum):
    """How much of a finding was proved, best first."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Subject(StrEnum):
    """What a rule's `check` is given; the type of its first parameter says which."""

    GO_FILE = "GoFile"
    GO_PACKAGE = "Package"
    GO_MODULE = "Module"
    PYTHON_FILE = "PythonFile"
    PYTHON_PROJECT = "PythonProject"
    PROJECT = "ProjectFiles"


class OutcomeKind(StrEnum):
    """What became of a finding in `fix`."""

    FIXED = "fixed"
    UNSAFE = "unsafe"
    MANUAL = "manual"
    CONFLICT = "conflict"
    REFUSED = "refused"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """Replace bytes [start, end) of the file at `path` by `new`.

    An insertion is an empty range. A path that is not in the project is a new file
    (start and end 0).
    """

    path: str
    start: int
    end: int
    new: bytes


@dataclass(frozen=True, slots=True)
class Fix:
    """A rewrite that one accepts or declines as a whole; its title is a verb phrase."""

    title: str
    edits: tuple[Edit, ...]
    safety: Safety = Safety.SAFE
    reason: str = ""
    """Why the fix is unsafe, as a clause; empty for a safe one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "edits", tuple(sorted(self.edits)))


@dataclass(frozen=True, slots=True, order=True)
class Related:
    """Another place that explains a finding: the second lock site, the other access."""

    path: str
    start: int
    end: int
    message: str


Order = tuple[str, int, int, str, str, tuple[Related, ...]]
"""What sorts findings: path, start and end in bytes, rule, message, other places."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where a rule's anti-pattern was proved.

    `message` states a fact, no capital, no full stop. `fixes` are choices, best first;
    without any, `reason` says why none is offered. `rule` and `category` are stamped by the
    engine.
    """

    path: str
    start: int
    end: int
    message: str
    fixes: tuple[Fix, ...] = ()
    related: tuple[Related, ...] = ()
    reason: str = ""
    confidence: Confidence = Confidence.HIGH
    rule: str = ""
    category: str = ""

    @property
    def safety(self) -> Safety:
        """Return the safety of the best fix, `manual` without one."""
        return self.fixes[0].safety if self.fixes else Safety.MANUAL

    def stamped(self, rule: Rule) -> Finding:
        """Return the finding with the rule's name and category filled in."""
        return replace(self, rule=rule.name, category=rule.category)

    @property
    def order(self) -> Order:
        """Return the key that sorts findings the same way everywhere.

        One launch may leave two senders behind, of which only the places around it tell.
        """
        return (self.path, self.start, self.end, self.rule, self.message, self.related)


@dataclass(frozen=True, slots=True)
class Rule:
    """One anti-pattern: its name, its words, and the function that finds and rewrites.

    Built from a module by the registry: the name is the module's path
    (`go/lock-not-released`), the doc its docstring, the subject the type of `check`'s
    parameter. `gate` is searched in a file's bytes before the rule is asked.
    """

    name: str
    doc: str
    check: Callable[[Any], Iterable[Finding]]
    subject: Subject
    category: str
    gate: re.Pattern[bytes] | None = None
    default: bool = True
    """False: opt-in, runs only when selected by name or by `ALL`."""
    codemod: bool = False
    """True: rewrites a whole project; never part of a plain run."""
    also: frozenset[str] = frozenset()
    """The linters and checks of other tools that say the same."""

    @property
    def language(self) -> str:
        """Return `go` or `python`."""
        return self.name.partition("/")[0]

    @property
    def title(self) -> str:
        """Return the first line of the doc, without its full stop."""
        return self.doc.partition("\n")[0].strip().rstrip(".")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that could not be taken, and why, in one line."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, order=True)
class Failure:
    """A rule that could not answer about a file, package or module, and why."""

    rule: str
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What the toolchain said of a fix: how it was proved, or why it could not be."""

    proved: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a finding, and the reason in a clause."""

    finding: Finding
    kind: OutcomeKind
    reason: str = ""
    fix: Fix | None = None
    """The fix that was taken; its edits count in the text of the round that took it."""
    proof: Proof | None = None
    """None when nobody asked the toolchain."""


@dataclass(frozen=True)
class Patch:
    """The result of `fix`: bytes before and after by path, and an outcome per finding.

    `None` is a file that does not exist; `b""` is an empty one. Only files that differ are
    in `before` and `after`, with the same keys.
    """

    before: Mapping[str, bytes | None] = field(default_factory=dict)
    after: Mapping[str, bytes | None] = field(default_factory=dict)
    outcomes: tuple[Outcome, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    failures: tuple[Failure, ...] = ()
    by_rule: Mapping[str, Mapping[str, bytes | None]] = field(default_factory=dict)
    """For `--mbox` and `--commit`: rule name → path → bytes after that rule's step, in the
    order in which the rules were applied; the last steps together equal `after`."""
    evidence: Mapping[str, str] = field(default_factory=dict)
    """What the toolchain showed about each file's package, in a line."""

    def behind(self, first: Patch) -> Patch:
        """Return the patch from where another begins, which this one was made on top of."""
        before = {**self.before, **first.before}
        after = {**first.after, **self.after}
        same = {path for path in after if before[path] == after[path]}
        return replace(
            self,
            before={path: text for path, text in before.items() if path not in same},
            after={path: text for path, text in after.items() if path not in same},
        )
