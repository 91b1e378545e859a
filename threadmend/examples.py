"""The example of a rule: its case `basic`, wherever the fixtures are."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib import resources

__all__ = ["Example", "example", "read_archive"]


@dataclass(frozen=True, slots=True)
class Example:
    """One case as a reader sees it: what it shows, and what the fix changes."""

    comment: str
    diff: str


def example(rule: str) -> Example | None:
    """Return the example of a rule by its name, None when it has none."""
    try:
        case = resources.files("threadmend.fixtures").joinpath(rule).joinpath("basic.txtar")
        text = case.read_text(encoding="utf-8")
    except (ModuleNotFoundError, FileNotFoundError, NotADirectoryError):
        return None
    comment, files = read_archive(text)
    diff = "".join(_diffs(files))
    prose = [line for line in comment.splitlines() if not line.startswith("probe:")]
    return Example(" ".join(" ".join(prose).split()), diff or _before(files))


def read_archive(text: str) -> tuple[str, dict[str, str]]:
    """Return the comment and the files of a txtar archive."""
    comment: list[str] = []
    files: dict[str, list[str]] = {}
    lines = comment
    for line in text.splitlines(keepends=True):
        if line.startswith("-- ") and line.rstrip().endswith(" --"):
            lines = files.setdefault(line.rstrip()[3:-3].strip(), [])
        else:
            lines.append(line)
    return "".join(comment), {name: "".join(body) for name, body in files.items()}


def _diffs(files: dict[str, str]) -> list[str]:
    found = []
    for name, after in files.items():
        if not name.startswith("after/"):
            continue
        path = name.removeprefix("after/")
        before = files.get(f"before/{path}", "")
        lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="")
        found.append("".join(f"{line}\n" for line in list(lines)[2:]))
    return found


def _before(files: dict[str, str]) -> str:
    shown = [text for name, text in files.items() if name.startswith("before/")]
    return "\n".join(text for text in shown if not text.startswith("module "))
