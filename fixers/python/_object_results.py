"""Objects of the project that a function makes, a thread fills, and the function reads."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from threadmend.python.arguments import argument
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.functions import Function
from threadmend.python.scope import Binding
from threadmend.python.threads import Spawn, reached
from threadmend.python.uses import use_mode

from ._waits import waits

__all__ = ["read_of_object"]


def read_of_object(
    file: PythonFile, function: Function, spawn: Spawn, behind: Sequence[ast.stmt]
) -> tuple[str, ast.stmt] | None:
    """Return the attribute of an object that a thread gets and changes, where it is read behind the
    start of the thread, and the statement: the function has made the object for itself. What a
    method of the object tells of it counts where the function returns that.
    """
    filled = {b: names for b, names in _filled(file, function, spawn) if names}
    for statement in behind if filled else ():
        for node in ast.walk(statement):
            if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Load):
                continue
            binding = file.binding(node.value)
            if binding not in filled or file.function(node) is not function:
                continue
            if isinstance(statement, ast.Return) and _is_told(file, node, filled[binding]):
                return f"{file.text(node)}()", statement
            if binding in filled and node.attr in filled[binding]:
                if file.function(node) is function and use_mode(node) == "read":
                    return file.text(node), statement
    return None


def _filled(
    file: PythonFile, function: Function, spawn: Spawn
) -> Iterator[tuple[Binding, frozenset[str]]]:
    """Yield the objects of a function that a thread gets, and which attributes it changes."""
    target = spawn.target
    if target is None or any(isinstance(node, ast.While) for node in target.own):
        return  # it goes on: what it has done so far is read
    names = target.parameters[1:] if target.self_name else target.parameters
    for name, given in (*zip(names, spawn.args or (), strict=False), *_captured(spawn)):
        binding = file.binding(given)
        if binding is None or binding.scope is not function.scope or len(binding.sites) != 1:
            continue
        made = binding.sites[0].value
        value = file.value(made) if isinstance(made, ast.Call) else None
        if value is not None and value.cls is not None and value.made is made:
            yield binding, _changed(target, name, value.cls)


def _captured(spawn: Spawn) -> Iterator[tuple[str, ast.expr]]:
    """Yield the parameters of a helper that the nested function sees which its thread runs, with
    what the call of the helper gives for them.
    """
    target, call = spawn.target, spawn.node
    helper = None if target is None or spawn.through is None else target.outer
    if helper is None or target is None or not isinstance(call, ast.Call):
        return
    for name in helper.parameters[1:] if helper.self_name else helper.parameters:
        at = helper.parameters.index(name) - (helper.self_name is not None)
        given = argument(call, at, name)
        if given is not None and helper.scope.bindings[name].sites[1:] == []:
            if name not in target.scope.bindings:
                yield name, given


def _is_told(file: PythonFile, node: ast.Attribute, names: frozenset[str]) -> bool:
    """Return whether a call of a method returns something of what the thread changes."""
    value = file.value(node.value)
    method = None if value is None or value.cls is None else value.cls.method(node.attr)
    if method is None or use_mode(node) != "call" or method.is_generator or method.is_async:
        return False
    if not any(one.value is not None for one in method.returns()) or method.cls is None:
        return False
    if any(map(waits, reached(method))):
        return False
    return any(
        use.function is method and use.name in names and use.mode == "read"
        for use in method.cls.uses
    )


def _changed(target: Function, name: str, cls: Class) -> frozenset[str]:
    """Return the attributes of an object that a function changes which gets it by a parameter,
    itself or by its methods.
    """
    found: set[str] = set()
    called: set[Function] = set()
    for node in target.own:
        if not isinstance(node, ast.Attribute) or getattr(node.value, "id", "") != name:
            continue
        method = cls.method(node.attr)
        if method is not None and use_mode(node) == "call":
            called |= reached(method)
        elif use_mode(node) in {"write", "augment", "mutate"}:
            found.add(node.attr)
    uses = (use for one in cls.mro for use in one.uses if use.changes and use.function in called)
    return frozenset(found | {use.name for use in uses})
