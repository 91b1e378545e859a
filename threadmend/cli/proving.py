"""Proving: what the options say about the Go toolchain, and the proof of a patch with it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from threadmend.cli.errors import BadInputError
from threadmend.cli.session import Session
from threadmend.engine import Veto
from threadmend.model import OutcomeKind, Patch, Proof
from threadmend.prove.levels import Level

if TYPE_CHECKING:
    from threadmend.prove.evidence import Trial
    from threadmend.prove.packages import Shop
    from threadmend.prove.toolchain import Toolchain

__all__ = ["Proving"]

_CALL_UNASKED = 240
"""The same for a proof that nobody asked for in words."""

_STRESS_COUNT = 5
_STRESS_CPU = "1,2,4"

_NO_TOOLCHAIN = "no Go toolchain is installed"

Make = Callable[[Mapping[Veto, str]], Patch]

_CALL = 900
"""Seconds that one call of the go command may take before tests run."""


@dataclass(frozen=True, kw_only=True)
class Proving:
    """What was asked for; without a level and where it is usual, build and vet."""

    level: Level | None = None
    off: bool = False
    count: int = 1
    cpu: str = ""
    seconds: float = 300
    megabytes: int = 0
    network: bool = False
    stress: bool = False

    def wanted(self, usual: bool) -> bool:
        """Return whether to prove; raises BadInputError when the options disagree."""
        if self.level is not None and self.off:
            raise BadInputError("--prove and --no-prove cannot be combined")
        return self.level is not None or (usual and not self.off)

    @contextmanager
    def shop(self, session: Session, *, asked: bool = True) -> Iterator[Shop]:
        """Give the toolchain and a folder that goes away; raises BadInputError without one."""
        from threadmend.prove.packages import Shop
        from threadmend.prove.process import Limits, folder
        from threadmend.prove.toolchain import find

        tool = find()
        if tool is None:
            raise BadInputError(f"{_NO_TOOLCHAIN}; install go, or `pip install 'threadmend[go]'`")
        seconds = _CALL if asked else _CALL_UNASKED
        limits = Limits(seconds=seconds, memory=self._memory(), network=self.network)
        with folder() as place:
            yield Shop(tool, Path(os.path.realpath(session.root)), place, limits)

    def testing(self, tool: Toolchain) -> Trial:
        """Return how tests are run."""
        from threadmend.prove.evidence import Trial

        race = self.level is not Level.TESTS and not tool.no_race
        plain = Trial(race=race, count=self.count, cpu=self.cpu, seconds=self.seconds)
        if not self.stress:
            return plain
        count = self.count if self.count > 1 else _STRESS_COUNT
        return replace(plain, count=count, cpu=self.cpu or _STRESS_CPU, noise=True)

    def proved(self, session: Session, make: Make, patch: Patch, shop: Shop) -> Patch:
        """Return the part of a patch that the toolchain has nothing against, with proofs."""
        if not any(path.endswith(".go") for path in patch.after):
            return patch
        from threadmend.prove.bisect import proved
        from threadmend.prove.proof import Examiner

        examiner = Examiner(session.project, shop, self.level or Level.VET, self.testing(shop.tool))
        return proved(make, examiner.examine, patch)

    def proved_if_possible(self, session: Session, make: Make, patch: Patch) -> Patch:
        """Return the same; without a toolchain what was asked for in words is unproved."""
        from threadmend.prove.toolchain import find

        if find() is None:
            return patch if self.level is None else _unproved(patch, _NO_TOOLCHAIN)
        if sys.stderr.isatty() and any(path.endswith(".go") for path in patch.after):
            print("asking go build and go vet (--no-prove: do not)", file=sys.stderr)
        with self.shop(session, asked=self.level is not None) as shop:
            return self.proved(session, make, patch, shop)

    def _memory(self) -> int:
        if self.megabytes:
            return self.megabytes << 20
        try:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4
        except (AttributeError, OSError, ValueError):
            return 0


def _unproved(patch: Patch, reason: str) -> Patch:
    proof = Proof(False, reason)
    return replace(
        patch,
        outcomes=tuple(
            replace(o, proof=proof) if o.kind is OutcomeKind.FIXED else o for o in patch.outcomes
        ),
    )
