"""Reports of all formats are read, through noise; what is broken is named; paths are found.

The files of tests/reports were recorded with Go 1.22 to 1.27 and the tools that they name.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from cases import project_of

from threadmend.prove.locate import locate
from threadmend.prove.remap import Remap
from threadmend.prove.reports import ReportError, read
from threadmend.prove.symptom import Frame, Symptom

REPORTS = Path(__file__).parent / "reports"
RACE = (REPORTS / "go1.26.race.txt").read_text("utf-8")


def seen(symptoms: list[Symptom]) -> list[str]:
    """Return symptoms in short: what, and what each stack does in which of its own lines."""
    return [
        f"{s.kind}: {s.message}: "
        + ", ".join(
            f"{stack.doing} {frame.function.rpartition('/')[2]}:{frame.line}"
            for stack in s.stacks
            for frame in [next(f for f in stack.frames if "example.com" in f.function or s.kind in
                               {"finding", "python"})]
        )
        for s in symptoms
    ]  # fmt: skip


VERSIONS = ("1.22", "1.23", "1.24", "1.25", "1.26", "1.27")
INC = "race: data race: {} p.(*Counter).Inc:10, write p.(*Counter).Inc:10"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_go_version_is_read(version: str) -> None:
    def lines(kind: str) -> list[str]:
        return seen(read((REPORTS / f"go{version}.{kind}.txt").read_bytes(), kind))

    assert lines("race") in ([INC.format("read")], [INC.format("write")])
    assert lines("asleep") == ["deadlock: all goroutines are asleep: sync.Mutex.Lock "
                               "p.(*Counter).Stuck:14"]  # fmt: skip
    assert lines("timeout") == ["deadlock: the test timed out: sync.Mutex.Lock "
                                "p.(*Counter).Stuck:14"]  # fmt: skip
    assert lines("panic") == ["panic: close of closed channel: running p.Crash:19"]
    assert lines("json") == ["panic: close of closed channel: running p.Crash:19"]
    assert lines("debug2") == ["blocked: goroutine blocked: chan send: chan send p.Send:17"]
    assert lines("debug1") == ["blocked: goroutine blocked: waits:  p.Send:17"]


def test_leak_profiles_are_read() -> None:
    """Go 1.27's own judge, as text and as a dump."""
    for kind in ("leak1", "leak2"):
        found = seen(read((REPORTS / f"go1.27.{kind}.txt").read_bytes(), kind))
        assert len(found) == 1
        assert found[0].endswith("p.Send:17")


def varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def message(*fields: tuple[int, int | bytes]) -> bytes:
    found = b""
    for number, value in fields:
        if isinstance(value, int):
            found += varint(number << 3) + varint(value)
        else:
            found += varint(number << 3 | 2) + varint(len(value)) + value
    return found


def profile(kind: bytes = b"goroutine") -> bytes:
    strings = (b"", kind, b"count", b"runtime.chansend", b"chan.go", b"example.com/p.Send", b"p.go")
    return message(
        (1, message((1, 1), (2, 2))),
        (2, message((1, bytes([1, 2])), (2, bytes([3])))),
        (4, message((1, 1), (4, message((1, 1), (2, 283))))),
        (4, message((1, 2), (4, message((1, 2), (2, 17))))),
        (5, message((1, 1), (2, 3), (4, 4))),
        (5, message((1, 2), (2, 5), (4, 6))),
        *((6, text) for text in strings),
    )


def test_a_binary_profile_is_read() -> None:
    data = gzip.compress(profile())
    found = read(data, "goroutine.pb.gz")
    assert seen(found) == ["blocked: goroutine blocked: chan send: chan send p.Send:17"]
    assert found[0].stacks[0].count == 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("goleak.txt", ["blocked: goroutine blocked: chan send: chan send gl.First.func1:13"]),
        (
            "vet.json",
            ["finding: copylocks: Get passes lock by value: example.com/gl.T contains sync.Mutex: "
             "finding :18"],
        ),
        ("staticcheck.json", ["finding: SA2002: the goroutine calls T.Fatal: finding :7"]),
        ("golangci.json", ["finding: govet: lostcancel: the cancel function is lost: finding :9"]),
        ("sarif.json", ["finding: L1: a lock is copied: finding :12"]),
        (
            "faulthandler.txt",
            ["python: thread 0x00007f1fd6b836c0 is in worker: running worker:10",
             "python: thread 0x00007f1fd81c9b80 is in main: running main:16"],
        ),
        (
            "exceptions.txt",
            ["python: IndexError: list index out of range: raising work:10",
             "python: RuntimeError: not closed: raising __del__:6"],
        ),
        (
            "py-spy.txt",
            ["python: MainThread is in main: idle main:16",
             "python: worker is in worker: idle worker:10"],
        ),
        ("py-spy.json", ["python: worker is in worker: idle worker:10"]),
    ],
)  # fmt: skip
def test_other_formats_are_read(name: str, expected: list[str]) -> None:
    assert seen(read((REPORTS / name).read_bytes(), name)) == expected


