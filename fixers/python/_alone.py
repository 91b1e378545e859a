"""Objects that one thread alone knows: what a caller has just made, or is made for a thread."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from threadmend.python.arguments import argument
from threadmend.python.file import PythonFile
from threadmend.python.flow import are_alternatives, innermost_loop
from threadmend.python.functions import Function, function_of
from threadmend.python.threads import Spawn, is_repeated

__all__ = [
    "is_called_before",
    "is_given_away",
    "is_made_by_callers",
    "is_made_for",
    "is_named_nowhere",
    "is_new",
]

_MANY = 600
"""Files of a project, all of which are asked who gives an object away."""


def is_made_by_callers(function: Function, name: str, depth: int = 3) -> bool:
    """Return whether a parameter only ever gets objects that the caller has made itself and
    handed to nobody before, or has got that way, as far as the function's file shows: by any call
    of that name.
    """
    file = function.file
    if name not in function.parameters:
        return False  # one that is only given by its name
    at = function.parameters.index(name) - (function.self_name is not None)
    calls = [c for c in file.calls(function.name) if file.function(c) is not function]
    given = [(call, argument(call, at, name)) for call in calls]
    return bool(calls) and all(
        is_new(file, call, one) or _is_passed_on(file, call, one, depth) for call, one in given
    )


def is_called_before(function: Function, starters: set[Function]) -> bool:
    """Return whether a method is only called where its object's threads are started later on: not
    by other files, and by methods that go on to what starts them (`starters`).
    """
    sites = function.callers
    if not sites or not function.is_only_called:
        return False
    if not all(
        site.caller is not None
        and site.caller.home is function.home
        and innermost_loop(site.call) is None
        and starters.isdisjoint(_called(site.caller, site.call, before=True))
        and starters <= set(_called(site.caller, site.call, before=False))
        for site in sites
    ):
        return False
    return len(_naming(function, "")) <= 1


def _called(caller: Function, call: ast.Call, *, before: bool) -> Iterator[Function]:
    """Yield what a function calls before a call of its, or behind that."""
    place = (call.lineno, call.col_offset)
    for other, callee in caller.callees.items():
        if other is not call and before == ((other.lineno, other.col_offset) < place):
            yield callee


def is_named_nowhere(function: Function) -> bool:
    """Return whether nothing in the project names a private method: it never runs."""
    if not function.is_private or function.name.startswith("__"):
        return False
    name = re.compile(rb"\b" + re.escape(function.file.encode(function.name)) + rb"\b")
    return sum(len(name.findall(f.data)) for f in _naming(function, "")) == 1


def _naming(function: Function, behind: str) -> list[PythonFile]:
    """Return the files of the project that have a function's name, with text behind it."""
    project, named = function.file.project, function.file.encode(f"{function.name}{behind}")
    paths = project.paths if len(project.paths) <= _MANY else [function.file.path]
    files = [project.readable(p) for p in paths if named in project.source(p).data]
    return [file for file in files if file is not None]


def _is_passed_on(file: PythonFile, call: ast.Call, given: ast.expr | None, depth: int) -> bool:
    """Return whether a caller hands on an own parameter that only gets what its callers made."""
    binding, caller = file.binding(given), file.function(call)
    if binding is None or caller is None or depth == 0 or binding.name == caller.self_name:
        return False
    if binding.scope is not caller.scope or [s.kind for s in binding.sites] != ["parameter"]:
        return False
    return is_made_by_callers(caller, binding.name, depth - 1)


def is_given_away(spawn: Spawn, given: ast.expr) -> bool:
    """Return whether a thread gets a parameter of who starts it, and all callers give a new object
    and keep none: `runner.add(Job(path))`, which makes a thread with it.
    """
    starter = spawn.file.function(spawn.node)
    if starter is None or not isinstance(given, ast.Name) or is_repeated(spawn.node):
        return False
    if given.id not in starter.parameters[1 if starter.self_name else 0 :]:
        return False
    at = starter.parameters.index(given.id) - (starter.self_name is not None)
    calls = [(f, c) for f in _naming(starter, "(") for c in f.calls(starter.name)]
    got = [(f, c, argument(c, at, given.id)) for f, c in calls]
    kept = [one for one in got if not _is_nothing(starter, given.id, one[2])]
    return bool(kept) and all(_is_let_go(*one) for one in kept)


def _is_nothing(function: Function, name: str, given: ast.expr | None) -> bool:
    """Return whether a call gives no object for a parameter: None, or what it is by default."""
    if given is None:
        arguments = function.node.args
        named = [*arguments.posonlyargs, *arguments.args]
        pairs = zip(reversed(named), reversed(arguments.defaults), strict=False)
        given = next((default for one, default in pairs if one.arg == name), None)
    return isinstance(given, ast.Constant)


def _is_let_go(file: PythonFile, call: ast.Call, given: ast.expr | None) -> bool:
    """Return whether a caller hands over an object that it has made, and uses it no more."""
    if not is_new(file, call, given):
        return False
    binding = file.binding(given)
    return binding is None or all(
        isinstance(use.ctx, ast.Store)
        or (use.lineno, use.col_offset) <= (given.lineno, given.col_offset)
        for use in file.uses(binding)
        if given is not None
    )


def is_new(file: PythonFile, call: ast.Call, given: ast.expr | None) -> bool:
    """Return whether a call hands over what its caller has made, and has given nobody before."""
    if isinstance(given, ast.Call | ast.Dict | ast.List | ast.Set):
        return True
    binding, caller = file.binding(given), file.function(call)
    if not isinstance(given, ast.Name) or binding is None or caller is None:
        return False
    if binding.scope is not caller.scope or len(binding.sites) != 1:
        return False
    if not isinstance(binding.sites[0].value, ast.Call):
        return False
    return all(
        _stays_here(file, node)
        for node in file.uses(binding)
        if (node.lineno, node.col_offset) < (given.lineno, given.col_offset)
    )


def _stays_here(file: PythonFile, node: ast.Name) -> bool:
    """Return whether a use of a variable hands its object to nobody who may keep it: functions of
    the project fill it.
    """
    above = file.parent(node)
    if isinstance(above, ast.Call) and node in above.args:
        return function_of(file, above.func) is not None
    return isinstance(node.ctx, ast.Store) or isinstance(above, ast.Attribute)


def is_made_for(spawn: Spawn, node: ast.expr) -> bool:
    """Return whether an object is a variable of the function that starts a thread, which does
    nothing with it but run its method there, in one thread or another.
    """
    file, binding = spawn.file, spawn.file.binding(node)
    if binding is None or binding.scope.kind != "function" or is_repeated(spawn.node):
        return False
    if not all(isinstance(site.value, ast.Call) for site in binding.sites):
        return False
    made = [site.node.lineno for site in binding.sites]  # type: ignore[attr-defined]
    targets = {s.target_node: s.node for s in file.spawns}
    starts = []
    for use in file.uses(binding):
        method = file.parent(use)
        if isinstance(use.ctx, ast.Store):
            continue
        if not isinstance(method, ast.Attribute) or method not in targets:
            return False
        starts.append(targets[method])
    return all(
        one is spawn.node or are_alternatives(one, spawn.node) or _between(one, spawn.node, made)
        for one in starts
    )


def _between(
    one: ast.Call | ast.ClassDef, other: ast.Call | ast.ClassDef, lines: list[int]
) -> bool:
    """Return whether one of the lines stands between two nodes: there the variable is another."""
    first, last = sorted((one.lineno, other.lineno))
    return any(first < line <= last for line in lines)
