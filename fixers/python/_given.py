"""What threads are given: the objects behind parameters, and the methods that run by them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.python.classes import Class, is_self
from threadmend.python.file import PythonFile
from threadmend.python.functions import Function, function_of
from threadmend.python.threads import Spawn, reached, spawns_reaching

__all__ = ["argument_for", "called", "given", "reaching"]


def argument_for(spawn: Spawn, name: str) -> ast.expr | None:
    """Return the argument that the target of a spawn gets for a parameter."""
    target = spawn.target
    if target is None or spawn.args is None or name not in target.parameters:
        return None
    at = target.parameters.index(name)
    if target.self_name is not None:
        at -= 1
    if not 0 <= at < len(spawn.args) or spawn.kind == "map":
        return None
    return spawn.args[at]


def given(file: PythonFile, node: ast.expr) -> Class | None:
    """Return the class of an object: by its constructor, by what spawns and constructor calls
    of the file hand in for a parameter.
    """
    value = file.value(node)
    if value is not None:
        return value.cls
    if isinstance(node, ast.Attribute):
        owner = file.value(node.value)
        if owner is None or owner.cls is None:
            return None
        found = {given(f, v) for f, v in owner.cls.values_of(node.attr) if v is not node}
        return found.pop() if len(found) == 1 else None
    binding = file.binding(node)
    if binding is None or len(binding.sites) != 1 or binding.sites[0].kind != "parameter":
        return None
    function = file.function(binding.scope.node)
    if function is None or is_self(file, node):
        return None
    handed = [arg for arg in _handed(file, function, binding.name) if arg is not None]
    classes = {v.cls for arg in handed if (v := file.value(arg)) is not None and not v.is_class}
    if len(classes) != 1 or any(file.value(arg) is None for arg in handed):
        return None
    return classes.pop()


def _handed(file: PythonFile, function: Function, name: str) -> list[ast.expr | None]:
    found = [argument_for(s, name) for s in file.spawns if s.target is function]
    at = function.parameters.index(name) if name in function.parameters else -1
    if function.name == "__init__" and function.cls is not None and at > 0:
        calls = [c for c in file.calls(function.cls.name) if len(c.args) >= at]
        found += [c.args[at - 1] for c in calls if function_of(file, c.func) is function]
    return found


def called(function: Function) -> Iterator[tuple[ast.expr, Function]]:
    """Yield the functions of the project that a function runs, and where: also methods of what
    it is given, and properties that it reads.
    """
    yield from function.callees.items()
    yield from _methods(function.file, function)


def _methods(file: PythonFile, function: Function) -> Iterator[tuple[ast.expr, Function]]:
    for call in function.calls():
        func = call.func
        made = file.value(func) if isinstance(func, ast.Name | ast.Attribute) else None
        if made is not None and made.is_class and made.cls is not None:
            maker = made.cls.method("__new__")
            if maker is not None:
                yield call, maker
        if call not in function.callees and isinstance(func, ast.Attribute):
            cls = given(file, func.value)
            method = None if cls is None else cls.method(func.attr)
            if method is not None:
                yield call, method
    if b"@property" in file.data:
        for node in function.own:
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                cls = given(file, node.value) if isinstance(node.value, ast.Name) else None
                method = None if cls is None else cls.method(node.attr)
                if method is not None and "property" in method.decorators:
                    yield node, method


def reaching(file: PythonFile) -> dict[Function, list[Spawn]]:
    """Return what runs in other threads, and by which spawns: through given objects as well."""
    known: dict[Function, list[Spawn]] | None = file.__dict__.get("_reaching_given")
    if known is not None:
        return known
    known = {f: list(spawns) for f, spawns in spawns_reaching(file).items()}
    pending = list(known)
    while pending:
        function = pending.pop()
        if function.file is not file:
            continue
        for _, method in _methods(file, function):
            for one in reached(method):
                before = known.setdefault(one, [])
                more = [s for s in known[function] if s not in before]
                if more:
                    before += more
                    pending.append(one)
    file.__dict__["_reaching_given"] = known
    return known
