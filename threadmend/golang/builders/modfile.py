"""Edits of go.mod: add a requirement where the go command would write it."""

from __future__ import annotations

import re

from threadmend.model import Edit
from threadmend.source import SourceFile

__all__ = ["add_requirement"]

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


def _broken(data: bytes, at: int, newline: bytes) -> bytes:
    """Return what ends the line before, in a file without a line end at its end."""
    return b"" if data[:at].endswith(b"\n") else newline
