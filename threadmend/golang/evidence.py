"""Evidence: what a run showed, as places in files, for rules to act upon.

Without evidence a rule has to prove that something can happen; with it, only what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from threadmend.golang.syntax import FUNCTIONS, Node, SyntaxTree

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package

__all__ = [
    "Evidence",
    "Site",
    "evidence_in",
    "function_at",
    "line_map",
    "moved",
    "nodes_at",
    "sites_in",
]


@dataclass(frozen=True, slots=True)
class Site:
    """A line (from 1) of a file where a goroutine was, and what it did there.

    `doing`: `write`, `read`, `access` for memory; for one that waits, its state as goroutine
    dumps have it (`chan send`, `sync.Mutex.Lock`).
    """

    path: str
    line: int
    doing: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that was seen: `kind` is `race`, `blocked`, `deadlock` or `panic`.

    `sites` has one place for each goroutine; `message` says what was reported.
    """

    kind: str
    sites: tuple[Site, ...]
    message: str


def evidence_in(package: Package, kind: str) -> list[Evidence]:
    """Return the evidence of a kind whose first site lies in a package."""
    return [
        one
        for one in package.workspace.evidence
        if one.kind == kind and one.sites and one.sites[0].path in package.file_paths
    ]


def sites_in(package: Package, *kinds: str) -> Iterator[tuple[Evidence, Site, GoFile]]:
    """Yield the sites in a package of the evidence of some kinds, with their files."""
    for one in package.workspace.evidence:
        if one.kind in kinds:
            for site in one.sites:
                if site.path in package.file_paths:
                    yield one, site, package.workspace.file(site.path)


def function_at(tree: SyntaxTree, line: int) -> Node | None:
    """Return the innermost function around the first character of a line."""
    source = tree.source
    if not 1 <= line <= len(source.line_starts):
        return None
    start = source.line_starts[line - 1]
    offset = start + len(source.indent_at(start))
    declaration = tree.declaration_at(offset)
    if declaration is None or declaration.has_error:
        return None
    inner = None
    for node in declaration.node.walk():
        if node.kind in FUNCTIONS and node.start <= offset < node.end:
            inner = node
    return inner


def nodes_at(file: GoFile, line: int, *kinds: str) -> list[Node]:
    """Return the nodes of some kinds that begin or are named on a line, in source order."""
    source = file.source
    if not 1 <= line <= len(source.line_starts):
        return []
    start = source.line_starts[line - 1]
    end = source.line_end(start)
    first = len(source.indent_at(start)) + start
    declaration = file.tree.declaration_at(min(first, max(end - 1, start)))
    if declaration is None or declaration.has_error:
        return []
    return [
        node
        for node in declaration.node.walk()
        if node.kind in kinds and start <= _point(node) < end
    ]


def _point(node: Node) -> int:
    """Return where a node is said to be: calls and selectors at their last name."""
    if node.kind == "selector_expression":
        return node["field"].start
    return node.start


def moved(
    evidence: Sequence[Evidence], old: Mapping[str, bytes], new: Mapping[str, bytes]
) -> tuple[Evidence, ...]:
    """Return evidence about old texts as evidence about new ones: lines follow their content."""
    maps = {path: line_map(old[path], new[path]) for path in new if path in old}

    def follow(site: Site) -> Site:
        lines = maps.get(site.path)
        return site if lines is None else replace(site, line=lines.get(site.line, 0))

    return tuple(replace(one, sites=tuple(map(follow, one.sites))) for one in evidence)


def line_map(old: bytes, new: bytes) -> dict[int, int]:
    """Return where each line (from 1) of a text is in another one; changed lines keep order."""
    before = [line.strip() for line in old.split(b"\n")]
    after = [line.strip() for line in new.split(b"\n")]
    found: dict[int, int] = {}
    for tag, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag in {"equal", "replace"}:
            for offset in range(b - a):
                if c + offset < d:
                    found[a + offset + 1] = c + offset + 1
    return found
