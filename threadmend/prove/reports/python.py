"""Python's own: faulthandler, py-spy dump, exceptions of threads and unraisable ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from threadmend.prove.reports.lines import Line
from threadmend.prove.symptom import Frame, Kind, Stack, Symptom

__all__ = ["read_py_spy", "read_python"]

_FAULT = re.compile(
    r"^\s*(?P<who>Current thread|Thread) (?P<id>0x[0-9a-f]+)(?: \[[^\]]*\])? ?"
    r"\(most recent call first\):"
)
_SPY = re.compile(
    r'^\s*Thread (?P<id>\d+|0x[0-9a-fA-F]+) \((?P<state>[^)]*)\)(?:: "(?P<name>.*)")?'
)
_SPY_FRAME = re.compile(r"^\s+(?P<name>\S.*?) \((?P<file>[^()]+):(?P<line>\d+)\)$")
_FRAME = re.compile(
    r'^\s*File "(?P<file>.+?)", line (?P<line>\d+)(?: in (?P<name>.+)|, in (?P<n>.+))?$'
)
_HEAD = re.compile(r"^\s*Exception (?:in thread (?P<thread>.+?):?|ignored in:? (?P<what>.*))$")
_ERROR = re.compile(r"^(?P<type>[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Warning)\b.*)$")


def read_python(lines: Sequence[Line]) -> Iterator[Symptom]:
    """Yield a symptom for each thread of a dump and each exception."""
    at = 0
    while at < len(lines):
        text = lines[at].text
        fault, spy, head = (p.match(text) for p in (_FAULT, _SPY, _HEAD))
        if fault is not None:
            name = f"{fault['who'].lower()} {fault['id']}"
            yield from _thread(lines, at, _FRAME, name, "running", "faulthandler")
        elif spy is not None:
            name = spy["name"] or f"thread {spy['id']}"
            yield from _thread(lines, at, _SPY_FRAME, name, spy["state"], "py-spy")
        elif head is not None:
            yield from _exception(lines, at, head)
        at += 1


def _thread(
    lines: Sequence[Line], at: int, pattern: re.Pattern[str], name: str, doing: str, format_: str
) -> Iterator[Symptom]:
    frames = []
    for line in lines[at + 1 :]:
        found = pattern.match(line.text)
        if found is not None:
            frames.append(Frame(found["name"] or "", found["file"], int(found["line"])))
        elif not line.text.strip() or _FAULT.match(line.text) or _SPY.match(line.text):
            break
    if frames:
        stack = Stack(doing, tuple(frames), (), name)
        message = f"{name} is in {frames[0].function}"
        yield Symptom(Kind.PYTHON, message, (stack,), format_, line=lines[at].number)


def _exception(lines: Sequence[Line], at: int, head: re.Match[str]) -> Iterator[Symptom]:
    frames: list[Frame] = []
    said = ""
    for line in lines[at + 1 : at + 200]:
        found = _FRAME.match(line.text)
        error = _ERROR.match(line.text.strip()) if frames else None
        if found is not None:
            frames.append(
                Frame(found["n"] or found["name"] or "", found["file"], int(found["line"]))
            )
        elif error is not None and not line.text.startswith("  "):
            said = error["type"]
            break
        elif _HEAD.match(line.text):
            break
    if frames:
        name = head["thread"] or "the interpreter"
        format_ = "thread exception" if head["thread"] else "unraisable exception"
        stack = Stack("raising", tuple(reversed(frames)), (), name)
        message = (said or f"exception in {name}")[:200]
        yield Symptom(Kind.PYTHON, message, (stack,), format_, line=lines[at].number)


def read_py_spy(value: Any) -> Iterator[Symptom]:
    """Yield the threads of `py-spy dump --json`: a list of threads with their frames."""
    for thread in value if isinstance(value, list) else ():
        if not isinstance(thread, dict) or not isinstance(thread.get("frames"), list):
            continue
        frames = tuple(
            Frame(str(f.get("name", "")), str(f.get("filename", "")), int(f.get("line") or 0))
            for f in thread["frames"]
            if isinstance(f, dict)
        )
        if frames:
            name = str(thread.get("thread_name") or "thread")
            doing = "running" if thread.get("active") else "idle"
            stack = Stack(doing, frames, (), name)
            message = f"{name} is in {frames[0].function}"
            yield Symptom(Kind.PYTHON, message, (stack,), "py-spy")
