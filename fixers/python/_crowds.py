"""Crowds: spawns that start several threads at a time."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.python.arguments import argument
from threadmend.python.classes import INITIALIZERS, Class
from threadmend.python.constants import constant_of, made_with
from threadmend.python.file import PythonFile
from threadmend.python.flow import in_comprehension, innermost_loop
from threadmend.python.functions import Function, function_of
from threadmend.python.methodcalls import method_calls
from threadmend.python.threads import Spawn, is_repeated
from threadmend.python.uses import is_self

from ._handed import makers
from ._one_at_a_time import is_one_at_a_time

__all__ = ["is_many", "take_turns"]


def is_many(cls: Class | None, spawn: Spawn) -> bool:
    """Return whether a spawn starts several threads that run at the same time and share an
    object of `cls` (None: any variable).
    """
    file = spawn.file
    if isinstance(spawn.node, ast.ClassDef):
        started = file.class_of(spawn.node)
        own = cls is not None and (cls in started.mro or started in cls.mro)
        if spawn.kind == "handler" or own:
            return not own
        handed = [] if cls is None else list(_made_with_methods_of(cls, started))
        if len(handed) == 1:
            return _is_run_often(*handed[0])
        made = file.calls(started.name)
        return len(made) > 1 or any(is_repeated(call) for call in made)
    maker = spawn.through or spawn
    if _only_worker(file, maker) is not None:
        return False
    if maker.kind == "timer" or is_one_at_a_time(spawn):
        return False
    starter = file.function(spawn.node)
    if spawn.many and not _is_awaited(spawn):
        return not _is_endless_restart(file, spawn)
    if starter is None or _is_of_new_object(cls, spawn, starter):
        return False
    if spawn.args and any(
        isinstance(n, ast.Name) and n.id in starter.parameters and n.id != starter.self_name
        for arg in spawn.args
        for n in ast.walk(arg)
    ):
        return True
    return any(is_repeated(site.call) for site in starter.callers)


def _is_of_new_object(cls: Class | None, spawn: Spawn, starter: Function) -> bool:
    """Return whether the initializer of an object starts a thread that runs a method of its: each
    object has one.
    """
    method, home = spawn.method_node, starter.home
    if cls is None or home is None or starter.name not in INITIALIZERS or method is None:
        return False
    return (cls in home.mro or home in cls.mro) and is_self(spawn.file, method.value)


def _is_awaited(spawn: Spawn) -> bool:
    """Return whether a coroutine waits for each job of a loop before it begins the next one:
    `while running: await loop.run_in_executor(None, self._collect)`.
    """
    awaited = isinstance(spawn.file.parent(spawn.node), ast.Await)
    jobs = spawn.kind in {"executor", "to_thread"} and spawn.through is None
    return awaited and jobs and not in_comprehension(spawn.node)


def _made_with_methods_of(cls: Class, started: Class) -> Iterator[tuple[PythonFile, ast.Call]]:
    """Yield where objects of a class of threads are made with a method of `cls`, which is what
    they run: `Watched(self._load)`, of an object that is not made for the thread.
    """
    for file in makers(started):
        for call in file.calls(started.name):
            given = (*call.args, *(k.value for k in call.keywords))
            for one in given:
                bound = function_of(file, one) if isinstance(one, ast.Attribute) else None
                if bound is None or bound.home is None or bound.home not in cls.mro:
                    continue
                if isinstance(one, ast.Attribute) and not isinstance(one.value, ast.Call):
                    yield file, call


def _is_run_often(file: PythonFile, call: ast.Call) -> bool:
    """Return whether a call is made again and again for one object: not by its initializer."""
    function = file.function(call)
    if is_repeated(call) or function is None or function.name in INITIALIZERS:
        return is_repeated(call)
    return any(is_repeated(site.call) for site in function.callers)


def _is_endless_restart(file: PythonFile, spawn: Spawn) -> bool:
    """Return whether the loop waits for each thread before it starts the next."""
    loop = innermost_loop(spawn.node)
    if loop is None or spawn.kind != "thread":
        return False
    statement = file.statement(spawn.node)
    if not isinstance(statement, ast.Assign) or statement not in loop.body:
        return False
    name = file.text(statement.targets[0])
    return any(
        file.text(owner) == name
        and (file.parent(owner) is not call.func or not (call.args or call.keywords))
        and innermost_loop(call) is loop
        for call, owner in method_calls(file, "join")
    )


def take_turns(first: Spawn, second: Spawn) -> bool:
    """Return whether two spawns give their work to the one worker of the same executor."""
    worker = _only_worker(first.file, first.through or first)
    return worker is not None and worker is _only_worker(second.file, second.through or second)


def _only_worker(file: PythonFile, spawn: Spawn) -> ast.Call | None:
    """Return the call that makes the executor of a spawn, when that has a single thread; `file`
    is whose work it gets.
    """
    call = spawn.node
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return None
    given = argument(call, 0, "executor") if spawn.kind == "executor" else call.func.value
    value = None if given is None else spawn.file.value(given)
    made = value.made if value is not None else None
    if value is None or not isinstance(made, ast.Call):
        return None
    sizes = made_with(file, value, 0, "max_workers", "processes")
    known = [constant_of(other, size) for other, size in sizes]
    return made if any(size is not None and size.value == 1 for size in known) else None