MISUSES = {
    "panic: send on closed channel": "panic: send on closed channel",
    "panic: close of nil channel": "panic: close of nil channel",
    "panic: sync: negative WaitGroup counter": "panic: negative WaitGroup counter",
    "panic: sync: WaitGroup is reused before previous Wait has returned":
        "panic: WaitGroup is reused before previous Wait has returned",
    "fatal error: sync: unlock of unlocked mutex": "panic: unlock of unlocked mutex",
    "fatal error: sync: Unlock of unlocked RWMutex": "panic: Unlock of unlocked RWMutex",
    "fatal error: sync: RUnlock of unlocked RWMutex": "panic: RUnlock of unlocked RWMutex",
    "fatal error: concurrent map writes": "race: concurrent map writes",
    "fatal error: concurrent map read and map write": "race: concurrent map read and map write",
    "fatal error: concurrent map iteration and map write":
        "race: concurrent map iteration and map write",
}  # fmt: skip


@pytest.mark.parametrize("said", MISUSES)
def test_every_misuse_is_known(said: str) -> None:
    text = f"{said}\n\ngoroutine 7 [running]:\nexample.com/p.F(...)\n\t/app/p.go:3 +0x1d\n"
    (found,) = read(text.encode(), "log")
    assert f"{found.kind}: {found.message}" == MISUSES[said]
    assert found.stacks[0].frames == (Frame("example.com/p.F", "/app/p.go", 3),)


def test_a_panic_is_where_it_was_raised() -> None:
    """Deferred calls and the test's own recovery come first in the stack."""
    text = (
        "panic: close of closed channel [recovered]\n\tpanic: close of closed channel\n\n"
        "goroutine 18 [running]:\ntesting.tRunner.func1.2({0x5, 0x6})\n\t/go/testing.go:1632 +0x2\n"
        "panic({0x5, 0x6})\n\t/go/runtime/panic.go:792 +0x1\n"
        "example.com/p.Crash(...)\n\t/app/p.go:19\n"
    )
    (found,) = read(text.encode(), "log")
    assert found.stacks[0].frames[0].function == "example.com/p.Crash"


# -- noise ----------------------------------------------------------------------------------

NOISES = {
    "colours": lambda line: f"\x1b[31m{line}\x1b[0m",
    "carriage returns": lambda line: line + "\r",
    "moments": lambda line: f"2026-03-04T05:06:07.1234567Z {line}",
    "hours": lambda line: f"[05:06:07] {line}",
    "compose": lambda line: f"api-1  | {line}",
    "kubernetes": lambda line: f"2026-03-04T05:06:07.123456789Z stderr F {line}",
    "github": lambda line: f"test\tRun go test\t2026-03-04T05:06:07.1234567Z {line}",
    "indented": lambda line: f"    {line}",
}


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("kind", ["race", "asleep", "panic", "debug2", "timeout"])
def test_what_collects_logs_does_not_matter(noise: str, kind: str) -> None:
    text = (REPORTS / f"go1.26.{kind}.txt").read_text("utf-8")
    noisy = "\n".join(map(NOISES[noise], text.split("\n")))
    assert seen(read(noisy.encode(), "log")) == seen(read(text.encode(), "log"))


def test_lines_of_others_in_between_do_not_matter() -> None:
    lines = RACE.split("\n")
    noisy = []
    for number, line in enumerate(lines):
        noisy.append(line)
        if number % 3 == 2 and line.strip():
            noisy.append("time=05:06:07 level=info msg=request path=/x")
    assert seen(read("\n".join(noisy).encode(), "log")) == seen(read(RACE.encode(), "log"))


def test_a_report_that_breaks_off_counts_as_far_as_it_goes() -> None:
    cut = RACE[: RACE.index("Goroutine")]
    assert len(read(cut.encode(), "log")) == 1
    for end in range(0, len(RACE), 97):
        read(RACE[:end].encode(), "log")


def test_test_output_of_several_packages_is_not_mixed() -> None:
    def event(package: str, text: str) -> str:
        return json.dumps({"Action": "output", "Package": package, "Output": text})

    one = (REPORTS / "go1.26.panic.txt").read_text("utf-8").split("\n")
    other = [line.replace("example.com/p", "example.com/q") for line in one]
    events = []
    for left, right in zip(one, other, strict=True):
        events += [event("example.com/p", left + "\n"), event("example.com/q", right + "\n")]
    found = seen(read("\n".join(events).encode(), "log"))
    assert found == [f"panic: close of closed channel: running {x}.Crash:19" for x in "pq"]


