"""quote() and unquote(): file names as git writes them in a patch."""

from __future__ import annotations

import re

__all__ = ["decode_path", "encode_path", "quote", "unquote"]

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
    """Return a path as git prints it: in C quotes when it has an unusual byte."""
    quoted = _UNUSUAL.sub(_escaped, path)
    return path if quoted == path else b'"' + quoted + b'"'


def unquote(text: bytes) -> tuple[bytes, bytes] | None:
    """Split a quoted path off the start of `text`; None when there is no sound one."""
    match = _QUOTED.match(text)
    if match is None:
        return None
    return _ESCAPE.sub(_plain, match[0][1:-1]), text[match.end() :]


def _escaped(match: re.Match[bytes]) -> bytes:
    code = match[0][0]
    return b"\\" + (_SHORT.get(code) or b"%03o" % code)


def _plain(match: re.Match[bytes]) -> bytes:
    escape = match[1]
    return bytes([_LONG[escape] if escape in _LONG else int(escape, 8)])
