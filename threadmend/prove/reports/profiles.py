"""Goroutine and goroutineleak profiles of pprof: the text of debug=1, and the binary form."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from threadmend.prove.reports.dumps import is_own_wait
from threadmend.prove.reports.errors import ReportError
from threadmend.prove.reports.lines import Line
from threadmend.prove.symptom import Frame, Kind, Stack, Symptom

__all__ = ["is_profile", "read_binary", "read_profiles"]

_TITLE = re.compile(r"^\s*goroutine(?P<leak>leak)? profile: total \d+")
_COUNT = re.compile(r"^\s*(?P<count>\d+) @(?: 0x[0-9a-f]+)+")
_FRAME = re.compile(
    r"^\s*#\s+0x[0-9a-f]+\s+(?P<name>\S+?)\+0x[0-9a-f]+\s+(?P<file>\S.*):(?P<line>\d+)\s*$"
)

_STATES = {
    "runtime.chansend": "chan send",
    "runtime.chanrecv": "chan receive",
    "runtime.selectgo": "select",
    "sync.runtime_SemacquireMutex": "sync.Mutex.Lock",
    "internal/sync.runtime_SemacquireMutex": "sync.Mutex.Lock",
    "sync.runtime_SemacquireRWMutex": "sync.RWMutex.Lock",
    "sync.runtime_SemacquireWaitGroup": "sync.WaitGroup.Wait",
    "sync.(*WaitGroup).Wait": "sync.WaitGroup.Wait",
    "sync.(*Mutex).Lock": "sync.Mutex.Lock",
    "sync.(*RWMutex).RLock": "sync.RWMutex.RLock",
    "sync.(*RWMutex).Lock": "sync.RWMutex.Lock",
    "sync.(*Cond).Wait": "sync.Cond.Wait",
    "sync.runtime_notifyListWait": "sync.Cond.Wait",
    "runtime.block": "select (no cases)",
    "time.Sleep": "sleep",
    "internal/poll.runtime_pollWait": "IO wait",
}


def read_profiles(lines: Sequence[Line]) -> Iterator[Symptom]:
    """Yield a goroutine that waits for each entry of the profiles in a text."""
    name, started = "", 0
    count, frames = 0, list[Frame]()
    for line in [*lines, Line(0, "")]:
        title, entry, frame = (p.match(line.text) for p in (_TITLE, _COUNT, _FRAME))
        if frame is not None:
            frames.append(Frame(frame["name"], frame["file"], int(frame["line"])))
            continue
        if title is not None or entry is not None or not line.text.strip():
            if count and frames and name:
                yield from _waiting(name, frames, count, started)
            count, frames = 0, []
        if title is not None:
            name = "goroutineleak profile" if title["leak"] else "goroutine profile"
        elif entry is not None:
            count, started = int(entry["count"]), line.number


def _waiting(name: str, frames: Sequence[Frame], count: int, line: int = 0) -> Iterator[Symptom]:
    doing = next((_STATES[s] for f in frames[:6] for s in _STATES if _is(f.function, s)), "")
    stack = Stack(doing, tuple(frames), (), f"{count} goroutines" if count > 1 else "a goroutine",
                  count)  # fmt: skip
    writes_it = any(f.function.startswith("runtime/pprof.") for f in frames[:4])
    if writes_it or is_own_wait(stack) or doing in {"IO wait", "sleep"}:
        return
    yield Symptom(Kind.BLOCKED, f"goroutine blocked: {doing or 'waits'}", (stack,), name, line=line)


def _is(function: str, name: str) -> bool:
    return function == name or (function.startswith(name) and function[len(name) :].isdigit())


# -- the binary form ----------------------------------------------------------------------


@dataclass(slots=True)
class _Profile:
    samples: list[tuple[list[int], int]] = field(default_factory=list)
    locations: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    functions: dict[int, tuple[int, int]] = field(default_factory=dict)
    strings: list[str] = field(default_factory=list)
    types: list[int] = field(default_factory=list)


def is_profile(data: bytes) -> bool:
    """Return whether bytes look like an unpacked pprof profile: a protobuf field, no text."""
    binary = any(byte < 9 for byte in data[:32])
    return binary and data[0] & 7 in {0, 2} and 1 <= data[0] >> 3 <= 15


def read_binary(data: bytes, source: str) -> Iterator[Symptom]:
    """Yield the goroutines of an unpacked profile; raises ReportError where it breaks off."""
    profile = _parsed(data, source)
    try:
        names = {profile.strings[index] for index in profile.types}
        if not names & {"goroutine", "goroutines", "goroutineleak"}:
            kind = ", ".join(sorted(names)) or "unknown"
            raise ReportError(f"{source}: is a profile of {kind}, not of goroutines")
        leak = "goroutineleak" in names
        for locations, count in profile.samples:
            lines = [line for number in locations for line in profile.locations[number]]
            frames = []
            for function, number in lines:
                name, file = (profile.strings[i] for i in profile.functions[function])
                frames.append(Frame(name, file, number))
            yield from _waiting("goroutineleak profile" if leak else "goroutine profile",
                                frames, count)  # fmt: skip
    except (IndexError, KeyError):
        raise ReportError(f"{source}: the profile refers to what it does not hold") from None


def _parsed(data: bytes, source: str) -> _Profile:
    profile = _Profile()
    for number, value in _fields(data, source):
        if isinstance(value, int):
            continue
        if number == 1:
            profile.types += [v for n, v in _fields(value, source) if n == 1 and type(v) is int]
        elif number == 2:
            profile.samples.append(_sample(value, source))
        elif number == 4:
            own, lines = 0, []
            for name, part in _fields(value, source):
                if name == 1 and isinstance(part, int):
                    own = part
                elif name == 4 and isinstance(part, bytes):
                    known = dict(_fields(part, source))
                    lines.append((_int(known.get(1)), _int(known.get(2))))
            profile.locations[own] = lines
        elif number == 5:
            known = dict(_fields(value, source))
            profile.functions[_int(known.get(1))] = (_int(known.get(2)), _int(known.get(4)))
        elif number == 6:
            profile.strings.append(value.decode("utf-8", "replace"))
    return profile


def _sample(data: bytes, source: str) -> tuple[list[int], int]:
    locations, values = list[int](), list[int]()
    for number, value in _fields(data, source):
        target = {1: locations, 2: values}.get(number)
        if target is None:
            continue
        if isinstance(value, int):
            target.append(value)
        else:
            at = 0
            while at < len(value):
                one, at = _varint(value, at, source)
                target.append(one)
    return locations, values[0] if values else 1


def _int(value: int | bytes | None) -> int:
    return value if isinstance(value, int) else 0


def _fields(data: bytes, source: str) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of a protobuf message: numbers, and bytes of strings and messages."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at, source)
        wire = key & 7
        if wire == 0:
            value, at = _varint(data, at, source)
            yield key >> 3, value
        elif wire == 2:
            size, at = _varint(data, at, source)
            if at + size > len(data):
                raise ReportError(f"{source}: the profile breaks off at byte {at}")
            yield key >> 3, data[at : at + size]
            at += size
        elif wire in {1, 5}:
            at += 8 if wire == 1 else 4
        else:
            raise ReportError(f"{source}: is no profile (byte {at})")


def _varint(data: bytes, at: int, source: str) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ReportError(f"{source}: the profile breaks off at byte {at}")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
