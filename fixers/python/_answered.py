"""Answers that are old when they are used: one method asks under the lock, another changes under
it, and who calls one after the other holds it in neither.

    if self.taken(seat):            # with self._lock: return self._seats[seat] is not None
        return False
    self._put(seat, who)            # with self._lock: self._seats[seat] = who
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety
from threadmend.python.builders import BuilderError, is_alone, replace_statement, wrap
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, always_leaves, is_text, walk
from threadmend.python.functions import Function, function_of
from threadmend.python.guards import guards_of
from threadmend.python.locks import Section
from threadmend.python.uses import is_self

from ._reentrant import is_looked_at, make_reentrant

__all__ = ["answered"]

_CALM = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.Delete)


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """A test (`branch`) that asks by a method, and the statement that changes by another one."""

    function: Function
    branch: ast.If
    change: ast.Expr
    section: Section
    asker: Function
    name: str


def answered(file: PythonFile) -> Iterator[Finding]:
    """Yield the tests of what a method has answered, that decide on a change by another."""
    if file.is_test:
        return
    for cls in file.classes:
        for function in cls.methods.values():
            if function.is_async or function.is_generator:
                continue
            for pair in _pairs(file, function):
                yield _finding(file, pair)
                break


def _pairs(file: PythonFile, function: Function) -> Iterator[_Pair]:
    for branch in (node for node in function.own if isinstance(node, ast.If)):
        calls = [node for node in ast.walk(branch.test) if _is_of_self(node, file)]
        if branch.orelse or not calls or file.held(branch):
            continue
        for call in calls:
            asker = _own(file, function, call)
            asked = None if asker is None else _answer(asker)
            if asker is None or asked is None:
                continue
            for change in _decided(branch):
                setter = _own(file, function, change.value)
                name = None if setter is None else _changed(setter, asked[0], asked[1])
                if name is not None and _same_key(file, call, change.value):
                    yield _Pair(function, branch, change, asked[0], asker, name)


def _is_of_self(node: ast.AST, file: PythonFile) -> TypeGuard[ast.Call]:
    """Return whether a node is a call `self.m()`, whatever that runs."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    return is_self(file, node.func.value)


def _own(file: PythonFile, function: Function, call: ast.expr) -> Function | None:
    """Return the method of the same object that a call runs."""
    if not _is_of_self(call, file) or not any(one is call for one in function.calls):
        return None  # in a lambda, perhaps
    return function_of(file, call.func)


def _only_section(function: Function) -> Section | None:
    """Return the critical section that is all there is of a method."""
    body = [statement for statement in function.body if not is_text(statement)]
    if function.is_async or function.decorators or len(body) != 1:
        return None
    for section in function.file.sections:
        if section.start is body[0] and section.kind == "with" and section.lock.family == "thread":
            return section if section.lock.place.base == "self" else None
    return None


def _answer(function: Function) -> tuple[Section, set[str]] | None:
    """Return the section of a method that only answers, and the attributes that it looks at."""
    section = _only_section(function)
    only = section.body[0] if section is not None and len(section.body) == 1 else None
    if section is None or not isinstance(only, ast.Return) or only.value is None:
        return None
    if any(isinstance(node, ast.Call | ast.Await) for node in ast.walk(only.value)):
        return None
    file = function.file
    nodes = [n for n in ast.walk(only.value) if isinstance(n, ast.Attribute)]
    return section, {n.attr for n in nodes if is_self(file, n.value)}


def _decided(branch: ast.If) -> Iterator[ast.Expr]:
    """Yield the calls that a test decides on: in its block, when that ends with an answer, or
    behind it, when the block leaves.
    """
    block = branch.body
    if always_leaves(block) and len(block) == 1:
        block = after(branch)
    elif not isinstance(block[-1], ast.Return):
        return
    for statement in block:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            yield statement
        elif isinstance(statement, ast.For | ast.While | ast.With | ast.Try):
            return


def _changed(setter: Function, section: Section, names: set[str]) -> str | None:
    """Return which of some attributes a method changes under the lock, without another look: it
    sets what it is given. What is set twice to the same is as good as set once.
    """
    own = _only_section(setter)
    if own is None or own.lock.place != section.lock.place or setter.cls is None:
        return None
    if not all(isinstance(statement, _CALM) for statement in own.body):
        return None
    guards = guards_of(setter.cls)
    for use in setter.cls.uses:
        guard = guards.get(use.name)
        if use.function is not setter or not use.changes or use.name not in names:
            continue
        if guard is None or guard.lock != section.lock.place or guard.unlocked:
            continue
        statement = setter.file.statement(use.node)
        value = getattr(statement, "value", None)
        if use.mode in {"write", "mutate"} and isinstance(statement, ast.Assign):
            if isinstance(value, ast.Name) and value.id in setter.parameters[1:]:
                return use.name
    return None


def _same_key(file: PythonFile, asks: ast.Call, sets: ast.expr) -> bool:
    """Return whether the change is of what was asked for: `taken(seat)`, `put(seat, who)`."""
    given = {file.text(one) for one in asks.args}
    return isinstance(sets, ast.Call) and given <= {file.text(one) for one in sets.args}


# -- fix ------------------------------------------------------------------------------------


def _finding(file: PythonFile, pair: _Pair) -> Finding:
    start, end = file.span(pair.branch.test)
    asked, owner = pair.asker.name, f"{pair.function.self_name}"
    said = f"{owner}.{pair.name} may be another when it is changed than when {asked} answered"
    related = (Related(file.path, *file.span(pair.change), "it is changed here"),)
    held = f"{owner}.{pair.section.lock.own.name}"
    level = Confidence.MEDIUM
    try:
        edits = _edits(file, pair, held)
    except BuilderError as error:
        return Finding(file.path, start, end, said, (), related, str(error), confidence=level)
    reason = f"it waits for {held}"
    fix = Fix(f"Ask and change under {held}", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, (fix,), related, confidence=level)


def _edits(file: PythonFile, pair: _Pair, held: str) -> tuple[Edit, ...]:
    """Return the edits that hold the lock from the test to the change; where other code runs in
    between, that ask once more under the lock.
    """
    lock, asker = pair.section.lock, pair.asker
    more: tuple[Edit, ...] = ()
    if not lock.reentrant:
        if is_looked_at(asker.file, lock):
            raise BuilderError(f"{held} would be taken twice by one thread")
        more = make_reentrant(asker.file, pair.section)
    if pair.change in walk(pair.branch.body):
        return (*wrap(file, [pair.branch], f"with {held}:"), *more)
    rest = after(pair.branch)
    between = rest[: rest.index(pair.change)]
    if not any(isinstance(node, ast.Call | ast.Await) for node in walk(between)):
        return (*wrap(file, [pair.branch, *between, pair.change], f"with {held}:"), *more)
    only = pair.branch.body[0]
    if not is_alone(file, pair.change) or not is_alone(file, only):
        raise BuilderError("the statement shares its line with another one")
    texts = [file.text(node) for node in (pair.branch.test, only, pair.change)]
    if any("\n" in text for text in texts):
        raise BuilderError("the test is written over several lines")
    if not isinstance(only, ast.Return | ast.Raise):
        raise BuilderError("the test leaves a loop")
    test, leaves, change = texts
    text = f"with {held}:\n    if {test}:\n        {leaves}\n    {change}"
    return (*replace_statement(file, pair.change, text), *more)
