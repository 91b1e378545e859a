"""Compose edits: which may go together, and the bytes that come out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from threadmend.model import Edit

__all__ = ["Claims", "Edits", "apply_edits", "by_path", "shift", "unshift"]

Edits = Mapping[str, Sequence[Edit]]
"""The edits of a text by path, sorted, without overlaps."""


class Claims:
    """The bytes that the fixes of a round have taken, with the rule that took them."""

    def __init__(self) -> None:
        self._taken: dict[str, list[tuple[Edit, str]]] = {}

    def conflict(self, edits: Iterable[Edit]) -> str | None:
        """Return the rule whose edit touches the same bytes as one of these, if any.

        Two insertions at one place touch each other, as does an insertion at the border of a
        replaced range: their order would matter. Identical edits do not.
        """
        for edit in edits:
            for other, rule in self._taken.get(edit.path, ()):
                if edit != other and _touch(edit, other):
                    return rule
        return None

    def take(self, edits: Iterable[Edit], rule: str) -> None:
        """Claim the bytes of a fix."""
        for edit in edits:
            self._taken.setdefault(edit.path, []).append((edit, rule))


def _touch(one: Edit, other: Edit) -> bool:
    if one.start == one.end or other.start == other.end:
        return one.start <= other.end and other.start <= one.end
    return one.start < other.end and other.start < one.end


def by_path(edits: Iterable[Edit]) -> dict[str, list[Edit]]:
    """Return the edits of each path, sorted, identical ones once."""
    paths: dict[str, set[Edit]] = {}
    for edit in edits:
        paths.setdefault(edit.path, set()).add(edit)
    return {path: sorted(paths[path]) for path in sorted(paths)}


def apply_edits(data: bytes, edits: Sequence[Edit]) -> bytes:
    """Return the bytes after edits that are sorted and do not overlap."""
    pieces = []
    at = 0
    for edit in edits:
        pieces += [data[at : edit.start], edit.new]
        at = edit.end
    pieces.append(data[at:])
    return b"".join(pieces)


def shift(edits: Edits, path: str, offset: int) -> int:
    """Return where the byte at `offset` stands after the edits of its file.

    A byte that was replaced counts as the one at its place in the new text.
    """
    moved = offset
    for edit in edits.get(path, ()):
        if edit.end <= offset:
            moved += len(edit.new) - (edit.end - edit.start)
        elif edit.start < offset:
            moved += min(offset - edit.start, len(edit.new)) - (offset - edit.start)
        else:
            break
    return moved


def unshift(edits: Edits, path: str, offset: int) -> int:
    """Return where the byte at `offset` of the new text stood before the edits."""
    delta = 0
    for edit in edits.get(path, ()):
        start = edit.start + delta
        if offset < start:
            break
        if offset < start + len(edit.new):
            return min(edit.start + (offset - start), edit.end)
        delta += len(edit.new) - (edit.end - edit.start)
    return offset - delta
