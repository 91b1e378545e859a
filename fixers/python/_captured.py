"""Globals and captured names that several threads change, with their uses."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import TypeAlias

from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import enclosing
from threadmend.python.functions import Function
from threadmend.python.methodcalls import method_calls
from threadmend.python.scope import Binding
from threadmend.python.sharing import shared_names
from threadmend.python.threads import Spawn
from threadmend.python.uses import use_mode

from ._data import Data, Use

__all__ = ["Running", "captured", "is_alone", "is_begun_by"]

_BEGINS = frozenset({"start", "begin", "open", "launch", "activate"})
_PLAIN = (ast.Expr, ast.With, ast.FunctionDef)

Running: TypeAlias = Mapping[Function, list[Spawn]]
"""What runs in other threads, and by which spawns."""


def captured(file: PythonFile, running: Running) -> list[Data]:
    """Return the variables that functions touch which threads run, with all their uses."""
    found = []
    for shared in shared_names(file, running):
        owner = file.function(shared.binding.scope.node) if _is_local(shared.binding) else None
        data = Data(file, shared.binding.name, binding=shared.binding)
        for node in (*shared.inside, *shared.outside):
            function = file.function(node)
            if function is None:
                continue
            spawns = [s for s in running.get(function, []) if _is_common(owner, s)]
            # Each run of the function that starts one has a variable of its own.
            data.single |= {s for s in spawns if _starts_once(owner, s)}
            threads: set[Spawn | None] = set(spawns)
            if not spawns and not is_alone(file, function) and function is not owner:
                threads.add(None)
            data.uses.append(Use(node, use_mode(node), function, frozenset(threads)))
        found.append(data)
    return found


def _starts_once(owner: Function | None, spawn: Spawn) -> bool:
    """Return whether a function starts, each time it runs, one thread with its variables."""
    return owner is not None and spawn.file.function(spawn.node) is owner and not spawn.many


def _is_local(binding: Binding) -> bool:
    return binding.scope.kind in {"function", "lambda"}


def _is_common(owner: Function | None, spawn: Spawn) -> bool:
    """Return whether a captured variable is the same for all that a spawn starts: it is not
    one of the thread's own functions.
    """
    if owner is None:
        return True
    starter = spawn.file.function(spawn.node)
    if starter is not None and starter.home is not None and _is_kept(owner, starter.home):
        return True
    while starter is not None and starter is not owner:
        starter = starter.outer
    return starter is owner


def _is_kept(owner: Function, cls: Class) -> bool:
    """Return whether an object keeps for good what a function makes: `self.add = make_adder()`.
    Its threads share the variables.
    """
    kept = [site for site in owner.callers if site.caller in cls.init_only]
    return bool(kept) and all(
        isinstance(above := site.file.parent(site.call), ast.Assign)
        and any(isinstance(node, ast.Attribute) for node in ast.walk(above.targets[0]))
        for site in kept
    )


def is_alone(file: PythonFile, function: Function) -> bool:
    """Return whether a function starts threads or waits for them: what it does itself comes
    before or after what they do.
    """
    known: set[Function] | None = file.__dict__.get("_alone_functions")
    if known is None:
        waits = method_calls(file, "join")
        nodes: set[ast.AST] = {call for call, owner in waits if _is_thread(file, call, owner)}
        nodes |= {spawn.node for spawn in file.spawns}
        known = {f for f in file.functions if not nodes.isdisjoint(f.own)}
        file.__dict__["_alone_functions"] = known
    return function in known


def is_begun_by(file: PythonFile, function: Function, node: ast.AST) -> bool:
    """Return whether a `start` of an object has a private helper start its threads in every case,
    behind a node.
    """
    if function.name not in _BEGINS:
        return False
    at = file.span(node)[0]
    return any(
        helper.is_private
        and is_alone(file, helper)
        and file.span(call)[0] > at
        and all(isinstance(above, _PLAIN) for above in enclosing(call, ast.stmt))
        for call, helper in function.callees.items()
        if helper.home is function.home and helper.file is file
    )


def _is_thread(file: PythonFile, call: ast.Call, owner: ast.expr) -> bool:
    """Return whether what is joined may be a thread: strings join what they are given."""
    return call.func is not file.parent(owner) or not call.args
