"""Implied calls: properties that are read or set, `len(x)`, `x[key]`, `key in x`; and what a call
or a property that does nothing else returns.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.python.arguments import argument
from threadmend.python.classes import PROPERTIES
from threadmend.python.functions import Function
from threadmend.python.places import Place, only_result, place_of
from threadmend.python.scope import parent
from threadmend.python.uses import is_self

if TYPE_CHECKING:
    from threadmend.python.classes import Class
    from threadmend.python.file import PythonFile

__all__ = ["is_own", "receiver_of", "runs", "seen_from", "seen_of", "stands_for", "text_at"]

_BUILTINS = {"len": "__len__", "str": "__str__", "repr": "__repr__", "iter": "__iter__",
             "bool": "__bool__", "next": "__next__"}  # fmt: skip
_ITEMS = {ast.Load: "__getitem__", ast.Store: "__setitem__", ast.Del: "__delitem__"}


def runs(function: Function) -> dict[ast.expr, Function]:
    """Return the functions of the project that run to their end where an expression of the
    body does: plain calls, awaited coroutines, and what is called without being named.
    """
    known: dict[Function, dict[ast.expr, Function]]
    known = function.file.__dict__.setdefault("_runs", {})
    if function not in known:
        found: dict[ast.expr, Function] = {}
        for call, callee in function.callees.items():
            awaited = isinstance(parent(call), ast.Await)
            if not callee.is_generator and (not callee.is_async or awaited):
                found[call] = callee
        found.update(_implied(function))
        known[function] = found
    return known[function]


def stands_for(file: PythonFile, node: ast.expr) -> tuple[Function, ast.expr] | None:
    """Return the method that `self.stopping` or `self.stopping()` runs, and what it returns, when
    it does nothing else and gets nothing else.
    """
    function = file.function(node)
    method = None if function is None else runs(function).get(node)
    if method is None or method.is_async or len(method.parameters) > (method.self_name is not None):
        return None
    value = only_result(method)
    return None if value is None else (method, value)


def _implied(function: Function) -> Iterator[tuple[ast.expr, Function]]:
    """Yield the methods that run without a call of theirs."""
    file = function.file
    names = _special(file)
    if not names:
        return
    for node in function.own:
        name = _method(node)
        if name not in names or (isinstance(node, ast.Call) and file.binding(node.func)):
            continue
        method = _found(file, node, name)
        if method is not None and not method.is_generator and isinstance(node, ast.expr):
            yield node, method


def _method(node: ast.AST) -> str:
    """Return the method that an expression would run, empty when it is none of these."""
    if isinstance(node, ast.Attribute):
        above = parent(node)
        return "" if isinstance(above, ast.Call) and above.func is node else node.attr
    if isinstance(node, ast.Subscript):
        return _ITEMS[type(node.ctx)]
    if isinstance(node, ast.Compare) and isinstance(node.ops[-1], ast.In | ast.NotIn):
        return "__contains__"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1:
        return _BUILTINS.get(node.func.id, "")
    return ""


def receiver_of(node: ast.AST) -> ast.expr | None:
    """Return the object whose method an expression runs: `x` of `x.m()`, `x.p`, `len(x)`."""
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute):
            return node.func.value
        named = isinstance(node.func, ast.Name) and node.func.id in _BUILTINS
        return node.args[0] if named and len(node.args) == 1 else None
    if isinstance(node, ast.Attribute | ast.Subscript):
        return node.value
    return node.comparators[-1] if isinstance(node, ast.Compare) else None


def _found(file: PythonFile, node: ast.AST, name: str) -> Function | None:
    """Return the method that an expression runs: of an attribute the getter or the setter of a
    property.
    """
    value = file.value(receiver_of(node))
    cls: Class | None = None if value is None or value.is_class else value.cls
    if cls is None or not isinstance(node, ast.Attribute):
        return None if cls is None else cls.method(name)
    return cls.getter(name) if isinstance(node.ctx, ast.Load) else cls.setter(name)


def _special(file: PythonFile) -> frozenset[str]:
    """Return the names of the properties and special methods that the file's classes have."""
    known: frozenset[str] | None = file.__dict__.get("_special")
    if known is None:
        dunders = {*_BUILTINS.values(), *_ITEMS.values(), "__contains__"}
        found = {
            function.name
            for other in {base.file for cls in file.classes for base in cls.mro}
            for function in other.functions
            if function.name in dunders or not PROPERTIES.isdisjoint(function.decorators)
        }
        known = file.__dict__["_special"] = frozenset(found)
    return known


def seen_from(file: PythonFile, call: ast.expr, callee: Function, place: Place) -> Place | None:
    """Return the place that a callee's lock has for its caller; None when it has none.

    `self.lock` of a method is the lock of the object that the method is called on.
    """
    return seen_of(file, receiver_of(call), callee, place)


def seen_of(
    file: PythonFile, receiver: ast.expr | None, callee: Function, place: Place
) -> Place | None:
    """Return the place that a lock of a method has for who calls it on an object."""
    if place.kind == "global" or place.base == "class":
        return place
    if place.kind == "local":
        return place if callee.outer is not None else None
    if place.base.endswith("/self"):  # of what `self` holds: the same when it is called on `self`
        return place if receiver is not None and is_own(file, receiver) else None
    if place.base != "self":
        return None
    if callee.cls is None or receiver is None:
        return place if callee.outer is not None else None
    if is_own(file, receiver):
        return place
    if isinstance(receiver, ast.Call):
        return None
    owner = place_of(file, receiver)
    return None if owner is None else place._replace(base="/".join(owner))


def is_own(file: PythonFile, receiver: ast.expr) -> bool:
    """Return whether a method is called on the object itself: `self`, `super()`."""
    if isinstance(receiver, ast.Call):
        return getattr(receiver.func, "id", "") == "super"
    return is_self(file, receiver)


def text_at(file: PythonFile, call: ast.Call, callee: Function, item: ast.expr) -> str | None:
    """Return how a variable that a callee names is written where it is called; None when it is
    one of the callee's own.
    """
    root = item
    while isinstance(root, ast.Attribute):
        root = root.value
    binding = callee.file.binding(root)
    if not isinstance(root, ast.Name) or binding is None:
        return None
    text, owner = callee.file.text(item), receiver_of(call)
    if binding.scope is not callee.scope:
        return text if callee.file is file else None
    named = binding.sites[0].value if [s.kind for s in binding.sites] == ["assign"] else None
    if isinstance(named, ast.Name | ast.Attribute):
        head = text_at(file, call, callee, named)
        return None if head is None else head + text[len(root.id) :]
    names = callee.parameters[1:] if callee.self_name else callee.parameters
    if root.id == callee.self_name and owner is not None:
        head = root.id if isinstance(owner, ast.Call) else file.text(owner)
    elif root.id in names:
        given = argument(call, names.index(root.id), root.id)
        if given is None:
            return None
        head = file.text(given)
    else:
        return None
    return head + text[len(root.id) :]
