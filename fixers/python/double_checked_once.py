"""Test again under the lock

`if instance is None: with lock: instance = make()` tests before it has the lock. Two threads
may both have seen None; the second makes another one, and what the first kept is lost.

Not reported: a second test under the lock; a variable of the function itself; tests of
something else than what is set.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix
from threadmend.python.builders import BuilderError, wrap
from threadmend.python.file import PythonFile
from threadmend.python.flow import walk
from threadmend.python.locks import Section
from threadmend.python.scope import scope_of

CATEGORY = "shared-state"
GATE = rb"\bif\b"


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the sections that make something which another thread may have made by then."""
    for section in file.sections:
        test = file.parent(section.start)
        if section.kind != "with" or not isinstance(test, ast.If) or test.orelse:
            continue
        if test.body != [section.start]:
            continue
        tested = _tested(test.test)
        if tested is None or _is_local(file, tested) or file.held(test):
            continue
        text = file.text(tested)
        if _is_set(file, section.body, test.test, text) and not _is_tested(file, section, text):
            yield _finding(file, section, test, text)


def _tested(test: ast.expr) -> ast.expr | None:
    """Return `x` of `x is None`, `not x`, `x == 0` and `k not in x`."""
    found: ast.expr | None = None
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        found = test.operand
        if isinstance(found, ast.Compare) and isinstance(found.ops[0], ast.In):
            found = found.comparators[0]
    elif isinstance(test, ast.Compare) and len(test.ops) == 1:
        if isinstance(test.ops[0], ast.Is | ast.Eq):
            found = test.left
        elif isinstance(test.ops[0], ast.NotIn):
            found = test.comparators[0]
    return found if isinstance(found, ast.Name | ast.Attribute) else None


def _is_local(file: PythonFile, node: ast.expr) -> bool:
    """Return whether only this function sees the variable."""
    if not isinstance(node, ast.Name):
        return False
    binding = file.binding(node)
    return binding is None or binding.scope is scope_of(node)


def _is_set(file: PythonFile, body: list[ast.stmt], test: ast.expr, text: str) -> bool:
    """Return whether the section sets what was tested: the variable, or the key's value."""
    for node in walk(body):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        for target in targets:
            if isinstance(target, ast.Subscript):
                if file.text(target.value) == text and file.text(target.slice) in file.text(test):
                    return True
            elif file.text(target) == text:
                return True
    return False


def _is_tested(file: PythonFile, section: Section, text: str) -> bool:
    """Return whether the section looks at the variable before it sets it."""
    for node in walk(section.body):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            if file.text(node) == text:
                above = file.parent(node)
                if not (isinstance(above, ast.Subscript) and isinstance(above.ctx, ast.Store)):
                    return True
        if isinstance(node, ast.Return | ast.Break | ast.Continue):
            return True
    return False


def _finding(file: PythonFile, section: Section, test: ast.If, text: str) -> Finding:
    start, end = file.span(test.test)
    said = f"{text} is tested before {file.text(section.item)} is taken, and not again"
    try:
        edits: tuple[Edit, ...] = wrap(file, section.body, f"if {file.text(test.test)}:")
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    # Alone, a thread finds the second test as true as the first: nothing changes for it.
    return Finding(file.path, start, end, said, fixes=(Fix("Test again under the lock", edits),))
