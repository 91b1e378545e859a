"""Objects that a thread has to itself: made by it, for it, or handed to it alone."""

from __future__ import annotations

import ast

from threadmend.python.arguments import argument
from threadmend.python.file import PythonFile, last_name
from threadmend.python.flow import innermost_loop
from threadmend.python.functions import Function
from threadmend.python.scope import Binding
from threadmend.python.threads import Spawn, reached

from ._alone import is_given_away, is_made_by_callers, is_new
from ._given import is_from_queue, reaching
from ._handed import argument_for

__all__ = ["is_fresh", "is_own"]


def is_fresh(file: PythonFile, node: ast.expr, spawn: ast.AST) -> bool:
    """Return whether an object is made in the loop that starts the thread, or right there, or is
    the element of a list whose turn it is in that loop.
    """
    if isinstance(node, ast.Call | ast.Constant):
        return True
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Name) and is_fresh(file, node.slice, spawn)
    binding = file.binding(node)
    loop = innermost_loop(spawn)
    if binding is None:
        return False
    if binding.scope.kind == "comprehension" or any(s.kind == "for" for s in binding.sites):
        return True
    return loop is not None and any(loop in file.ancestors(s.node) for s in binding.sites)


def is_own(file: PythonFile, node: ast.expr, function: Function, spawn: Spawn) -> bool:
    """Return whether a function made an object for itself, or got one of its own."""
    if isinstance(node, ast.Call | ast.Subscript):
        return True
    binding = file.binding(node)
    if binding is None:
        return False
    if binding.scope is not function.scope:
        return _is_of_run(file, binding, spawn)
    if any(site.kind != "parameter" for site in binding.sites):
        return True
    if spawn.target is function:
        arg = argument_for(spawn, binding.name)
        return arg is None or is_fresh(spawn.file, arg, spawn.node) or is_given_away(spawn, arg)
    if function.self_name == binding.name or is_made_by_callers(function, binding.name):
        return True
    if _is_passed_on(function, binding.name, spawn):
        return True
    return _is_made_on_the_way(function, binding.name, spawn)


def _is_made_on_the_way(function: Function, name: str, spawn: Spawn) -> bool:
    """Return whether what a thread runs hands a function only objects that it has just made: all
    calls of that name do, of whatever object.
    """
    if name not in function.parameters:
        return False
    at = function.parameters.index(name) - (function.self_name is not None)
    running = [f for f, spawns in reaching(spawn.file).items() if spawn in spawns]
    calls = [
        (one.file, call)
        for one in running
        for call in one.calls
        if one is not function and last_name(call.func) == function.name
    ]
    return bool(calls) and all(is_new(file, call, argument(call, at, name)) for file, call in calls)


def _is_of_run(file: PythonFile, binding: Binding, spawn: Spawn) -> bool:
    """Return whether a variable is one of a function that the thread runs, whose nested functions
    make its objects: each run has its own.
    """
    owner = file.function(binding.scope.node)
    if owner is None or spawn.target is None or owner not in reached(spawn.target):
        return False
    values = [site.value for site in binding.sites if not isinstance(site.value, ast.Constant)]
    return bool(values) and all(isinstance(value, ast.Call) for value in values)


_DEPTH = 3
"""Calls that an object may be handed on by."""


def _is_passed_on(function: Function, name: str, spawn: Spawn, depth: int = _DEPTH) -> bool:
    """Return whether a thread hands on what is its own: the element of a list that it is given,
    what it loops over of that, or what it takes out of a queue.
    """
    if spawn.target is None or name not in function.parameters:
        return False
    at = function.parameters.index(name) - (function.self_name is not None)
    running = reached(spawn.target) - {function}
    file = function.file
    sites = [s for s in function.callers if s.caller in running]
    return bool(sites and depth) and all(
        is_from_queue(file, given := argument(site.call, at, name))
        or (site.caller is not None and _is_own_part(file, given, site.caller, spawn))
        or (site.caller is not None and _is_handed_on(given, site.caller, spawn, depth))
        for site in sites
    )


def _is_handed_on(given: ast.expr | None, caller: Function, spawn: Spawn, depth: int) -> bool:
    """Return whether a caller hands on what it has got itself in that way."""
    binding = caller.file.binding(given)
    if binding is None or binding.scope is not caller.scope or caller is spawn.target:
        return False
    if [site.kind for site in binding.sites] != ["parameter"] or binding.name == caller.self_name:
        return False
    return _is_passed_on(caller, binding.name, spawn, depth - 1)


def _is_own_part(file: PythonFile, given: ast.expr | None, caller: Function, spawn: Spawn) -> bool:
    """Return whether a thread's target has what it hands on from what it got itself."""
    binding = file.binding(given)
    if given is None or binding is None or caller is not spawn.target or len(binding.sites) > 1:
        return False
    root, loop = given, file.statement(binding.sites[0].node)
    if binding.sites[0].kind in {"for", "unpack"} and isinstance(loop, ast.For):
        root = loop.iter
    while isinstance(root, ast.Call | ast.Attribute | ast.Subscript):
        root = root.func if isinstance(root, ast.Call) else root.value
    own = file.binding(root)
    if own is None or own.scope is not caller.scope or own.name == caller.self_name:
        return False
    return own.name in caller.parameters and is_own(file, root, caller, spawn)
