"""Edits that put statements before and after runs of statements: critical sections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from threadmend.golang.builders.blocks import Container, expanded, outermost, place
from threadmend.golang.builders.statements import insert_after, insert_before
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["Region", "surround"]


class Region(NamedTuple):
    """Statements from `first` to `last` of one block, and the code that goes around them."""

    first: Node
    last: Node
    before: str = ""
    after: str = ""


def surround(regions: Sequence[Region]) -> tuple[Edit, ...]:
    """Put code before and after runs of statements; one-line blocks open up once.

    >>> surround([Region(statement, statement, "mu.Lock()", "mu.Unlock()")])  # doctest: +SKIP
    """
    edits: list[Edit] = []
    inline: dict[Node, tuple[Container, dict[int, list[str]]]] = {}
    for region in regions:
        container, start = place(outermost(region.first))
        _, end = place(outermost(region.last))
        if not container.inline:
            if region.before:
                edits += insert_before(region.first, region.before)
            if region.after:
                edits += insert_after(region.last, region.after)
            continue
        _, gaps = inline.setdefault(container.node, (container, {}))
        if region.before:
            gaps.setdefault(start, []).append(region.before)
        if region.after:
            gaps.setdefault(end + 1, []).insert(0, region.after)
    for container, gaps in inline.values():
        edits += expanded(container, {i: "\n".join(lines) for i, lines in gaps.items()})
    return tuple(dict.fromkeys(edits))
