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

from threadmend.python.arguments import argument
from threadmend.python.flow import block_of, walk
from threadmend.python.functions import Function, function_of
from threadmend.python.lockcalls import entered_lock, helped_sections, stacked_sections
from threadmend.python.locks import (
    Lock,
    Section,
    acquisitions,
    is_release,
    lock_of,
    receiver,
)
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
        for item, passed in _around_call(maker):
            lock = lock_of(maker.file, item)
            if lock is None or lock.place.kind != "global":
                lock = _of_object(function, item, passed)
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
    """Return the lock that `self._lock` in a decorator's wrapper is for a method, and the one that
    the object's own context manager takes: `with self.held():`.
    """
    cls = function.cls
    if cls is None or not receiver or function.self_name is None:
        return None
    if isinstance(item, ast.Call):
        func = item.func if isinstance(item.func, ast.Attribute) else None
        if func is None or not isinstance(func.value, ast.Name) or func.value.id != receiver:
            return None
        manager = cls.method(func.attr)
        if manager is None or not any("contextmanager" in d for d in manager.decorators):
            return None
        locks = (section.lock for section in _around_yield(manager))
        return next((lock for lock in locks if lock.place.base == "self"), None)
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
            lent = _lent(file, call, callee)
            if lent is not None:
                yield Section(lent, "borrowed", node, call, node.body, None, file.function(node))
            same = isinstance(call.func, ast.Attribute) and is_self(file, call.func.value)
            for section in _around_yield(callee):
                lock = section.lock
                if lock.place.kind == "global" or (lock.place.base == "self" and same):
                    function = file.function(node)
                    yield Section(lock, "borrowed", node, call, node.body, None, function)


def _lent(file: PythonFile, call: ast.Call, manager: Function) -> Lock | None:
    """Return the lock that a context manager gets and yields under: `with locked(self._lock):`."""
    names = manager.parameters[1:] if manager.self_name else manager.parameters
    for at, name in enumerate(names):
        binding = manager.scope.bindings.get(name)
        if binding is None or [site.kind for site in binding.sites] != ["parameter"]:
            continue
        given = argument(call, at, name)
        lock = None if given is None else lock_of(file, given)
        if lock is not None and any(_is_around_yield(body) for body in _under(manager, name)):
            return lock
    return None


def _is_around_yield(body: list[ast.stmt]) -> bool:
    return any(isinstance(node, ast.Yield) for node in walk(body))


def _under(manager: Function, name: str) -> Iterator[list[ast.stmt]]:
    """Yield what a function runs under a lock that is its parameter, and then gives back."""
    for node in manager.own:
        if isinstance(node, ast.With):
            items = [item.context_expr for item in node.items]
            if any(isinstance(item, ast.Name) and item.id == name for item in items):
                yield node.body
        elif isinstance(node, ast.Try) and any(_is_release(n, name) for n in node.finalbody):
            block = block_of(node)
            before = block[block.index(node) - 1] if node in block[1:] else None
            if before is not None and _takes(before, name):
                yield node.body


def _is_release(statement: ast.stmt, name: str) -> bool:
    call = statement.value if isinstance(statement, ast.Expr) else None
    return is_release(call) and _is_named(receiver(call), name)  # type: ignore[arg-type]


def _takes(statement: ast.stmt, name: str) -> bool:
    """Return whether a statement leaves the lock taken: `x.acquire()`, or a test that raises."""
    if isinstance(statement, ast.If) and not isinstance(statement.body[-1], ast.Raise):
        return False
    if not isinstance(statement, ast.Expr | ast.If):
        return False
    taken = [call for call, how in acquisitions(statement) if how == "after"]
    return any(_is_named(receiver(call), name) for call in taken)


def _is_named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _around_yield(manager: Function) -> Iterator[Section]:
    for section in manager.file.sections:
        if section.function is manager and section.is_protected:
            if any(isinstance(n, ast.Yield) for s in section.body for n in ast.walk(s)):
                yield section
