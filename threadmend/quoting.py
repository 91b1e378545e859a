"""File names in a patch: quoted as git does, and kept inside the project."""

from __future__ import annotations

import os
import re

__all__ = ["decode_path", "encode_path", "is_inside", "quote", "unquote"]

_SHORT = {7: b"a", 8: b"b", 9: b"t", 10: b"n", 11: b"v", 12: b"f", 13: b"r", 34: b'"', 92: b"\\"}
_LONG = {short: code for code, short in _SHORT.items()}
_UNUSUAL = re.compile(rb'[\x00-\x1f"\\\x7f-\xff]')
_ESCAPE = re.compile(rb'\\([0-3][0-7]{2}|[abtnvfr"\\])')
_QUOTED = re.compile(rb'"(?:[^"\\\n]|\\(?:[0-3][0-7]{2}|[abtnvfr"\\]))*"')


def encode_path(path: str) -> bytes:
    """Return the bytes that a path has in a repository."""
    return path.encode("utf-8", "surrogateescape")


def decode_path(path: bytes) -> str:
    """Return a path's text; bytes that are not UTF-8 become surrogates."""
    return path.decode("utf-8", "surrogateescape")


def quote(path: bytes) -> bytes:
    """Return a path as git prints it: in C quotes when it has an unusual byte.

    Also when a folder's name ends in a blank: git prints it plain and cannot read it then.
    """
    quoted = _UNUSUAL.sub(_escaped, path)
    return path if quoted == path and b" /" not in path else b'"' + quoted + b'"'


def unquote(text: bytes) -> tuple[bytes, bytes] | None:
    """Split a quoted path off the start of `text`; None when there is no sound one."""
    match = _QUOTED.match(text)
    if match is None:
        return None
    return _ESCAPE.sub(_plain, match[0][1:-1]), text[match.end() :]


def is_inside(path: bytes) -> bool:
    """Say whether a path stays in the project and out of git's own folder, on any system."""
    if not path or b"\0" in path:
        return False
    if os.name == "nt" and (b"\\" in path or b":" in path):
        return False
    return not any(part in (b"", b".", b"..") or _is_git(part) for part in path.split(b"/"))


def _escaped(match: re.Match[bytes]) -> bytes:
    code = match[0][0]
    return b"\\" + (_SHORT.get(code) or b"%03o" % code)


def _plain(match: re.Match[bytes]) -> bytes:
    escape = match[1]
    return bytes([_LONG[escape] if escape in _LONG else int(escape, 8)])


def _is_git(part: bytes) -> bool:
    # Windows drops dots and blanks at the end and has short names; macOS drops joiners.
    name = part.decode("utf-8", "ignore").lower()
    name = re.sub("[\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]", "", name)
    return name.partition(":")[0].rstrip(". ") in (".git", "git~1")