def test_the_same_thing_twice_is_one_symptom() -> None:
    assert len(read((RACE + RACE).encode(), "log")) == 1


def test_plain_text_shows_nothing() -> None:
    assert read(b"ok  \texample.com/p\t0.01s\n{not json\n", "log") == []
    assert read(b"", "log") == []


# -- what is broken ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"runs": [', "x:1:11: is not JSON: Expecting value"),
        (b'{\n"a": 1,\n}\n', "x:3:1: is not JSON: Expecting property name"),
        (gzip.compress(b"a" * 99, mtime=0)[:-9], "x: the gzip data breaks off after"),
        (b"\x1f\x8b\x08\x00" + b"junk" * 9, "x: cannot be unpacked"),
        (gzip.compress(profile()[:-3], mtime=0), "x: the profile breaks off at byte"),
        (gzip.compress(profile(b"cpu"), mtime=0), "x: is a profile of cpu, not of goroutines"),
        (b"\x89PNG" + bytes(100), "x: is neither text nor a goroutine profile"),
    ],
)  # fmt: skip
def test_what_is_broken_is_named_with_its_place(data: bytes, said: str) -> None:
    with pytest.raises(ReportError) as error:
        read(data, "x")
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


# -- places -----------------------------------------------------------------------------------

FILES = {
    "go.mod": b"module example.com/m\n\ngo 1.25\n",
    "a/a.go": b"package a\n\nfunc F() {\n\tgo func() {\n\t\tprintln()\n\t}()\n}\n\n"
    b"type T struct{}\n\nfunc (t *T) M() {\n\tprintln()\n}\n",
    "b/a.go": b"package b\n\nfunc F() {\n\tprintln()\n}\n",
    "cmd/x/main.go": b"package main\n\nfunc main() {\n\tprintln()\n}\n",
    "py/worker.py": b"def work():\n    pass\n",
}


@pytest.mark.parametrize(
    ("function", "file", "line", "expected"),
    [
        ("example.com/m/a.F", "/app/a/a.go", 5, "a/a.go"),
        ("example.com/m/a.F.func1", "example.com/m/a/a.go", 5, "a/a.go"),
        ("example.com/m/a.(*T).M", "/go/pkg/mod/example.com/m@v1.2.3/a/a.go", 12, "a/a.go"),
        ("example.com/m/a.(*T).M-fm", "/app/a/a.go", 5, None),
        ("example.com/m/b.F[...]", "./b/a.go", 4, "b/a.go"),
        ("main.main", "/builds/ci/cmd/x/main.go", 4, "cmd/x/main.go"),
        ("other.org/m/a.F", "/app/a/a.go", 5, None),
        ("example.com/m/a.G", "/app/a/a.go", 5, None),
        ("example.com/m/a.F", "/app/a/a.go", 500, None),
        ("runtime.gopark", "/usr/local/go/src/runtime/proc.go", 5, None),
        ("", "b/a.go", 4, "b/a.go"),
        ("", "/somewhere/b/a.go", 4, "b/a.go"),
        ("", "/somewhere/a.go", 4, None),
        ("", "C:\\src\\cmd\\x\\main.go", 4, "cmd/x/main.go"),
        ("work", "/srv/py/worker.py", 2, "py/worker.py"),
        ("wait", "/usr/lib/python3.11/site-packages/worker.py", 2, None),
    ],
)
def test_paths_are_found(
    function: str, file: str, line: int, expected: str | None, tmp_path: Path
) -> None:
    remap = Remap(project_of(FILES, tmp_path))
    place = remap.place(Frame(function, file, line))
    assert (place.path if place else None) == expected
    assert bool(remap.stale) is (function == "example.com/m/a.G" or line == 500)


def test_what_a_profile_leaves_out_is_read_from_the_source(tmp_path: Path) -> None:
    files = {
        "go.mod": b"module example.com/p\n",
        "p.go": b"package p\n\nfunc Send(ch chan<- int) { ch <- 1 }\n",
    }
    text = "goroutine profile: total 1\n1 @ 0x1 0x2\n#\t0x1\texample.com/p.Send+0x1d\t/app/p.go:3\n"
    project = project_of(files, tmp_path)
    (symptom,) = read(text.encode(), "log")
    assert locate(symptom, Remap(project), project).stacks[0].stack.doing == "chan send"
