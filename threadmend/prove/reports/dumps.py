"""Goroutine dumps: of panics, fatal errors, SIGQUIT, time-outs, `debug=2`; goleak's, too."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from threadmend.prove.reports.lines import Line, frames_from
from threadmend.prove.symptom import BUSY, Kind, Stack, Symptom

__all__ = ["is_own_wait", "read_dumps"]

_GOROUTINE = re.compile(
    r"^\s*goroutine (?P<number>\d+)(?: gp=\S+)?(?: m=\S+)?(?: mp=\S+)? ?"
    r"\[(?P<state>[^\]]*(?:\[[^\]]*\][^\]]*)*)\]:?"
)
_GOLEAK = re.compile(
    r"^\s*(?:\[)?Goroutine (?P<number>\d+) in state (?P<state>.+?), with (?P<top>\S+) on top"
)
_CAUSE = re.compile(r"^\s*(?P<word>panic|fatal error|SIGQUIT): (?P<what>.*)$")

_BOUNDARY = re.compile(r"^(?:FAIL|ok|PASS|\?|---|===|exit status)(?:\s|$)")
"""What go test writes between two programs or tests: a dump does not go on behind it."""

_MISUSES = (
    ("send on closed channel", "send on closed channel"),
    ("close of closed channel", "close of closed channel"),
    ("close of nil channel", "close of nil channel"),
    ("negative WaitGroup counter", "negative WaitGroup counter"),
    ("WaitGroup is reused", "WaitGroup is reused before previous Wait has returned"),
    ("WaitGroup misuse", "WaitGroup misuse: Add called concurrently with Wait"),
    ("unlock of unlocked mutex", "unlock of unlocked mutex"),
    ("RUnlock of unlocked RWMutex", "RUnlock of unlocked RWMutex"),
    ("Unlock of unlocked RWMutex", "Unlock of unlocked RWMutex"),
    ("sync: inconsistent mutex state", "inconsistent mutex state"),
    ("in goroutine after Test", "log in goroutine after the test has completed"),
    ("invalid memory address or nil pointer", "nil pointer dereference"),
    ("assignment to entry in nil map", "assignment to entry in nil map"),
)
_MAPS = re.compile(r"concurrent map (?:writes|read and map write|iteration and map write)")
_RUNTIME = ("runtime.", "runtime/", "internal/", "testing.", "sync.", "panic", "os/signal.")


def read_dumps(lines: Sequence[Line]) -> Iterator[Symptom]:
    """Yield what each panic or fatal error says, and goroutines that were found waiting."""
    stacks: list[Stack] = []
    cause, where = "", 0
    at = 0
    while at < len(lines):
        text = lines[at].text
        found = _GOROUTINE.match(text) or _GOLEAK.match(text)
        began = None if found else _CAUSE.match(text)
        if began is not None or _BOUNDARY.match(text):
            yield from _symptoms(cause, stacks, lines[where].number if lines else 0)
            cause, where, stacks = _cause(began, cause) if began else "", at, []
        if found is None:
            at += 1
            continue
        if not stacks and not cause:
            where = at
        frames, created, at = frames_from(lines, at + 1)
        if frames:
            doing = found["state"].partition(",")[0].removesuffix(" (leaked)").strip()
            stacks.append(Stack(doing, frames, created, f"goroutine {found['number']}"))
    yield from _symptoms(cause, stacks, lines[where].number if lines else 0)


def _cause(found: re.Match[str], known: str) -> str:
    what = found["what"].strip()
    if found["word"] == "SIGQUIT":
        return "SIGQUIT"
    return what or known


def _symptoms(cause: str, stacks: list[Stack], line: int) -> Iterator[Symptom]:
    if not stacks:
        return
    stacks = list({(s.name, s.frames[0]): s for s in stacks}.values())
    misuse = next((said for part, said in _MISUSES if part in cause), None)
    concurrent = _MAPS.search(cause)
    if concurrent is not None:
        yield from _map(concurrent[0], stacks, line)
    elif misuse is not None:
        yield Symptom(Kind.PANIC, misuse, (_thrown(stacks[0]),), "panic", line=line)
    elif cause.startswith("all goroutines are asleep"):
        yield _deadlock(cause.partition(" - ")[0], stacks, line)
    elif cause.startswith("test timed out") or cause in {"SIGQUIT", "deadlock: quit"}:
        said = "the test timed out" if cause.startswith("test") else "SIGQUIT"
        yield _deadlock(said, stacks, line)
    elif cause:
        said = f"panic: {cause}"[:200]
        yield Symptom(Kind.PANIC, said, (_thrown(stacks[0]),), "panic", line=line)
    else:
        for stack in stacks:
            if not is_own_wait(stack) and stack.doing not in BUSY:
                message = f"goroutine blocked: {stack.doing}"
                yield Symptom(Kind.BLOCKED, message, (stack,), "goroutine dump", line=line)


def _thrown(stack: Stack) -> Stack:
    """Return a panicking stack from the place that panicked: deferred calls come before it."""
    panics = [n for n, f in enumerate(stack.frames) if f.function in {"panic", "runtime.throw"}]
    return (
        replace(stack, frames=stack.frames[panics[-1] + 1 :] or stack.frames) if panics else stack
    )


def _map(message: str, stacks: list[Stack], line: int) -> Iterator[Symptom]:
    """Yield a race of the goroutine that failed with those that are at work on the map."""
    first = replace(stacks[0], doing="write" if "writes" in message else "access")
    others = [
        replace(s, doing="access")
        for s in stacks[1:]
        if any("map" in f.function for f in s.frames[:3] if _is_runtime(f.function))
    ]
    yield Symptom(Kind.RACE, message, (first, *others[:1]), "fatal error", line=line)


def _deadlock(message: str, stacks: list[Stack], line: int) -> Symptom:
    ours = tuple(s for s in stacks if not is_own_wait(s))
    waiting = tuple(s for s in ours if s.doing not in BUSY)
    return Symptom(
        Kind.DEADLOCK, message, waiting or ours or tuple(stacks[:1]), "deadlock", line=line
    )


def _is_runtime(function: str) -> bool:
    """Return whether a function is the runtime's or the testing machinery's."""
    return function.startswith(_RUNTIME)


def is_own_wait(stack: Stack) -> bool:
    """Return whether only the runtime or the test machinery waits in a stack."""
    return all(_is_runtime(frame.function) or (frame.function == "main.main" and
               "_testmain" in frame.file) for frame in stack.frames)  # fmt: skip
