"""Borrowed sections: critical sections that a decorator or a context manager makes of other code.

    @synchronized                       with self._exclusive():
    def add(self, item):                    self.items.append(item)

The lock is taken in a function of the project that runs the code of somebody else: the wrapper
of a decorator around the call, a `contextmanager` around its `yield`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.python.functions import Function, function_of
from threadmend.python.lockcalls import entered_lock, helped_sections, stacked_sections
from threadmend.python.locks import Lock, Section, lock_of
from threadmend.python.uses import is_self

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile

__all__ = ["all_sections", "borrowed_by", "borrowed_sections", "makers_of", "wrapped_calls"]


def borrowed_sections(file: PythonFile) -> list[Section]:
    """Return the sections of a file whose lock is taken elsewhere; their kind is `borrowed`.

    `start` is the function or the with statement, `item` the decorator or what the statement
    enters, `body` what runs under the lock. Of the kinds `helped` and `stacked`, see lockcalls.
    """
    known: list[Section] | None = file.__dict__.get("_borrowed")
    if known is None:
        known = file.__dict__["_borrowed"] = []
        for function in file.functions:
            known += borrowed_by(function)
        known += _entered(file)
        known += [*helped_sections(file), *stacked_sections(file)]
    return known


def all_sections(file: PythonFile) -> list[Section]:
    """Return the sections of a file and those that are borrowed."""
    return [*file.sections, *borrowed_sections(file)]


def borrowed_by(function: Function) -> Iterator[Section]:
    """Yield the sections that the decorators of a function make of its whole body."""
    node = function.node
    if isinstance(node, ast.Lambda):
        return
    for decorator, maker in makers_of(function):
        for item, receiver in _around_call(maker):
            lock = lock_of(maker.file, item)
            if lock is None or lock.place.kind != "global":
                lock = _of_object(function, item, receiver)
            if lock is not None:
                yield Section(lock, "borrowed", node, decorator, node.body, None, function)


def makers_of(function: Function) -> Iterator[tuple[ast.expr, Function]]:
    """Yield the decorators of a function that the project defines, with what makes them."""
    for decorator in getattr(function.node, "decorator_list", ()):
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        maker = function_of(function.file, target)
        if maker is not None:
            yield decorator, maker


def wrapped_calls(maker: Function) -> Iterator[tuple[Function, ast.Call]]:
    """Yield where the wrappers of a decorator call the function that it was given."""
    for inner in maker.file.functions:
        above = inner.outer
        if above is None or maker not in {above, above.outer}:
            continue
        given = {*maker.parameters, *above.parameters}
        for call in inner.own:
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
                if call.func.id in given:
                    yield inner, call


def _around_call(maker: Function) -> Iterator[tuple[ast.expr, str]]:
    """Yield what a decorator's wrapper enters around its call of the function it was given,
    and the name by which it passes the object on (`""`: it does not).
    """
    for inner, call in wrapped_calls(maker):
        first = call.args[0] if call.args else None
        name = first.id if isinstance(first, ast.Name) else ""
        passed = name if inner.parameters[:1] == [name] else ""
        for item in _items_around(maker.file, call):
            yield item, passed


def _items_around(file: PythonFile, call: ast.Call) -> Iterator[ast.expr]:
    for above in file.ancestors(call):
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        if isinstance(above, ast.With | ast.AsyncWith):
            yield from (item.context_expr for item in above.items)


def _of_object(function: Function, item: ast.expr, receiver: str) -> Lock | None:
    """Return the lock that `self._lock` in a decorator's wrapper is for a method."""
    cls = function.cls
    if cls is None or not receiver or function.self_name is None:
        return None
    if not isinstance(item, ast.Attribute) or not isinstance(item.value, ast.Name):
        return None
    if item.value.id != receiver:
        return None
    # A condition is the lock that it was made with, which any mention of it tells.
    named = next((use for use in cls.uses_of(item.attr) if use.source is None), None)
    lock = None if named is None else lock_of(named.function.file, named.node)
    return lock if lock is not None and lock.place.base in {"self", "class"} else None


def _entered(file: PythonFile) -> Iterator[Section]:
    """Yield the with statements that enter a context manager which yields under a lock."""
    for node in file.nodes(ast.With, ast.AsyncWith):
        assert isinstance(node, ast.With | ast.AsyncWith)
        for item in node.items:
            call = item.context_expr
            entered = entered_lock(file, call)
            if entered is not None:
                function = file.function(node)
                yield Section(entered, "borrowed", node, call, node.body, None, function)
            callee = function_of(file, call.func) if isinstance(call, ast.Call) else None
            if callee is None or not any("contextmanager" in d for d in callee.decorators):
                continue
            assert isinstance(call, ast.Call)
            same = isinstance(call.func, ast.Attribute) and is_self(file, call.func.value)
            for section in _around_yield(callee):
                lock = section.lock
                if lock.place.kind == "global" or (lock.place.base == "self" and same):
                    function = file.function(node)
                    yield Section(lock, "borrowed", node, call, node.body, None, function)


def _around_yield(manager: Function) -> Iterator[Section]:
    for section in manager.file.sections:
        if section.function is manager and section.is_protected:
            if any(isinstance(n, ast.Yield) for s in section.body for n in ast.walk(s)):
                yield section
