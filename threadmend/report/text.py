"""Findings as text: one line to jump to, the source underlined, the places that explain it.

Everything here is built from `Segment`s, a text and the name of a style, so that the same
lines go plain into a pipe and coloured to a terminal; who prints decides.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from threadmend.model import Finding, Fix, Outcome, OutcomeKind, Safety, Unreadable
from threadmend.source import SourceFile

__all__ = [
    "Line",
    "Segment",
    "Sources",
    "concise_lines",
    "count",
    "failure_lines",
    "finding_lines",
    "fix_segments",
    "outcome_lines",
    "outcome_summary",
    "plain",
    "printable",
    "proof_lines",
    "summary",
    "unreadable_lines",
]

TAB = "    "
WIDEST = 160
"""Columns of a source line that are shown; a longer one is cut around the span."""


class Segment(NamedTuple):
    """A piece of a line and the name of its style (empty: none)."""

    text: str
    style: str = ""


class Failure(Protocol):
    """A rule that could not answer about a file or package, and why."""

    @property
    def rule(self) -> str:
        """Return the rule's name."""

    @property
    def path(self) -> str:
        """Return the file or folder."""

    @property
    def reason(self) -> str:
        """Return the reason, in one line."""


Line = tuple[Segment, ...]
Sources = Callable[[str], SourceFile | None]
"""The text that a finding's offsets count in; None when the file cannot be had."""


def plain(line: Line) -> str:
    """Return the text of a line without its styles."""
    return "".join(segment.text for segment in line)


def printable(text: str) -> str:
    """Return `text` with control characters replaced, so that no file can drive a terminal.

    Bidirectional overrides go too: they show code in another order than it has.
    """
    return "".join(_visible(char) for char in text)


def _visible(char: str) -> str:
    if char == "\t":
        return TAB
    if unicodedata.category(char) in {"Cc", "Cs"} or char in "\u202a\u202b\u202c\u202d\u202e":
        return "\ufffd"
    return "\ufffd" if char in "\u2066\u2067\u2068\u2069" else char


def finding_lines(finding: Finding, sources: Sources, shown: Callable[[str], str]) -> list[Line]:
    """Return a finding in full: headline, excerpt, related places, and what can be done.

    `shown` turns a path of the project into the one to print.
    """
    lines = [_headline(finding, sources, shown)]
    lines += _excerpt(sources(finding.path), finding.start, finding.end, "caret")
    for place in finding.related:
        source = sources(place.path)
        where = _where(source, place.start, shown(place.path))
        lines.append(
            (Segment("  "), Segment(where, "path"), Segment(f": {printable(place.message)}"))
        )
        lines += _excerpt(source, place.start, place.end, "caret.related")
    lines += _remedy_lines(finding)
    lines.append(())
    return lines


def concise_lines(finding: Finding, sources: Sources, shown: Callable[[str], str]) -> list[Line]:
    """Return a finding as its headline alone."""
    return [_headline(finding, sources, shown)]


def _headline(finding: Finding, sources: Sources, shown: Callable[[str], str]) -> Line:
    return (
        Segment(_where(sources(finding.path), finding.start, shown(finding.path)), "path"),
        Segment(": "),
        Segment(finding.rule, "rule"),
        Segment(f": {printable(finding.message)}"),
    )


def _where(source: SourceFile | None, offset: int, path: str) -> str:
    if source is None:
        return printable(path)
    position = source.position(min(offset, len(source.data)))
    return f"{printable(path)}:{position.line}:{position.column}"


def _excerpt(source: SourceFile | None, start: int, end: int, caret: str) -> list[Line]:
    """Return the line that holds `start` with the span underlined below it."""
    if source is None or start > len(source.data):
        return []
    number = source.line_of(start)
    text = source.line_text(number)
    begin = start - source.line_start(start)
    stop = min(end - source.line_start(start), len(text))
    before = _decoded(text[:begin])
    marked = _decoded(text[begin : max(stop, begin)])
    after = _decoded(text[max(stop, begin) :])
    before, after = _cut(before, marked, after)
    gutter = f"{number:>6} | "
    underline = "^" * max(1, min(_width(marked), WIDEST))
    more = " ..." if end > source.line_start(start) + len(text) + 1 else ""
    return [
        (
            Segment(gutter, "gutter"),
            Segment(before),
            Segment(marked[:WIDEST], "marked"),
            Segment(after),
        ),
        (
            Segment(" " * (len(gutter) - 2) + "| ", "gutter"),
            Segment(" " * _width(before)),
            Segment(underline + more, caret),
        ),
    ]


def _decoded(text: bytes) -> str:
    return printable(text.decode("utf-8", "replace"))


