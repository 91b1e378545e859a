"""Ignore comments: which findings they excuse, and which comments excuse nothing.

    //threadmend:ignore go/lock-not-released, leaked-sender -- reason
    //nolint:threadmend,errcheck // reason
    # threadmend:ignore python/lock-without-with -- reason
    # threadmend: ignore[python/lock-without-with] -- reason
    # noqa: threadmend -- reason

On the finding's line, on a line of its own above it, or before the package clause for the
whole file. A comment without a reason, or that excuses nothing, is a finding itself. What
comments for other tools excuse is in `others.py`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from threadmend.model import Finding, Rule
from threadmend.others import excused_elsewhere
from threadmend.project import Project
from threadmend.removal import removal
from threadmend.source import SourceFile

__all__ = ["CATEGORY", "DOCS", "UNUSED", "WITHOUT_REASON", "Ignore", "excuse", "ignores"]

CATEGORY = "suppression"
UNUSED = "threadmend/unused-ignore"
WITHOUT_REASON = "threadmend/ignore-without-reason"

DOCS = {
    UNUSED: """Remove ignore comments that excuse nothing

A comment that excused a finding which is gone, or never was, hides the next one. It is
reported when every rule that it could mean was asked and had nothing to excuse; the fix takes
the name, or the comment, away.

Not reported: names of rules that did not run. Left to you: names that are no rule.
""",
    WITHOUT_REASON: """Say why a finding is ignored

Whoever reads the line next has to know whether the reason still holds:

    //threadmend:ignore go/lock-not-released -- released by the caller, see Close
""",
}
"""What the engine itself says of the comments, by name."""

_EVERY = "*"
_GO_IGNORE = re.compile(rb"//[ \t]*threadmend:ignore\b(.*)", re.S)
_GO_NOLINT = re.compile(rb"//[ \t]*nolint:([\w,/ \t-]*?)(?:[ \t]*//[ \t]*(.*))?", re.S)
_PYTHON_IGNORE = re.compile(rb"#[ \t]*threadmend:[ \t]*ignore\b(?:\[([^\]]*)\])?(.*)", re.S)
_PYTHON_NOQA = re.compile(rb"#[ \t]*noqa:([\w,/ \t-]*?)(?:[ \t]*--[ \t]*(.*))?", re.S)
_LEADING = b' \t\xef\xbb\xbf"'
"""What may stand before a comment on a line of its own; a quote in a notebook's JSON."""
_LINE_COMMENT = re.compile(rb"(?:^|(?<=[ \t]))#[ \t]*threadmend:[^\r\n]*", re.M)
_Said = tuple[tuple[str, ...], str]
_Words = Callable[[bytes], _Said | None]
_PACKAGE = re.compile(rb"^package[ \t]", re.M)


@dataclass(slots=True)
class Ignore:
    """One ignore comment: its span, the rules it names, and the line it speaks of."""

    path: str
    start: int
    end: int
    names: tuple[str, ...]
    reason: str
    line: int | None
    """The line (from 1) that is excused, None for the whole file."""
    foreign: bool = False
    """Whether it is another tool's comment, which names threadmend: nolint, noqa."""
    used: set[str] = field(default_factory=set)

    def names_rule(self, rule: str, category: str) -> Iterator[str]:
        """Yield the names of the comment that mean a rule."""
        language, _, short = rule.partition("/")
        for name in self.names:
            if name in {rule, short, category, language, _EVERY}:
                yield name


def excuse(
    findings: Iterable[Finding],
    project: Project,
    paths: Iterable[str],
    answered: Callable[[str], Collection[str]],
    catalogue: Sequence[Rule],
) -> list[Finding]:
    """Return the findings that no comment excuses, and one for each comment at fault.

    `paths` are the files that were checked, `answered` returns the names of the rules that
    were asked about a path and could answer: only for those a comment can be unused.
    `catalogue` are all rules there are.
    """
    also = {rule.name: rule.also for rule in catalogue}
    comments = {path: found for path in paths if (found := ignores(project.source(path)))}
    kept = [
        f
        for f in findings
        if not _excused(f, comments.get(f.path, ()), project)
        and not excused_elsewhere(f, project.source(f.path), also.get(f.rule, ()))
    ]
    for path, found in comments.items():
        asked = answered(path)
        for ignore in found:
            if not ignore.reason:
                kept.append(_without_reason(ignore))
            kept += _unused(ignore, asked, catalogue, project.source(path))
    return kept


def _excused(finding: Finding, comments: Iterable[Ignore], project: Project) -> bool:
    line = 0
    found = False
    for ignore in comments:
        if ignore.line is not None:
            line = line or project.source(finding.path).line_of(finding.start)
            if ignore.line != line:
                continue
        names = set(ignore.names_rule(finding.rule, finding.category))
        ignore.used |= names
        found = found or bool(names)
    return found


