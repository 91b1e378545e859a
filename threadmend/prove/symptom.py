"""Symptom: what a run or another tool said went wrong, whatever format it came in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["BUSY", "Frame", "Kind", "Stack", "Symptom"]


BUSY = frozenset({"running", "runnable", "syscall", "sleep", "IO wait", "idle", "finalizer wait"})
"""What goroutines do that wait for no other one, in the words of dumps."""


class Kind(StrEnum):
    """What kind of thing went wrong."""

    RACE = "race"
    """Two accesses of one place that nothing orders; concurrent use of a map, too."""
    BLOCKED = "blocked"
    """A goroutine that waits, perhaps for ever."""
    DEADLOCK = "deadlock"
    """Goroutines that all wait: of each other, or for a time-out."""
    PANIC = "panic"
    """A misuse that ended the program: a send on a closed channel and its like."""
    FINDING = "finding"
    """A place that another tool points to."""
    PYTHON = "python"
    """A Python thread's stack or exception."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One call of a stack, as the report says it: a path of the machine that it ran on."""

    function: str
    file: str
    line: int
    column: int = 0


@dataclass(frozen=True, slots=True)
class Stack:
    """A goroutine or thread: what it does (`write`, `read`, `chan send`, …) and where."""

    doing: str
    frames: tuple[Frame, ...]
    created: tuple[Frame, ...] = ()
    """The launch, innermost frame first."""
    name: str = ""
    """How the report calls it: `goroutine 7`, `MainThread`."""
    count: int = 1


@dataclass(frozen=True, slots=True)
class Symptom:
    """One thing that went wrong.

    `source` and `line` say where in which report it stood; `format` which reader took it.
    """

    kind: Kind
    message: str
    stacks: tuple[Stack, ...]
    format: str
    source: str = ""
    line: int = 0

    @property
    def identity(self) -> tuple[object, ...]:
        """Return what makes two reports of one symptom equal: numbers and addresses aside."""
        tops = sorted((s.doing, _place(s.frames[:3]), _place(s.created[:1])) for s in self.stacks)
        return (self.kind, self.message if self.kind is Kind.FINDING else "", tuple(tops))


def _place(frames: tuple[Frame, ...]) -> tuple[tuple[str, str, int], ...]:
    return tuple((frame.function, frame.file, frame.line) for frame in frames)
