"""Objects of the project that a function makes, a thread fills, and the function reads."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.functions import Function
from threadmend.python.scope import Binding
from threadmend.python.threads import Spawn, reached
from threadmend.python.uses import use_mode

__all__ = ["read_of_object"]


def read_of_object(
    file: PythonFile, function: Function, spawn: Spawn, behind: Sequence[ast.stmt]
) -> tuple[str, ast.stmt] | None:
    """Return the attribute of an object that a thread gets and changes, where it is read behind the
    start of the thread, and the statement: the function has made the object for itself.
    """
    filled = {b: names for b, names in _filled(file, function, spawn) if names}
    for statement in behind if filled else ():
        for node in ast.walk(statement):
            if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Load):
                continue
            binding = file.binding(node.value)
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
    for name, given in zip(names, spawn.args or (), strict=False):
        binding = file.binding(given)
        if binding is None or binding.scope is not function.scope or len(binding.sites) != 1:
            continue
        made = binding.sites[0].value
        value = file.value(made) if isinstance(made, ast.Call) else None
        if value is not None and value.cls is not None and value.made is made:
            yield binding, _changed(target, name, value.cls)


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
