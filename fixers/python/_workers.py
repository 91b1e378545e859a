"""How many workers a place starts: the list that holds them, or the `range` it counts."""

from __future__ import annotations

import ast

from threadmend.python import api
from threadmend.python.arguments import argument
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import target_of
from threadmend.python.functions import Function
from threadmend.python.queues import QueueUse
from threadmend.python.scope import ancestors
from threadmend.python.threads import Spawn, is_repeated, reached
from threadmend.python.uses import is_self

__all__ = ["each", "kept_as", "started_at", "workers_elsewhere"]

_STARTED = frozenset({"thread", "process"})
_LISTING = (ast.ListComp, ast.SetComp, ast.GeneratorExp)


def started_at(file: PythonFile, spawn: Spawn) -> ast.Call | None:
    """Return the call that starts several workers: the spawn in a loop, or the only call, in a
    loop, of a function that makes one thread.
    """
    assert isinstance(spawn.node, ast.Call)
    if spawn.many:
        return spawn.node
    starter = file.function(spawn.node)
    if starter is None or not starter.is_only_called or len(starter.callers) != 1:
        return None
    if starter.cls is not None and not starter.is_private:
        return None
    call = starter.callers[0].call
    return call if is_repeated(call) else None


def each(file: PythonFile, spawn: Spawn) -> str | None:
    """Return what to loop over for as many rounds as there are workers: the list of threads,
    or the `range` that they are started over.
    """
    at = started_at(file, spawn) or spawn.node
    for above in ancestors(at):
        if isinstance(above, _LISTING):
            top = file.parent(above)
            kept = target_of(top)
            return file.text(kept) if isinstance(kept, ast.Name | ast.Attribute) else None
        if isinstance(above, ast.For):
            return _list(file, at, above) or _range(file, above)
    return None


def _list(file: PythonFile, made: ast.AST, loop: ast.For) -> str | None:
    """Return the list that a loop appends its threads to."""
    name = file.parent(made)
    target = target_of(name)
    names = {target.id} if isinstance(target, ast.Name) else set()
    for call in file.calls("append"):
        if loop in ancestors(call) and call.args and isinstance(call.func, ast.Attribute):
            given = call.args[0]
            if given is made or (isinstance(given, ast.Name) and given.id in names):
                return file.text(call.func.value)
    return None


def _range(file: PythonFile, loop: ast.For) -> str | None:
    iterated = loop.iter
    if isinstance(iterated, ast.Call) and file.qualified(iterated.func) == "range":
        if all(isinstance(a, ast.Name | ast.Constant | ast.Attribute) for a in iterated.args):
            return file.text(iterated)
    return None


def workers_elsewhere(file: PythonFile, use: QueueUse) -> tuple[Spawn, QueueUse] | None:
    """Return the threads of a function, or the objects of a Thread class, of another file to which
    a queue is handed, and to nobody else, with what they do with it there.
    """
    given = use.escapes[0] if len(use.escapes) == 1 and not use.gets else None
    for spawn in file.spawns if given is not None else ():
        if spawn.kind in _STARTED and given in (spawn.args or ()) and spawn.through is None:
            there = _used_by_target(file, spawn, given, use)
            return None if there is None else (spawn, there)
    call = None if given is None else file.parent(given)
    call = file.parent(call) if isinstance(call, ast.keyword) else call
    value = file.value(call) if isinstance(call, ast.Call) else None
    cls = None if value is None or value.made is not call else value.cls
    run = cls.method("run") if cls is not None and cls.inherits(*api.THREADS) else None
    init = None if cls is None else cls.method("__init__")
    if cls is None or run is None or init is None or not isinstance(call, ast.Call):
        return None
    if cls.file is file or init.file is not cls.file or run.file is not cls.file:
        return None
    for at, name in enumerate(init.parameters[1:]):
        if argument(call, at, name) is given:
            kept = _kept(cls, init, name)
            there = None if kept is None else _used_there(cls, run, kept, use)
            if there is not None:
                return Spawn("thread", call, None, run, tuple(call.args), file), there
    return None


def _used_by_target(
    file: PythonFile, spawn: Spawn, given: ast.expr | None, use: QueueUse
) -> QueueUse | None:
    """Return what the target of a thread, a function of another file, does with a queue that it is
    handed; None when it hands it on.
    """
    target, there = spawn.target, QueueUse(use.place, use.value)
    if target is None or target.file is file or spawn.args is None or given is None:
        return None
    names = target.parameters[1:] if target.self_name else target.parameters
    at = spawn.args.index(given)
    binding = target.scope.bindings.get(names[at]) if at < len(names) else None
    if binding is None or len(binding.sites) != 1:
        return None
    for node in target.file.uses(binding):
        if isinstance(node.ctx, ast.Load) and not _add(there, target.file, node):
            return None
    return there


def _add(there: QueueUse, file: PythonFile, node: ast.expr) -> bool:
    """Add a use of a queue where it is a call of one of its methods."""
    method = file.parent(node)
    call = None if method is None else file.parent(method)
    if not isinstance(method, ast.Attribute) or not isinstance(call, ast.Call):
        return False
    is_called = call.func is method
    if method.attr == "get" and (is_called or file.qualified(call.func) == "iter"):
        there.gets.append(call)
        return True
    if method.attr == "put" and is_called:
        there.puts.append(call)
        return True
    return method.attr == "task_done"


def kept_as(cls: Class, made: ast.Call, given: ast.expr) -> str | None:
    """Return the only attribute that keeps an argument of the call which makes an object."""
    init = cls.method("__init__")
    if init is None or init.file is not cls.file:
        return None
    for at, name in enumerate(init.parameters[1:]):
        if argument(made, at, name) is given:
            return _kept(cls, init, name)
    return None


def _kept(cls: Class, init: Function, name: str) -> str | None:
    """Return the only attribute that keeps a parameter of `__init__`, which has no other use."""
    binding = init.scope.bindings.get(name)
    uses = [] if binding is None else cls.file.uses(binding)
    assigned = cls.file.parent(uses[0]) if len(uses) == 1 else None
    target = assigned.targets[0] if isinstance(assigned, ast.Assign) else None
    if not isinstance(target, ast.Attribute) or not is_self(cls.file, target.value):
        return None
    writes = [one for one in cls.uses_of(target.attr) if one.mode == "write"]
    return target.attr if len(writes) == 1 else None


def _used_there(cls: Class, run: Function, kept: str, use: QueueUse) -> QueueUse | None:
    """Return what a class does with the queue that an attribute keeps; None when it is handed
    on, or used in more than its thread.
    """
    there, functions = QueueUse(use.place, use.value), reached(run)
    for one in cls.uses_of(kept):
        if one.mode == "write":
            continue
        if one.function not in functions or not _add(there, cls.file, one.node):
            return None
    return there
