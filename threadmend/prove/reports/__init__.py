"""Reports of runs and tools: read(data, source) finds out what they are and what they say.

One module reads one family of formats; a log may hold several, between lines of other
things, coloured, prefixed by what collected it, or as the stream of `go test -json`.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from threadmend.prove.reports.dumps import read_dumps
from threadmend.prove.reports.errors import ReportError
from threadmend.prove.reports.lines import Line, cleaned
from threadmend.prove.reports.profiles import is_profile, read_binary, read_profiles
from threadmend.prove.reports.python import read_py_spy, read_python
from threadmend.prove.reports.races import read_races
from threadmend.prove.reports.tools import read_tool
from threadmend.prove.symptom import Symptom

__all__ = ["ReportError", "read"]

_LIMIT = 512 << 20


def read(data: bytes, source: str) -> list[Symptom]:
    """Return the symptoms of a report, each once; raises ReportError for what cannot be read."""
    data = _unpacked(data, source)
    if is_profile(data):
        found = list(read_binary(data, source))
    else:
        found = list(_of_text(_decoded(data, source), source))
    known: dict[tuple[object, ...], Symptom] = {}
    for symptom in found:
        known.setdefault(symptom.identity, replace(symptom, source=source))
    return list(known.values())


def _unpacked(data: bytes, source: str) -> bytes:
    for _ in range(2):
        if data[:2] != b"\x1f\x8b":
            break
        unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            data = unpack.decompress(data, _LIMIT)
        except (zlib.error, gzip.BadGzipFile) as error:
            raise ReportError(f"{source}: cannot be unpacked: {error}") from None
        if unpack.unconsumed_tail:
            raise ReportError(f"{source}: unpacks to more than {_LIMIT >> 20} MB")
        if not unpack.eof:
            raise ReportError(f"{source}: the gzip data breaks off after {len(data)} bytes")
    return data


def _decoded(data: bytes, source: str) -> str:
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:  # PowerShell's `>`
        return data.decode("utf-16", "replace")
    head = data[:4096]
    if head.count(0) > len(head) // 20:
        raise ReportError(f"{source}: is neither text nor a goroutine profile")
    return data.decode("utf-8", "replace")


def _of_text(text: str, source: str) -> Iterator[Symptom]:
    stripped = text.lstrip("\ufeff \t\r\n")
    if stripped[:1] in {"{", "["} and _is_whole(stripped):
        yield from _of_document(stripped, text, source)
        return
    lines, documents = _split(cleaned(text))
    for number, value in documents:
        for symptom in read_tool(value):
            yield replace(symptom, line=number)
    yield from _of_lines(lines)


def _is_whole(text: str) -> bool:
    """Return whether a text is one JSON document and not a stream or a log."""
    first = text.partition("\n")[0].rstrip()
    if first in {"{", "["}:
        return True
    try:
        json.loads(first)
    except ValueError:
        # A document that ends with the text, though broken somewhere in between.
        return "\n" not in text.strip() and text[1:2] in {'"', "{", " "}
    return "\n" not in text.strip()


def _of_document(text: str, whole: str, source: str) -> Iterator[Symptom]:
    skipped = whole[: len(whole) - len(text)].count("\n")
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except RecursionError:
            raise ReportError(f"{source}: the JSON is nested too deeply") from None
        except json.JSONDecodeError as error:
            place = f"{error.lineno + skipped}:{error.colno}"
            raise ReportError(f"{source}:{place}: is not JSON: {error.msg}") from None
        if isinstance(value, dict) and "Action" in value:
            yield from _of_lines(cleaned(str(value.get("Output", ""))))
        elif isinstance(value, list):
            yield from read_py_spy(value)
        else:
            yield from read_tool(value)
        while at < len(text) and text[at] in " \t\r\n":
            at += 1
        if at < len(text) and text[at] not in "{[":
            yield from _of_text(text[at:], source)
            return


def _of_lines(lines: Sequence[Line]) -> Iterator[Symptom]:
    yield from read_races(lines)
    yield from read_dumps(lines)
    yield from read_profiles(lines)
    yield from read_python(lines)


def _split(lines: Sequence[Line]) -> tuple[list[Line], list[tuple[int, Any]]]:
    """Take JSON out of a log: what tests printed becomes lines, findings become documents."""
    plain: list[Line] = []
    streams: dict[tuple[str, str], list[Line]] = {}
    documents: list[tuple[int, Any]] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        value, after = _document_at(lines, at) if line.text[:1] == "{" else (None, at + 1)
        if not isinstance(value, dict):
            plain.append(line)
        elif "Action" in value:
            if isinstance(value.get("Output"), str):
                key = (str(value.get("Package", value.get("ImportPath", ""))), "")
                streams.setdefault(key, []).append(Line(line.number, value["Output"]))
        else:
            documents.append((line.number, value))
        at = after
    for pieces in streams.values():
        plain.append(Line(pieces[0].number, ""))
        plain += _joined(pieces)
    return plain, documents


def _document_at(lines: Sequence[Line], at: int) -> tuple[Any, int]:
    """Return the JSON value that begins on a line and the line after it."""
    text = lines[at].text
    if text.strip() != "{":
        try:
            return json.loads(text), at + 1
        except (ValueError, RecursionError):
            return None, at + 1
    for end in range(at + 1, len(lines)):
        if lines[end].text.rstrip() == "}":
            try:
                return json.loads("\n".join(line.text for line in lines[at : end + 1])), end + 1
            except (ValueError, RecursionError):
                return None, at + 1
    return None, at + 1


def _joined(pieces: Sequence[Line]) -> list[Line]:
    """Put the pieces of a stream together, which need not end where lines do."""
    found: list[Line] = []
    open_ = False
    for piece in pieces:
        parts = cleaned(piece.text, piece.number)
        if open_ and found:
            found[-1] = Line(found[-1].number, found[-1].text + parts[0].text)
            parts = parts[1:]
        ends = parts and parts[-1].text == "" and piece.text.endswith("\n")
        found += [Line(piece.number, p.text) for p in (parts[:-1] if ends else parts)]
        open_ = not piece.text.endswith("\n")
    return found
