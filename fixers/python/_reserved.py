"""Places that are counted after something slow: `if n < limit: c = connect(); n += 1`.

A lock over all of it would be held while it waits. So the place is taken first, and given back
when what it was taken for fails.
"""

from __future__ import annotations

import ast

from threadmend.model import Edit
from threadmend.python.builders import delete, free_name, is_alone, with_comment, wrap
from threadmend.python.builders.lines import indent_of, indent_unit, line_span
from threadmend.python.file import PythonFile
from threadmend.python.flow import block_of

from ._unit import Unit, looks

__all__ = ["counted", "reserved"]

_OPPOSITE = {ast.Add: "-=", ast.Sub: "+="}


def counted(unit: Unit) -> ast.AugAssign | None:
    """Return `n += 1` of a unit that is an `if` in which something else comes before that."""
    file, data = unit.data.file, unit.data
    test = unit.block[0]
    if unit.kind != "check" or unit.inner is not None or not isinstance(test, ast.If):
        return None
    at = file.statement(unit.use.node)
    if len(unit.block) > 1 or not isinstance(at, ast.AugAssign) or at not in test.body[1:]:
        return None
    if type(at.op) not in _OPPOSITE or not isinstance(at.value, ast.Constant):
        return None
    slow = test.body[: test.body.index(at)]
    plain = all(isinstance(s, ast.Assign | ast.Expr) and not looks(data, s) for s in slow)
    changed = [u for u in data.uses if u.changes and file.statement(u.node) in test.body]
    if not plain or len(changed) > 1 or not all(is_alone(file, s) for s in test.body):
        return None
    return at if _is_one_line(file, test.test) and _is_alone(file, test) else None


def _is_one_line(file: PythonFile, node: ast.expr) -> bool:
    start, end = file.span(node)
    return b"\n" not in file.data[start:end] and file.data[start - 1 : start] != b"("


def _is_alone(file: PythonFile, test: ast.If) -> bool:
    """Return whether a test is an `if` of its own: no `elif`."""
    return is_alone(file, test) and file.text(test).startswith("if ") and test in block_of(test)


def reserved(file: PythonFile, test: ast.If, at: ast.AugAssign, lock: str) -> list[Edit]:
    """Return the edits that count under a lock, and take it back where what follows fails."""
    flag = free_name(file, "is_free", test)
    indent, unit = indent_of(file, test), indent_unit(file, test)
    lines = [
        (0, f"with {lock}:"),
        (1, f"{flag} = {file.text(test.test)}"),
        (1, f"if {flag}:"),
        (2, with_comment(file, at)),
    ]
    newline = file.source.newline
    head = b"".join(indent + unit * n + file.encode(line) + newline for n, line in lines)
    start = line_span(file, test)[0]
    undo = f"{file.text(at.target)} {_OPPOSITE[type(at.op)]} {file.text(at.value)}"
    failed = f"except BaseException:\n    with {lock}:\n        {undo}\n    raise"
    slow = test.body[: test.body.index(at)]
    return [
        Edit(file.path, start, start, head),
        Edit(file.path, *file.span(test.test), file.encode(flag)),
        *wrap(file, slow, "try:", failed),
        *delete(file, at),
    ]
