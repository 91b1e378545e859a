"""Event loops that run in a thread of their own, and the code that tells them from outside."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.python.file import PythonFile, last_name
from threadmend.python.functions import Function
from threadmend.python.places import Place
from threadmend.python.threads import Spawn, reached

from ._handed import argument_for

__all__ = ["homes", "is_outside", "runs_loop"]

_RUNS = frozenset({"run_forever", "run_until_complete"})
_MADE = frozenset(
    {"asyncio.get_running_loop", "asyncio.new_event_loop", "asyncio.get_event_loop"}
)  # fmt: skip
_ASKS = frozenset(
    {"current_thread", "get_ident", "get_native_id", "get_running_loop", "_get_running_loop",
     "in_event_loop"}
)  # fmt: skip
_WITHIN = frozenset({"task", "call", "callback", "signal"})


def homes(file: PythonFile) -> dict[Place, list[Spawn]]:
    """Return the loops that threads of a file run, with those threads."""
    known: dict[Place, list[Spawn]] | None = file.__dict__.get("_homes")
    if known is None:
        known = file.__dict__["_homes"] = {}
        if b"run_forever" in file.data or b"run_until" in file.data or b"asyncio.run" in file.data:
            for spawn in file.spawns:
                if spawn.kind in {"thread", "run"}:
                    for place in _run_by(file, spawn):
                        known.setdefault(place.anywhere, []).append(spawn)
    return known


def _run_by(file: PythonFile, spawn: Spawn) -> Iterator[Place]:
    target_node = spawn.method_node
    if target_node is not None and target_node.attr in _RUNS:
        yield from _places(file, target_node.value)
    for function in reached(spawn.target) if spawn.target is not None else ():
        if function.file is not file:
            continue
        for call in function.calls:
            func = call.func
            if isinstance(func, ast.Attribute) and func.attr in _RUNS:
                yield from _places(file, _given(spawn, function, func.value))
        for node in function.own:
            if isinstance(node, ast.Assign) and _is_made(file, node.value):
                for target in node.targets:
                    if isinstance(target, ast.Attribute):
                        yield from _places(file, target)


def _is_made(file: PythonFile, node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and file.qualified(node.func) in _MADE


def _given(spawn: Spawn, function: Function, node: ast.expr) -> ast.expr:
    """Return the argument that a thread's function gets for a parameter."""
    if isinstance(node, ast.Name) and function is spawn.target and node.id in function.parameters:
        return argument_for(spawn, node.id) or node
    return node


def _places(file: PythonFile, node: ast.expr) -> Iterator[Place]:
    place = file.place(node)
    if place is not None:
        yield place


def is_outside(file: PythonFile, call: ast.Call, function: Function, spawns: list[Spawn]) -> bool:
    """Return whether a call surely runs in another thread than those, while they run."""
    if function.is_async or isinstance(function.node, ast.Lambda) or function.outer is not None:
        return False
    inside = _inside(file, spawns)
    if function in inside or _begins(function, spawns, call) or runs_loop(function):
        return False
    earlier = [c for c in function.calls if c.lineno <= call.lineno and c is not call]
    if any(last_name(c.func) in _ASKS | {"join"} for c in earlier):
        return False
    callers = [site.caller for site in function.callers]
    if any(caller in inside or (caller is not None and caller.is_async) for caller in callers):
        return False
    if function.is_private:
        return bool(callers) and function.is_only_called and None not in callers
    return function.name not in {"__init__", "__del__"}


def runs_loop(function: Function) -> bool:
    """Return whether a function runs a loop itself: whoever calls it is the loop's thread."""
    return any(
        last_name(call.func) in _RUNS
        or (last_name(call.func) == "start" and _is_tornado(function.file, call.func))
        for call in function.calls
    )


def _is_tornado(file: PythonFile, func: ast.expr) -> bool:
    """Return whether a method is of a loop of tornado, which runs that of asyncio."""
    value = file.value(func.value) if isinstance(func, ast.Attribute) else None
    return value is not None and value.type.startswith("tornado.ioloop.IOLoop")


def _inside(file: PythonFile, spawns: list[Spawn]) -> set[Function]:
    """Return what the loop's thread may run: its target, and whatever is scheduled."""
    found = {f for spawn in spawns if spawn.target is not None for f in reached(spawn.target)}
    for one in file.spawns:
        if one.kind in _WITHIN and one.target is not None:
            found |= reached(one.target)
    for function in file.functions:
        if function.is_async:
            found |= reached(function)
    return found


def _begins(function: Function, spawns: list[Spawn], call: ast.Call) -> bool:
    """Return whether a call comes before the thread is started, in the function that does it."""
    own = set(function.own)
    starts = [c.lineno for c in function.calls if last_name(c.func) == "start"]
    if any(line >= call.lineno for line in starts):
        return True
    return any(spawn.node in own for spawn in spawns) and not starts
