"""Message: one complaint of the go command, the compiler or vet, and where it is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from threadmend.prove.overlay import Overlay

__all__ = ["Message", "excuse", "messages"]

_PLACED = re.compile(r"^(?:vet: )?([^\s:][^:\n]*\.(?:go|s|c|h)):(\d+)(?::\d+)?: (.*)$")
_NOISE = re.compile(r"^(?:#|go: downloading |go: finding |exit status )")

# What is no fault of a patch, by what the go command says of it.
_EXCUSES = (
    (
        re.compile(
            r"no required module provides|missing go\.sum entry|module lookup disabled"
            r"|cannot find module|cannot query module|inconsistent vendoring|is not in std"
            r"|cannot find package|updates to go\.mod needed|not in GOROOT|dial tcp"
        ),
        "dependencies are missing",
    ),
    (re.compile(r"requires go >= [\w.]+|needs at least Go|newer Go version"), "needs a newer Go"),
    (
        re.compile(r"C compiler|pkg-config|\.h: No such file|cgo|C source files not allowed"),
        "cgo cannot be used here",
    ),
    (re.compile(r"build constraints exclude all Go files"), "is built for other platforms"),
)


@dataclass(frozen=True, slots=True)
class Message:
    """One complaint; `path` is relative to the project, empty when it is about no file of it."""

    path: str
    line: int
    text: str

    @property
    def key(self) -> tuple[str, str]:
        """Return what stays the same when lines move."""
        return (self.path, re.sub(r"\b[\w./-]+\.go:\d+(?::\d+)?", "…", self.text))

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}" if self.path else self.text


def messages(text: str, cwd: Path, root: Path, overlay: Overlay) -> list[Message]:
    """Return what the go command says in `cwd`, each once; indented lines go on with the last."""
    found: list[Message] = []
    for line in overlay.restored(text, cwd).splitlines():
        if not line.strip() or _NOISE.match(line):
            continue
        placed = _PLACED.match(line)
        if placed:
            full = os.path.realpath(os.path.join(cwd, placed[1]))
            inside = Path(full).is_relative_to(root)
            path = Path(full).relative_to(root).as_posix() if inside else ""
            said = placed[3] if inside else f"{full}:{placed[2]}: {placed[3]}"
            found.append(Message(path, int(placed[2]), said))
        elif line.startswith(("\t", " ", "}")) and found:
            last = found[-1]
            found[-1] = Message(last.path, last.line, f"{last.text} {line.strip()}")
        else:
            found.append(Message("", 0, line.strip()))
    return list(dict.fromkeys(found))


def excuse(said: Iterable[Message]) -> str:
    """Return why nothing can be proved, when that is what the messages are about."""
    for message in said:
        for pattern, reason in _EXCUSES:
            if pattern.search(message.text):
                return f"{reason}: {message}"
    return ""
