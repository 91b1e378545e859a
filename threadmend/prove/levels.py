"""Level: how much the toolchain is asked about a patch."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Level"]


class Level(StrEnum):
    """Each includes what stands before it; `race` runs the tests under the race detector."""

    BUILD = "build"
    VET = "vet"
    TESTS = "tests"
    RACE = "race"

    @property
    def runs_tests(self) -> bool:
        """Return whether code of the project is run."""
        return self in {Level.TESTS, Level.RACE}
