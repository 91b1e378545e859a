"""Wait for a condition in a loop

`wait` returns when somebody notified, not when what was waited for is true: another thread may
have been faster, `notify_all` wakes all, and wake-ups happen without any. After an `if` the
code goes on with a condition that no longer holds.

Not reported: waits with a time limit, whose end is looked at; waits in a loop; code that tests
again after the wait; an `if` with an `else`, or whose test itself waits or takes something.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import product

from threadmend.model import Edit, Finding, Fix
from threadmend.python import api
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, enclosing, walk

CATEGORY = "lock"
GATE = rb"\.wait\(\s*\)"


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the waits for a condition that is tested once."""
    for call in file.calls("wait"):
        func = call.func
        if call.args or call.keywords or not isinstance(func, ast.Attribute):
            continue
        if not file.is_a(func.value, api.CONDITIONS):
            continue
        statement = file.statement(call)
        test = file.parent(statement)
        if not isinstance(test, ast.If) or statement not in test.body or test.orelse:
            continue
        if any(enclosing(call, ast.While)) or not _is_plain(file, test, statement):
            continue
        if not _tests_again(file, test):
            yield _finding(file, call, test)


def _is_plain(file: PythonFile, test: ast.If, wait: ast.stmt) -> bool:
    """Return whether the wait is all that the `if` decides, so that it may be repeated."""
    if any(isinstance(node, ast.NamedExpr | ast.Await) for node in ast.walk(test.test)):
        return False
    if any(_does_something(node) for node in ast.walk(test.test)):
        return False
    start = file.span(test)[0]
    return test.body[-1] is wait and file.data[start : start + 2] == b"if"


def _does_something(node: ast.AST) -> bool:
    """Return whether a part of a test waits or takes something: it cannot be asked again."""
    func = node.func if isinstance(node, ast.Call) else None
    return isinstance(func, ast.Attribute) and func.attr in _WAITS | api.MUTATORS


_WAITS = frozenset({"wait", "wait_for", "acquire", "join", "get_nowait", "recv", "result", "read"})


def _tests_again(file: PythonFile, test: ast.If) -> bool:
    """Return whether the code after the wait looks at the same thing once more."""
    wanted = _names(file, test.test)
    for statement in after(test):
        for node in walk(statement):
            if isinstance(node, ast.If | ast.While | ast.Assert | ast.IfExp):
                if wanted & _names(file, node.test) and not _looks_past(file, test.test, node):
                    return True
    return False


def _looks_past(file: PythonFile, waited: ast.expr, later: ast.AST) -> bool:
    """Return whether a later test only leaves in cases in which nobody would wait: `if closed
    and not items: return` behind `if not closed and not items: wait()`.
    """
    if not isinstance(later, ast.If) or later.orelse:
        return False
    if not isinstance(later.body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break):
        return False
    wanted = _names(file, waited)
    if not any(
        isinstance(node, ast.expr) and wanted & _names(file, node)
        for statement in after(later)
        for node in ast.walk(statement)
    ):
        return False  # what follows it does not rely on anything
    atoms = sorted(_atoms(file, waited) or ())
    told = _atoms(file, later.test)
    if not atoms or told is None or not told <= set(atoms) or len(atoms) > _MANY:
        return False
    for values in product((False, True), repeat=len(atoms)):
        known = dict(zip(atoms, values, strict=True))
        if _holds(file, waited, known) and _holds(file, later.test, known):
            return False
    return True


_MANY = 6


def _atoms(file: PythonFile, node: ast.expr) -> set[str] | None:
    """Return the variables of a test made of `not`, `and` and `or`; None for another one."""
    if isinstance(node, ast.Name | ast.Attribute):
        return {file.text(node)}
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return _atoms(file, node.operand)
    if not isinstance(node, ast.BoolOp):
        return None
    found: set[str] = set()
    for part in node.values:
        inside = _atoms(file, part)
        if inside is None:
            return None
        found |= inside
    return found


def _holds(file: PythonFile, node: ast.expr, known: dict[str, bool]) -> bool:
    if isinstance(node, ast.UnaryOp):
        return not _holds(file, node.operand, known)
    if isinstance(node, ast.BoolOp):
        parts = [_holds(file, part, known) for part in node.values]
        return all(parts) if isinstance(node.op, ast.And) else any(parts)
    return known[file.text(node)]


def _names(file: PythonFile, node: ast.expr) -> set[str]:
    parts = (n for n in ast.walk(node) if isinstance(n, ast.Name | ast.Attribute))
    return {file.text(n) for n in parts} - {"self", "len", "not"}


def _finding(file: PythonFile, call: ast.Call, test: ast.If) -> Finding:
    start, end = file.span(call)
    text = file.text(test.test)
    said = f"{text} may hold again after the wait, and is not tested again"
    at = file.span(test)[0]
    # The test and the wait are repeated as they stand; when the test fails at once, as it did
    # in every run that was right before, nothing changes.
    fix = Fix("Test again after the wait", (Edit(file.path, at, at + 2, b"while"),))
    return Finding(file.path, start, end, said, fixes=(fix,))
