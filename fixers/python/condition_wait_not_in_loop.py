"""Wait for a condition in a loop

`wait` returns when somebody notified, not when what was waited for is true: another thread may
have been faster, `notify_all` wakes all, and wake-ups happen without any. After an `if` the
code goes on with a condition that no longer holds.

Not reported: waits with a time limit, whose end is looked at; waits in a loop; code that tests
again after the wait; an `if` with an `else`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

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
    start = file.span(test)[0]
    return test.body[-1] is wait and file.data[start : start + 2] == b"if"


def _tests_again(file: PythonFile, test: ast.If) -> bool:
    """Return whether the code after the wait looks at the same thing once more."""
    wanted = _names(file, test.test)
    for statement in after(test):
        for node in walk(statement):
            if isinstance(node, ast.If | ast.While | ast.Assert | ast.IfExp):
                if wanted & _names(file, node.test):
                    return True
    return False


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
