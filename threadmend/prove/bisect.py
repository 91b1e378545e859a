"""isolate(): which fix a complaint is about, found by making patches without some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from posixpath import dirname

from threadmend.analysis import Veto
from threadmend.model import Edit, Outcome, OutcomeKind, Patch
from threadmend.prove.proof import Complaint, Examined, stamped

__all__ = ["Examine", "Make", "proved", "proved_and_seen"]

Make = Callable[[Mapping[Veto, str]], Patch]
Examine = Callable[[Patch], Examined]

PASSES = 25
"""After so many, whatever edits a folder that is complained of is refused."""


def proved(make: Make, examine: Examine, patch: Patch) -> Patch:
    """Return the patch of `proved_and_seen`."""
    return proved_and_seen(make, examine, patch)[0]


def proved_and_seen(make: Make, examine: Examine, patch: Patch) -> tuple[Patch, Examined]:
    """Return the largest patch that nothing can be said against, and what was seen of it.

    `make` returns a patch without the fixes that are vetoed, `patch` is the one without
    vetoes, and `examine` returns what the toolchain says of one. A fix to blame is refused,
    the rest stays, and is looked at again.
    """
    vetoes: dict[Veto, str] = {}
    for number in range(PASSES + 1):
        seen = examine(patch)
        if not seen.complaints:
            break
        blamed: dict[Veto, str] = {}
        for complaint in _first(seen.complaints):
            suspects: Sequence[Outcome] = _suspects(patch, complaint)
            if number < PASSES - 1:
                trial = _Trial(make, examine, patch, vetoes, complaint.directory)
                suspects = trial.culprit(suspects)
            blamed |= {(o.finding.order, _title(o)): complaint.reason for o in suspects}
        if not blamed or number == PASSES:
            # Nobody's fix, as far as can be told: then none of the patch can be vouched for.
            blamed = dict.fromkeys(map(_any_fix, patch.outcomes), seen.complaints[0].reason)
        vetoes |= blamed
        patch = make(vetoes)
    return stamped(patch, seen), seen


def _first(complaints: Iterable[Complaint]) -> list[Complaint]:
    """Return one complaint per folder: others are often what follows from it."""
    found: dict[str, Complaint] = {}
    for complaint in complaints:
        known = found.setdefault(complaint.directory, complaint)
        if not known.message.path and complaint.message.path:
            found[complaint.directory] = complaint
    return list(found.values())


def _suspects(patch: Patch, complaint: Complaint) -> list[Outcome]:
    """Return the outcomes whose fixes may be to blame, the nearest first."""
    made = [o for o in patch.outcomes if o.kind is OutcomeKind.FIXED and o.fix is not None]
    place = complaint.directory if complaint.directory != "." else ""
    line = _old_line(patch, complaint)

    def distance(outcome: Outcome) -> tuple[bool, bool, int]:
        own = [e.start for e in _edits(outcome) if e.path == complaint.message.path]
        before = patch.before.get(complaint.message.path) or b""
        lines = [abs(before.count(b"\n", 0, start) + 1 - line) for start in own]
        near = any(dirname(e.path) == place for e in _edits(outcome))
        return (not own, not near, min(lines, default=0))

    return sorted(made, key=distance)


def _edits(outcome: Outcome) -> Sequence[Edit]:
    return outcome.fix.edits if outcome.fix else ()


def _title(outcome: Outcome) -> str:
    return outcome.fix.title if outcome.fix else ""


def _any_fix(outcome: Outcome) -> Veto:
    return (outcome.finding.order, "")


def _old_line(patch: Patch, complaint: Complaint) -> int:
    """Return the line, before the patch, that the complained-of line comes from."""
    path, line = complaint.message.path, complaint.message.line
    old, new = ((side.get(path) or b"").split(b"\n") for side in (patch.before, patch.after))
    for _, start, end, new_start, new_end in SequenceMatcher(
        None, old, new, autojunk=False
    ).get_opcodes():
        if new_start < line <= new_end:
            return min(start + line - new_start, max(end, start + 1))
    return line


@dataclass(frozen=True)
class _Trial:
    """Patches of a few fixes, to see whether a folder is complained of."""

    make: Make
    examine: Examine
    patch: Patch
    vetoes: Mapping[Veto, str]
    directory: str

    def culprit(self, suspects: Sequence[Outcome]) -> Sequence[Outcome]:
        """Return the fix that brings a complaint about, on top of those that are nearer to it.

        It is usually one of the folder's own; else it is in a package that is imported there.
        """
        inside = [o for o in suspects if any(self._is_here(edit) for edit in _edits(o))]
        for some in (inside, suspects) if len(inside) < len(suspects) else (suspects,):
            if some and self._complains(some):
                return self._among(some)
        return suspects[:1]

    def _is_here(self, edit: Edit) -> bool:
        return (dirname(edit.path) or ".") == self.directory

    def _among(self, suspects: Sequence[Outcome]) -> Sequence[Outcome]:
        """Return the culprit among suspects that are complained of together."""
        if len(suspects) < 2 or self._complains(suspects[:1]):
            return suspects[:1]
        low, high = 1, len(suspects)
        while high - low > 1:
            middle = (low + high) // 2
            if self._complains(suspects[:middle]):
                high = middle
            else:
                low = middle
        return suspects[high - 1 : high]

    def _complains(self, some: Sequence[Outcome]) -> bool:
        mine = {_any_fix(outcome) for outcome in some}
        others = {_any_fix(outcome) for outcome in self.patch.outcomes} - mine
        seen = self.examine(self.make({**self.vetoes, **dict.fromkeys(others, "left out")}))
        return any(complaint.directory == self.directory for complaint in seen.complaints)
