"""Locks of two objects of one class, which are taken in the order of a function's arguments."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.model import Edit
from threadmend.python import api
from threadmend.python.builders import (
    BuilderError,
    free_name,
    insert_before,
    is_free,
    replace,
    unwrap,
)
from threadmend.python.file import PythonFile
from threadmend.python.flow import enclosing, walk
from threadmend.python.functions import Function

__all__ = ["Twins", "in_one_order", "twins"]


@dataclass(frozen=True, slots=True, eq=False)
class Twins:
    """`with a.lock:` around `with b.lock:`, or both in one statement, of two parameters."""

    outer: ast.With
    first: ast.Attribute
    inner: ast.With
    second: ast.Attribute


def twins(file: PythonFile) -> Iterator[Twins]:
    """Yield the locks of two parameters (or self and one) that are certainly of one class."""
    for inner in file.nodes(ast.With):
        function = file.function(inner)
        if function is None:
            continue
        for number, item in enumerate(inner.items):
            second = item.context_expr
            around = [(inner, i.context_expr) for i in inner.items[:number]]
            for above in enclosing(inner, ast.With):
                assert isinstance(above, ast.With)
                around += [(above, i.context_expr) for i in above.items]
            for outer, first in around:
                if _are_twins(file, function, first, second) and not file.held(first):
                    assert isinstance(first, ast.Attribute)
                    assert isinstance(second, ast.Attribute)
                    yield Twins(outer, first, inner, second)


def _are_twins(file: PythonFile, function: Function, first: ast.expr, second: ast.expr) -> bool:
    if not isinstance(first, ast.Attribute) or not isinstance(second, ast.Attribute):
        return False
    if first.attr != second.attr:
        return False
    classes = [None if v is None else v.cls for v in map(file.value, (first.value, second.value))]
    if None not in classes and classes[0] is not classes[1]:
        return False
    told = None not in classes and file.lock(first) is not None and file.lock(second) is not None
    if not told and not _is_lock(file, first.attr):
        return False
    for node in (first.value, second.value):
        binding = file.binding(node)
        if binding is None or binding.scope is not function.scope or len(binding.sites) != 1:
            return False
        if binding.sites[0].kind != "parameter":
            return False
        value = file.value(node)
        if value is not None and (value.cls is None or file.lock(first) is None):
            return False
    if file.text(first) == file.text(second):
        return False
    names = {file.text(first.value), file.text(second.value)}
    tests = (test.test for test in enclosing(second, ast.If) if isinstance(test, ast.If))
    compared = (node for node in function.own if isinstance(node, ast.Compare))
    for node in (*tests, *compared):
        if names <= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}:
            return False  # the code chooses the order itself
    return True


def _is_lock(file: PythonFile, name: str) -> bool:
    """Return whether one class of the file has an attribute of this name, and it is a lock."""
    made = [cls.values_of(name) for cls in file.classes if cls.values_of(name)]
    return len(made) == 1 and all(
        (value := other.value(node)) is not None and value.is_a(api.THREAD_LOCKS)
        for other, node in made[0]
    )


def in_one_order(file: PythonFile, one: Twins) -> tuple[Edit, ...]:
    """Draw `with a.lock: x(); with b.lock: y()` as `first, second = sorted((a, b), key=id)` and
    `with first.lock, second.lock: x(); y()`.
    """
    for node in walk(one.outer.body):
        if isinstance(node, ast.Attribute) and node.attr in {"wait", "wait_for"}:
            raise BuilderError("the code waits for somebody in between")
    names = []
    for stem in ("first", "second"):
        free = is_free(file, stem, one.outer.body[0])
        names.append(stem if free else free_name(file, stem))
    low, high = (f"{name}.{one.first.attr}" for name in names)
    both = f"({file.text(one.first.value)}, {file.text(one.second.value)})"
    order = insert_before(file, one.outer, f"{', '.join(names)} = sorted({both}, key=id)")
    if one.inner is one.outer or one.outer.body == [one.inner]:
        return (*order, *replace(file, one.first, low), *replace(file, one.second, high))
    if len(one.inner.items) != 1:
        raise BuilderError("the inner statement takes several locks")
    start, end = file.span(one.first)
    edit = Edit(file.path, start, end, file.encode(f"{low}, {high}"))
    return (*order, edit, *unwrap(file, one.inner))