def _cut(before: str, marked: str, after: str) -> tuple[str, str]:
    """Return what is before and after a span, shortened when the whole line is too long."""
    if len(before) + len(marked) + len(after) <= WIDEST:
        return before, after
    room = max(0, WIDEST - len(marked))
    if len(before) > room // 2:
        before = "..." + before[len(before) - room // 2 :]
    left = max(0, room - len(before))
    return before, after if len(after) <= left else after[:left] + "..."


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    columns = 0
    for char in text:
        if unicodedata.combining(char):
            continue
        columns += 2 if unicodedata.east_asian_width(char) in "WF" else 1
    return columns


def _remedy_lines(finding: Finding) -> Iterator[Line]:
    for fix in finding.fixes:
        yield (Segment("  "), *fix_segments(fix))
    if not finding.fixes:
        reason = f": {printable(finding.reason)}" if finding.reason else ""
        yield (Segment("  "), Segment("no fix", "manual"), Segment(reason))


def fix_segments(fix: Fix) -> Line:
    """Return what a fix does, and when it is unsafe, why."""
    if fix.safety is Safety.SAFE:
        return (Segment("fix", "safe"), Segment(f": {printable(fix.title)}"))
    reason = f" ({printable(fix.reason)})" if fix.reason else ""
    return (Segment("unsafe fix", "unsafe"), Segment(f": {printable(fix.title)}{reason}"))


def unreadable_lines(unreadable: Iterable[Unreadable], shown: Callable[[str], str]) -> list[Line]:
    """Return a line for every file that could not be taken."""
    return [
        (
            Segment(printable(shown(item.path)), "path"),
            Segment(f": {printable(item.reason)}; left alone", "unsafe"),
        )
        for item in unreadable
    ]


def failure_lines(failures: Iterable[Failure], shown: Callable[[str], str]) -> list[Line]:
    """Return a line for every rule that failed on a file or package."""
    return [
        (
            Segment(printable(shown(failure.path)), "path"),
            Segment(f": {failure.rule} failed: {printable(failure.reason)}; ", "unsafe"),
            Segment("the other rules went on; please report it"),
        )
        for failure in failures
    ]


def summary(findings: Sequence[Finding], files: int) -> str:
    """Return the last line of `check`: how many, where, and what can be done about them."""
    if not findings:
        return f"no findings in {count(files, 'file')}"
    by_safety = Counter(finding.safety for finding in findings)
    parts = []
    if by_safety[Safety.SAFE]:
        parts.append(f"{by_safety[Safety.SAFE]} fixable")
    if by_safety[Safety.UNSAFE]:
        parts.append(f"{by_safety[Safety.UNSAFE]} with --unsafe-fixes")
    if by_safety[Safety.MANUAL]:
        parts.append(f"{by_safety[Safety.MANUAL]} by hand")
    where = count(len({finding.path for finding in findings}), "file")
    return f"{count(len(findings), 'finding')} in {where}: {', '.join(parts)}"


WORDS = {
    OutcomeKind.FIXED: "fixed",
    OutcomeKind.UNSAFE: "unsafe, taken with --unsafe-fixes",
    OutcomeKind.MANUAL: "to fix by hand",
    OutcomeKind.CONFLICT: "in conflict with another fix",
    OutcomeKind.REFUSED: "refused",
    OutcomeKind.UNREADABLE: "unreadable",
}


def outcome_summary(outcomes: Sequence[Outcome], files: int, where: str = "changed") -> str:
    """Return the last line of `fix`: how many findings ended how, and what became of the files."""
    if not outcomes:
        return "nothing to fix"
    gone = sum(o.kind is OutcomeKind.FIXED and o.fix is None and bool(o.reason) for o in outcomes)
    counts = Counter(outcome.kind for outcome in outcomes)
    counts[OutcomeKind.FIXED] -= gone
    parts = [f"{counts[kind]} {words}" for kind, words in WORDS.items() if counts[kind]]
    if gone:
        parts.insert(1 if counts[OutcomeKind.FIXED] else 0, f"{gone} gone with another's fix")
    return f"{', '.join(parts)}; {count(files, 'file')} {where}"


def outcome_lines(
    outcomes: Iterable[Outcome], sources: Sources, shown: Callable[[str], str]
) -> list[Line]:
    """Return a line for every finding that was not fixed, with the reason."""
    lines: list[Line] = []
    for outcome in outcomes:
        if outcome.kind is OutcomeKind.FIXED:
            continue
        reason = f" ({printable(outcome.reason)})" if outcome.reason else ""
        style = "unsafe" if outcome.kind is OutcomeKind.UNSAFE else "manual"
        lines.append(
            (
                *_headline(outcome.finding, sources, shown),
                Segment(f": {outcome.kind.value}{reason}", style),
            )
        )
    return lines


def proof_lines(outcomes: Iterable[Outcome]) -> list[str]:
    """Return how many fixes the toolchain proved, and why it could not prove the others."""
    proofs = Counter(outcome.proof for outcome in outcomes if outcome.proof is not None)
    return [
        f"{count(number, 'fix')} {'proved' if proof.proved else 'unproved'}: "
        f"{printable(proof.detail)}"
        for proof, number in sorted(
            proofs.items(), key=lambda item: (not item[0].proved, -item[1], item[0].detail)
        )
    ]


def count(number: int, noun: str) -> str:
    """Return `1 file`, `2 files`, `3 fixes`."""
    return f"{number} {noun}{'' if number == 1 else 'es' if noun.endswith('x') else 's'}"
