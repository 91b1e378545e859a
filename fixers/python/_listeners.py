"""Functions that objects are handed to call them later: listeners in a list, a callback that a
method sets.

    def add_listener(self, listener):       for listener in list(self._listeners):
        self._listeners.append(listener)        listener(line)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.python.arguments import argument
from threadmend.python.elements import elements_of, iterated, values_in
from threadmend.python.file import PythonFile, is_test
from threadmend.python.functions import Function, function_of
from threadmend.python.scope import Binding
from threadmend.python.uses import is_self

__all__ = ["handed_to_method", "listeners"]

_FEW = 20
"""A method's name that stands in more files than these is too common to ask them all."""
_STEPS = 3


def listeners(file: PythonFile, called: ast.Name) -> Iterator[Function]:
    """Yield the functions that the loop variable of a loop over a collection of the object may be:
    what its methods have been handed to put there.
    """
    for owner, node in _elements(file, called):
        binding = owner.binding(node)
        method = None if binding is None else _method_of(owner, binding)
        if method is not None and binding is not None:
            yield from handed_to_method(method, binding.name)


def _elements(file: PythonFile, called: ast.Name) -> list[tuple[PythonFile, ast.expr]]:
    """Return what is put into the collection of the object that a loop takes a name from."""
    binding = file.binding(called)
    if binding is None or [site.kind for site in binding.sites] != ["for"]:
        return []
    node, is_mapping = binding.sites[0].value, False
    for _ in range(_STEPS):
        holder = iterated(file, node)
        if holder is None:
            return []
        node, is_mapping = holder[0], is_mapping or holder[1]
        if isinstance(node, ast.Attribute) and is_self(file, node.value):
            return values_in(file, node) if is_mapping else elements_of(file, node)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "copy":
            node = node.func.value  # type: ignore[attr-defined]
            continue
        copied = file.binding(node)
        if copied is None or [site.kind for site in copied.sites] != ["assign"]:
            return []
        node = copied.sites[0].value
    return []


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
                if function_of(other, call.func) is method:
                    known[method].append((other, call))
    return known[method]
