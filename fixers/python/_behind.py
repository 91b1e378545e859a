"""Calls at the end of a critical section that could as well stand behind it."""

from __future__ import annotations

import ast
import re
import textwrap

from threadmend.model import Edit
from threadmend.python.arguments import given_to
from threadmend.python.builders import (
    BuilderError,
    delete,
    insert_after,
    is_alone,
)
from threadmend.python.file import PythonFile
from threadmend.python.flow import block_of
from threadmend.python.functions import Function
from threadmend.python.locks import Section
from threadmend.python.uses import is_self

from ._drained import as_written

__all__ = ["moved_behind"]

_PLAIN = (ast.Name, ast.Constant, ast.Compare, ast.cmpop, ast.BoolOp, ast.boolop, ast.UnaryOp,
          ast.unaryop, ast.expr_context)  # fmt: skip


def moved_behind(file: PythonFile, section: Section, call: ast.expr) -> tuple[Edit, ...]:
    """Return the edits that let go of a lock before a call which ends its section, also under
    conditions that say the same behind it: locals alone decide, and are handed over.
    """
    statement, start = file.parent(call), section.start
    function = file.function(start)
    if not isinstance(statement, ast.Expr) or not isinstance(start, ast.With) or function is None:
        raise BuilderError("the call is not the end of the section")
    func = call.func if isinstance(call, ast.Call) else None
    if not isinstance(func, ast.Attribute) or _is_own_method(func, function):
        raise BuilderError("what is called may count on the lock")
    assert isinstance(call, ast.Call)
    if not all(_is_same(one, section, function) for one in given_to(call)):
        raise BuilderError("what the call gets may be another behind the section")
    if any(_may_be_set(one, section, function, inside=False) for one in (func, func.value)):
        raise BuilderError("whom it calls may be another behind the section")
    gone: ast.stmt = statement
    while block_of(gone) == [gone] and gone not in start.body:
        above = file.parent(gone)
        if not isinstance(above, ast.If):
            raise BuilderError("the call is not the end of the section")
        gone = above
    if start.body == [gone] or not is_alone(file, gone):
        raise BuilderError("nothing else is done in the section")
    tests = _tests(file, statement, section, function)
    text = as_written(file, [gone])
    outer = [_bracketed(file, t, len(tests)) for t in tests if t not in ast.walk(gone)]
    if outer:
        text = f"if {' and '.join(outer)}:\n{textwrap.indent(text, '    ')}"
    return (*delete(file, gone, comments=False), *insert_after(file, start, text))


def _is_own_method(func: ast.Attribute, function: Function) -> bool:
    """Return whether a call is of a method of the object itself, and not of a function that the
    object keeps for others: `self.on_dropped(jobs)`.
    """
    home = function.home
    if not is_self(function.file, func.value):
        return False
    return home is None or home.method(func.attr) is not None or not home.uses_of(func.attr)


def _tests(
    file: PythonFile, statement: ast.stmt, section: Section, function: Function
) -> list[ast.expr]:
    """Return the conditions that lead to the last statement of a section, outermost first."""
    tests: list[ast.expr] = []
    inner = statement
    while True:
        above = file.parent(inner)
        if block_of(inner)[-1] is not inner:
            raise BuilderError("the call is not the end of the section")
        if above is section.start:
            break
        if (
            not isinstance(above, ast.If)
            or above.orelse
            or not _is_same(above.test, section, function)
        ):
            raise BuilderError("the conditions around the call may be others behind the section")
        tests.insert(0, above.test)
        inner = above
    asked = {n.id for test in tests for n in ast.walk(test) if isinstance(n, ast.Name)}
    for node in ast.walk(inner):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in asked:
            raise BuilderError("the conditions around the call may be others behind the section")
    return tests


def _bracketed(file: PythonFile, test: ast.expr, count: int) -> str:
    is_or = isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or)
    return f"({file.text(test)})" if is_or and count > 1 else file.text(test)


def _is_same(node: ast.expr, section: Section, function: Function) -> bool:
    """Return whether an expression is the same behind a section: it is made of the function's own
    variables, constants, and attributes that nobody sets under the lock.
    """
    if isinstance(node, ast.Attribute):
        if is_self(function.file, node.value):
            return not _may_be_set(node, section, function)
        return _is_same(node.value, section, function) and _is_for_good(function.file, node)
    if isinstance(node, ast.Name):
        return node.id in function.scope.bindings
    return isinstance(node, _PLAIN) and all(
        _is_same(inner, section, function) if isinstance(inner, ast.expr) else True
        for inner in ast.iter_child_nodes(node)
    )


def _may_be_set(
    node: ast.expr, section: Section, function: Function, *, inside: bool = True
) -> bool:
    """Return whether an attribute of the object is set under the lock, or what is `inside` of it
    changes there: the section may be what keeps it as it is.
    """
    home, place = function.home, section.lock.place.anywhere
    if not isinstance(node, ast.Attribute) or not is_self(function.file, node.value):
        return False
    uses = [] if home is None else home.uses_of(node.attr)
    return any(
        use.changes
        and (inside or use.mode != "mutate")
        and place in {one.anywhere for one in use.function.file.held(use.node).locks}
        for use in uses
    )


def _is_for_good(file: PythonFile, node: ast.Attribute) -> bool:
    """Return whether an object keeps an attribute as it was made: its class sets it nowhere else,
    and no file of the project does.
    """
    value = file.value(node.value)
    cls = None if value is None or value.is_class else value.cls
    if cls is None or not cls.is_lasting(node.attr):
        return False
    name = re.escape(node.attr.encode())
    sets = re.compile(rb"(?<!\bself)\." + name + rb"[ \t]*(?:[-+*/|&]|//)?=(?!=)")
    project = file.project
    return not any(sets.search(project.source(path).data) for path in project.paths)