def _unused(
    ignore: Ignore, asked: Collection[str], catalogue: Sequence[Rule], source: SourceFile
) -> Iterator[Finding]:
    """Yield what is wrong with the names of a comment that excused nothing by them."""
    if not ignore.names:
        yield _about(ignore, UNUSED, "ignore comment names no rule", "name the rule that it is for")
    for name in ignore.names:
        if name in ignore.used:
            continue
        one = Ignore(ignore.path, 0, 0, (name,), "", None)
        meant = [r for r in catalogue if next(one.names_rule(r.name, r.category), None)]
        exact = [r for r in meant if name in {r.name, r.name.partition("/")[2]}]
        needed = {r.name for r in exact or meant if exact or (r.default and not r.codemod)}
        if not meant:
            said = f"ignore comment names {name}, which is no rule"
            yield _about(ignore, UNUSED, said, "name the rule that it is for, or remove it")
        elif needed and needed.issubset(asked):
            said = "" if name == _EVERY else f" of {name}"
            spelt = "threadmend" if name == _EVERY and ignore.foreign else name
            found = _about(ignore, UNUSED, f"ignore comment excuses no finding{said}", "")
            fix = removal(source, ignore.start, ignore.end, spelt)
            yield (
                replace(found, fixes=(fix,)) if fix else replace(found, reason="remove it by hand")
            )


def _without_reason(ignore: Ignore) -> Finding:
    return _about(ignore, WITHOUT_REASON, "ignore comment without a reason", "say why after --")


def _about(ignore: Ignore, rule: str, message: str, reason: str) -> Finding:
    return Finding(
        ignore.path, ignore.start, ignore.end, message, reason=reason, rule=rule, category=CATEGORY
    )


# -- reading the comments -------------------------------------------------------------------


def ignores(source: SourceFile) -> list[Ignore]:
    """Return the ignore comments of a file, in order."""
    if b"threadmend" not in source.data:
        return []
    if source.path.endswith(".go"):
        return list(_read(source, _go_comments(source), _go_words))
    if source.path.endswith(".py"):
        return list(_read(source, _python_comments(source), _python_words))
    if source.path.endswith(".ipynb"):
        return list(_read(source, _notebook_comments(source), _python_words))
    return list(_read(source, _line_comments(source), _python_words))


def _read(
    source: SourceFile, comments: Iterable[tuple[int, int]], words: _Words
) -> Iterator[Ignore]:
    spans = [(start, end) for start, end in comments]
    clause = _PACKAGE.search(source.data) if source.path.endswith(".go") else None
    for start, end in spans:
        said = words(source.data[start:end].rstrip())
        if said is None:
            continue
        line: int | None = source.line_of(start)
        if not source.data[source.line_start(start) : start].strip(_LEADING):
            line = _next_line(source, end, spans)
            if clause is not None and start < clause.start():
                line = None
        foreign = b"nolint:" in source.data[start:end] or b"noqa:" in source.data[start:end]
        yield Ignore(source.path, start, end, said[0], said[1], line, foreign)


def _next_line(source: SourceFile, end: int, comments: Sequence[tuple[int, int]]) -> int:
    """Return the first line of code after a comment on a line of its own."""
    at = source.line_end(end)
    while at < len(source.data):
        stop = source.line_end(at)
        text = source.data[at:stop]
        indented = at + len(text) - len(text.lstrip(_LEADING))
        if not any(start == indented for start, _ in comments):
            break
        at = stop
    return source.line_of(at)


def _go_words(text: bytes) -> _Said | None:
    if found := _GO_IGNORE.fullmatch(text):
        names, _, reason = found[1].partition(b"--")
        return _names(names), _text(reason)
    if found := _GO_NOLINT.fullmatch(text):
        if "threadmend" in _names(found[1]):
            return (_EVERY,), _text(found[2] or b"")
    return None


def _python_words(text: bytes) -> _Said | None:
    if found := _PYTHON_IGNORE.fullmatch(text):
        names, _, reason = found[2].partition(b"--")
        return _names(found[1] or names), _text(reason)
    if found := _PYTHON_NOQA.fullmatch(text):
        if "threadmend" in _names(found[1]):
            return (_EVERY,), _text(found[2] or b"")
    return None


def _names(text: bytes) -> tuple[str, ...]:
    return tuple(_text(text).replace(",", " ").split())


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").strip()


def _go_comments(source: SourceFile) -> Iterator[tuple[int, int]]:
    from threadmend.golang.syntax import SyntaxTree

    yield from SyntaxTree(source).comments


def _notebook_comments(source: SourceFile) -> Iterator[tuple[int, int]]:
    from threadmend.python.notebook import read
    from threadmend.source import UnreadableError

    try:
        notebook = read(source.path, source.data)
    except UnreadableError:
        return
    for start, end in _python_comments(SourceFile(source.path, notebook.data)):
        yield notebook.offset(start), notebook.offset(end)


def _line_comments(source: SourceFile) -> Iterator[tuple[int, int]]:
    """Yield the ignore comments of makefiles, scripts and YAML."""
    for found in _LINE_COMMENT.finditer(source.data):
        yield found.span()


def _python_comments(source: SourceFile) -> Iterator[tuple[int, int]]:
    import io
    import tokenize

    from threadmend.python.newer import covered

    # What `tokenize` does not know yet is covered; comments stay where they are.
    data = source.data if sys.version_info >= (3, 12) else covered(source.data) or source.data
    try:
        for token in tokenize.tokenize(io.BytesIO(data).readline):
            if token.type == tokenize.COMMENT:
                row, column = token.start
                line = source.line_text(row).decode("utf-8", "replace")
                start = source.line_starts[row - 1] + len(line[:column].encode())
                yield start, start + len(token.string.encode())
    except (tokenize.TokenError, SyntaxError):
        return
