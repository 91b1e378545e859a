"""Functions that objects are handed to call them later: listeners in a list, one for each topic, a
callback that a method sets.

    def add_listener(self, listener):       for listener in list(self._listeners):
        self._listeners.append(listener)        listener(line)

    def on(self, topic, handler):           for handler in self._handlers.get(topic, []):
        self._handlers[topic].append(handler)   handler(event)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.python.arguments import argument
from threadmend.python.classes import INITIALIZERS
from threadmend.python.file import PythonFile, is_test
from threadmend.python.functions import Function, function_of
from threadmend.python.scope import Binding, Site, parent
from threadmend.python.uses import assigned_value, is_self

__all__ = ["handed_to_method", "listeners"]

_FEW = 20
"""A method's name that stands in more files than these is too common to ask them all."""
_STEPS = 8
_DISPLAYS = (ast.List, ast.Set, ast.Tuple)
_PARTS = frozenset({"copy", "get", "items", "keys", "pop", "setdefault", "values"})
"""Methods of a collection that give what is in it."""
_SAME = frozenset({"enumerate", "list", "reversed", "set", "sorted", "tuple"})
_PUTS = {"add": 0, "append": 0, "appendleft": 0, "insert": 1, "setdefault": 1}
"""Where the argument stands that is put into a collection."""


def listeners(file: PythonFile, called: ast.expr) -> Iterator[Function]:
    """Yield the functions that what is called may be, when it is taken out of a collection of the
    object: those that its methods put there, or have been handed to put there.
    """
    for held in _held_in(file, called) if isinstance(called, ast.Name | ast.Subscript) else ():
        owner = file.value(held.value)
        for use in owner.cls.uses_of(held.attr) if owner is not None and owner.cls else ():
            for put in _put(use.node):
                where = use.function.file
                binding = where.binding(put)
                method = None if binding is None else _method_of(where, binding)
                if method is not None and binding is not None:
                    yield from handed_to_method(method, binding.name)
                elif (listener := function_of(where, put)) is not None:
                    if listener.name not in INITIALIZERS:
                        yield listener


def _held_in(file: PythonFile, node: ast.expr, depth: int = _STEPS) -> Iterator[ast.Attribute]:
    """Yield the collections of the object that an expression is taken from."""
    if isinstance(node, ast.Attribute):
        if is_self(file, node.value):
            yield node
    elif depth:
        for source in _sources(file, node):
            yield from _held_in(file, source, depth - 1)


def _sources(file: PythonFile, node: ast.expr) -> list[ast.expr]:
    """Return what holds an expression, or is a copy of what does."""
    if isinstance(node, ast.Subscript):
        return [node.value]
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
        return node.values[:1]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return [node.func.value] if node.func.attr in _PARTS else []
    if isinstance(node, ast.Call):
        return node.args[:1] if file.qualified(node.func) in _SAME else []
    binding = file.binding(node)
    found = [] if binding is None else [_given(site) for site in binding.sites]
    return [one for one in found if one is not None]


def _given(site: Site) -> ast.expr | None:
    """Return what a variable is set to, or what a loop takes it from."""
    if site.kind in {"assign", "walrus", "for"}:
        return site.value
    above = parent(site.node) if site.kind == "unpack" else None
    while isinstance(above, ast.Tuple):
        above = parent(above)
    return above.iter if isinstance(above, ast.For | ast.comprehension) else None


def _put(node: ast.expr) -> Iterator[ast.expr]:
    """Yield what a use of a collection puts into it, or into a collection that it holds."""
    at: ast.AST = node
    while True:
        above = parent(at)
        if isinstance(above, ast.Subscript) and above.value is at:
            if isinstance(above.ctx, ast.Store):
                yield from _elements(assigned_value(above))
            at = above
        elif isinstance(above, ast.Attribute) and isinstance(call := parent(above), ast.Call):
            given = call.args[_PUTS[above.attr] :][:1] if above.attr in _PUTS else []
            yield from (one for put in given for one in _elements(put))
            if call.func is not above or above.attr not in {"setdefault", "get"}:
                return
            at = call
        else:
            if isinstance(above, ast.AugAssign) and above.target is at:
                yield from _elements(above.value)
            elif at is node and isinstance(node, ast.Attribute):
                made = assigned_value(node)
                yield from _elements(made) if isinstance(made, _DISPLAYS) else ()
            return


def _elements(node: ast.expr | None) -> Iterator[ast.expr]:
    """Yield an expression, of a display what it holds."""
    if isinstance(node, _DISPLAYS):
        yield from (one for inner in node.elts for one in _elements(inner))
    elif node is not None:
        yield node


def _method_of(file: PythonFile, binding: Binding) -> Function | None:
    """Return the method that a variable is a parameter of, never set to anything else."""
    if [site.kind for site in binding.sites] != ["parameter"]:
        return None
    function = file.function(binding.scope.node)
    if function is None or function.cls is None or function.self_name is None:
        return None
    return function if binding.name in function.parameters[1:] else None


def handed_to_method(method: Function, name: str) -> Iterator[Function]:
    """Yield the functions that calls of a method give for a parameter, in all files but tests."""
    at = method.parameters.index(name) - 1
    for file, call in _calls_of(method):
        given = argument(call, at, name)
        function = None if given is None else function_of(file, given)
        if function is not None:
            yield function


def _calls_of(method: Function) -> list[tuple[PythonFile, ast.Call]]:
    known: dict[Function, list[tuple[PythonFile, ast.Call]]]
    known = method.file.__dict__.setdefault("_method_calls", {})
    if method not in known:
        known[method] = [(site.file, site.call) for site in method.callers]
        project, name = method.file.project, method.file.encode(f".{method.name}(")
        paths = [p for p in project.paths if name in project.source(p).data and not is_test(p)]
        paths = [p for p in paths if p != method.file.path]
        for path in paths if len(paths) <= _FEW else ():
            other = project.readable(path)
            for call in other.calls(method.name) if other is not None else ():
                assert other is not None
                if function_of(other, call.func) is method or _is_of_given(other, call, method):
                    known[method].append((other, call))
    return known[method]


def _is_of_given(file: PythonFile, call: ast.Call, method: Function) -> bool:
    """Return whether a call is of a method of what a function was given: `bus.observe(self.note)`,
    where `bus` is called after its class.
    """
    from ._given import given

    owner = given(file, call.func.value) if isinstance(call.func, ast.Attribute) else None
    return owner is not None and owner.method(method.name) is method
