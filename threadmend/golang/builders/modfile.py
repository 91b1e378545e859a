"""Edits of go.mod: add a requirement where the go command would write it."""

from __future__ import annotations

import re

from threadmend.model import Edit
from threadmend.source import SourceFile

__all__ = ["add_requirement", "add_requirements"]

_BLOCK = re.compile(rb"^require[ \t]*\([ \t]*(?://[^\n]*)?\n(.*?)^\)", re.M | re.S)
_SINGLE = re.compile(rb"^require[ \t]+[^(\s][^\n]*(?:\n|\Z)", re.M)
_HEAD = re.compile(rb"^(?:module|go|toolchain)[ \t][^\n]*(?:\n|\Z)", re.M)
_ENTRY = re.compile(rb"^[ \t]+([^\s/][^\s]*)[ \t]+v[^\n]*(?:\n|\Z)", re.M)


def add_requirement(source: SourceFile, path: str, version: str) -> Edit:
    """Return the edit that requires a module in a go.mod that does not mention it.

    It goes, sorted, into the first block with direct requirements; else beside a requirement
    on a line of its own, or below the versions of the language.
    """
    data, newline = source.data, source.newline
    for block in _BLOCK.finditer(data):
        entries = list(_ENTRY.finditer(data, *block.span(1)))
        if entries and all(b"// indirect" in entry[0] for entry in entries):
            continue
        later = (entry.start() for entry in entries if entry[1] > path.encode())
        at = next(later, block.end(1))
        return Edit(source.path, at, at, f"\t{path} {version}".encode() + newline)
    line = f"require {path} {version}".encode() + newline
    singles = list(_SINGLE.finditer(data))
    if singles:
        at = singles[-1].end()
        return Edit(source.path, at, at, _broken(data, at, newline) + line)
    at = max(head.end() for head in _HEAD.finditer(data))
    following = data[at : at + 2].lstrip(b"\r")
    after = b"" if not following or following.startswith(b"\n") else newline
    return Edit(source.path, at, at, _broken(data, at, newline) + newline + line + after)


def add_requirements(
    source: SourceFile, direct: tuple[str, str], indirect: tuple[str, str]
) -> tuple[Edit, ...]:
    """Return the edits that require a module, and one that only the module imports.

    The latter goes into the block of its kind, else on a line of its own below the last
    requirement; both are (path, version) and not mentioned in the go.mod.
    """
    first, second = add_requirement(source, *direct), _indirect(source, *indirect)
    if second is None:
        line = f"require {indirect[0]} {indirect[1]} // indirect".encode() + source.newline
        ends = [block.end() for block in _BLOCK.finditer(source.data)]
        ends += [single.end() for single in _SINGLE.finditer(source.data)]
        at = source.line_end(max(ends) - 1) if ends else first.start
        second = Edit(source.path, at, at, source.newline + line)
    if first.start == second.start:
        return (Edit(source.path, first.start, first.start, first.new + second.new),)
    return (first, second)


def _indirect(source: SourceFile, path: str, version: str) -> Edit | None:
    """Return the edit that puts a module into a block with indirect requirements."""
    found: list[tuple[bool, Edit]] = []
    for block in _BLOCK.finditer(source.data):
        entries = list(_ENTRY.finditer(source.data, *block.span(1)))
        marks = [b"// indirect" in entry[0] for entry in entries]
        if any(marks):
            later = (entry.start() for entry in entries if entry[1] > path.encode())
            at = next(later, block.end(1))
            text = f"\t{path} {version} // indirect".encode() + source.newline
            found.append((not all(marks), Edit(source.path, at, at, text)))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def _broken(data: bytes, at: int, newline: bytes) -> bytes:
    """Return what ends the line before, in a file without a line end at its end."""
    return b"" if data[:at].endswith(b"\n") else newline
