"""Statements and specs that go with their lines, neighbours together."""

from __future__ import annotations

import re
from collections.abc import Iterable

from threadmend.golang.builders import delete
from threadmend.golang.builders.lines import content_end, first_on_line, leading_start
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["erased"]

_PLUMBING = re.compile(
    rb"(?i)chan|buffer|clos|mutex|guard|protect|semaphore|limit|\berr|\bwg\b|wait ?group|\bonce\b"
)


def erased(nodes: Iterable[Node]) -> list[Edit]:
    """Return the edits that remove statements, and specs of `var (…)`.

    A comment directly above goes along where it speaks of channels, locks or errors.
    """
    gone = _whole(set(nodes))
    edits: list[Edit] = []
    run: list[Node] = []
    for node in sorted(gone, key=lambda n: n.start):
        if run and run[-1].next is not node:
            edits += _run(run)
            run = []
        run.append(node)
    return [*edits, *(_run(run) if run else ())]


def _whole(nodes: set[Node]) -> set[Node]:
    """Return the statements for specs: `var x T` goes as a whole, `var (…)` with its last."""
    found: set[Node] = set()
    for node in nodes:
        statement = node.statement
        if node.kind in {"var_spec", "short_var_declaration"} and statement is not None:
            specs = set(statement.find("var_spec"))
            node = statement if specs <= nodes or node.kind != "var_spec" else node
        found.add(node)
    return {n for n in found if not any(o is not n and o.contains(n) for o in found)}


def _run(run: list[Node]) -> list[Edit]:
    tree, source = run[0].tree, run[0].tree.source
    alone = all(
        first_on_line(tree, node.start) and b";" not in tree.data[node.end : _rest(node)]
        for node in run
    )
    parent = run[0].parent
    closes = parent is not None and b"\n" in tree.data[run[-1].end : parent.end]
    if not alone or (parent is not None and parent.kind != "var_spec_list" and not closes):
        return [edit for node in run for edit in delete(node, comments="drop")]
    start = source.line_start(run[0].start)
    above = leading_start(tree, run[0].start)
    if _PLUMBING.search(tree.data[above:start]):
        start = above
    end = source.line_end(content_end(tree, run[-1].end))
    start, end = _with_blank_lines(run[0], start, end)
    return [Edit(source.path, start, end, b"")]


def _rest(node: Node) -> int:
    at = node.tree.data.find(b"\n", node.end)
    line = len(node.tree.data) if at < 0 else at
    comments = node.tree.comments_in(node.end, line)
    return comments[0].start if comments else line


def _with_blank_lines(node: Node, start: int, end: int) -> tuple[int, int]:
    """Widen a range of lines by the blank lines that would be left double, or at an edge."""
    data, source = node.tree.data, node.tree.source
    above = source.line_start(start - 1) if start else 0
    blank_above = start > 0 and not data[above:start].strip()
    opens = data[:start].rstrip(b" \t\r\n").endswith((b"{", b"(")) and not blank_above
    below = end
    while below < len(data) and not data[below : source.line_end(below)].strip():
        below = source.line_end(below)
    if below > end and (blank_above or opens):
        end = below
    closes = data[below : source.line_end(below)].lstrip(b" \t")[:1] in (b"}", b")")
    return (above if closes and blank_above else start), end
