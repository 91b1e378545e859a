"""Edits of critical sections: `acquire()` … `release()` becomes `with`, or gets a `finally`."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from threadmend.model import Edit
from threadmend.python.builders.lines import (
    BuilderError,
    indent_of,
    indent_unit,
    is_alone,
    line_span,
)
from threadmend.python.builders.statements import indented_lines
from threadmend.python.file import PythonFile
from threadmend.python.locks import Section
from threadmend.python.scope import parent

__all__ = ["add_handler", "begin_try_earlier", "section_to_try", "section_to_with"]


def section_to_with(
    file: PythonFile, section: Section, also: Sequence[ast.stmt] = ()
) -> tuple[Edit, ...]:
    """Write `x.acquire()`, statements, `x.release()` of one block as `with x:`.

    Comments stay: the one behind `acquire()` behind the `with`, the one behind `release()`
    as the last line of the block. A section without statements gets `pass`. `also` are
    releases inside of the section, each with other statements in its block, that are deleted.
    """
    start, release = section.start, section.release
    if section.kind != "acquire" or release is None or parent(release) is not parent(start):
        raise BuilderError("the lock is not released in the same block")
    for statement in (start, release, *section.body, *also):
        if not is_alone(file, statement):
            raise BuilderError("the statement shares its line with another one")
    unit, indent = indent_unit(file, start), indent_of(file, start)
    awaited = "async " if _is_awaited(start) else ""
    begin, end = file.span(start)
    head = file.encode(f"{awaited}with {file.text(section.item)}:")
    edits = [Edit(file.path, begin, end, head)]
    body_start = line_span(file, start)[1]
    last, after = line_span(file, release)
    dropped = [line_span(file, statement) for statement in also]
    edits += [Edit(file.path, first, after_it, b"") for first, after_it in dropped]
    edits += [
        Edit(file.path, at, at, unit)
        for at in indented_lines(file, section.body, body_start, last)
        if not any(first <= at < after_it for first, after_it in dropped)
    ]
    kept = file.data[file.span(release)[1] : after].strip()
    lines = [kept] if kept else []
    if not section.body:
        lines.append(b"pass")
    ending = file.source.newline if file.data[last:after].endswith((b"\n", b"\r")) else b""
    code = b"".join(indent + unit + line + ending for line in lines)
    edits.append(Edit(file.path, last, after, code))
    return tuple(edits)


def section_to_try(
    file: PythonFile, section: Section, also: Sequence[ast.stmt] = ()
) -> tuple[Edit, ...]:
    """Put what lies between taking and `x.release()` of one block into `try`, and the release
    into its `finally`: for what is taken only perhaps. `also` are releases inside that go.
    """
    start, release = section.start, section.release
    if release is None or parent(release) is not parent(start) or not section.body:
        raise BuilderError("the lock is not released in the same block")
    inner = release.body if isinstance(release, ast.If) and len(release.body) > 1 else []
    for statement in (release, *section.body, *also, *inner):
        if not is_alone(file, statement):
            raise BuilderError("the statement shares its line with another one")
    unit, indent = indent_unit(file, start), indent_of(file, start)
    first = line_span(file, start)[1]
    last = line_span(file, release)[1 if inner else 0]
    newline = file.source.newline
    dropped = [line_span(file, statement) for statement in also]
    if inner:
        dropped.append((line_span(file, inner[-2])[1], line_span(file, inner[-1])[1]))
    lines = indented_lines(file, [*section.body, *([release] if inner else [])], first, last)
    edits = [Edit(file.path, first, first, indent + b"try:" + newline)]
    for at in lines:
        if any(begin <= at < end for begin, end in dropped):
            continue
        head = edits.pop().new if at == first else b""
        edits.append(Edit(file.path, at, at, head + unit))
    edits += [Edit(file.path, begin, end, b"") for begin, end in dropped]
    if isinstance(release, ast.If) and inner:
        edits.append(Edit(file.path, last, last, _finally_if(file, release, indent, unit)))
        return tuple(edits)
    edits.append(Edit(file.path, last, last, indent + b"finally:" + newline + unit))
    further = file.source.line_end(last)
    for at in indented_lines(file, [release], further, line_span(file, release)[1]):
        if at >= further:
            edits.append(Edit(file.path, at, at, unit))
    return tuple(edits)


def _finally_if(file: PythonFile, release: ast.If, indent: bytes, unit: bytes) -> bytes:
    """Return a `finally` clause that does of an `if` statement no more than its last line."""
    test, begin, end = (
        file.text(release.test),
        line_span(file, release.body[-2])[1],
        line_span(file, release)[1],
    )
    if "\n" in test or "\n" in file.text(release.body[-1]):
        raise BuilderError("the release is written in several lines")
    moved = (line.strip() for line in file.data[begin:end].splitlines())
    lines = [b"finally:", unit + file.encode(f"if {test}:")]
    lines += [unit + unit + line for line in moved if line]
    newline = file.source.newline
    if file.data[:end].endswith((b"\n", b"\r")):
        return b"".join(indent + line + newline for line in lines)
    return newline + newline.join(indent + line for line in lines)


def add_handler(file: PythonFile, tried: ast.Try, text: str) -> tuple[Edit, ...]:
    """Put a further `except` clause behind those of a try statement."""
    last = tried.handlers[-1].body[-1]
    if not is_alone(file, last):
        raise BuilderError("the statement shares its line with another one")
    indent, unit, newline = indent_of(file, tried), indent_unit(file, tried), file.source.newline
    at = line_span(file, last)[1]
    lines = [line.replace("    ", unit.decode()) for line in text.splitlines()]
    code = b"".join(indent + file.encode(line) + newline for line in lines)
    if not file.data[:at].endswith((b"\n", b"\r")):
        code = newline + code.rstrip(newline)
    return (Edit(file.path, at, at, code),)


def begin_try_earlier(
    file: PythonFile, start: ast.stmt, between: Sequence[ast.stmt], tried: ast.Try
) -> tuple[Edit, ...]:
    """Put the statements that stand between `x.acquire()` and a try statement, whose `finally`
    releases x and does nothing else, into that statement.
    """
    if tried.handlers or tried.orelse or len(tried.finalbody) > 1:
        raise BuilderError("the try statement does more than to release")
    for statement in (start, *between, tried.body[0]):
        if not is_alone(file, statement):
            raise BuilderError("the statement shares its line with another one")
    begin = file.span(tried)[0]
    at_try, after_it = file.source.line_start(begin), file.source.line_end(begin)
    if file.data[begin:after_it].strip() != b"try:":
        raise BuilderError("a comment would be lost")
    unit, indent = indent_unit(file, start), indent_of(file, start)
    first = line_span(file, start)[1]
    head = indent + b"try:" + file.source.newline
    edits = [Edit(file.path, first, first, head)]
    for at in indented_lines(file, between, first, at_try):
        before = edits.pop().new if at == first else b""
        edits.append(Edit(file.path, at, at, before + unit))
    edits.append(Edit(file.path, at_try, after_it, b""))
    return tuple(edits)


def _is_awaited(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Await)
