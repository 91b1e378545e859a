"""Inventory: the locks, queues, threads, executors and tasks of a Python file.

Who joins a thread is judged by the file: a join (or `daemon = True`) in the same class or
function is believed to be about it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.inventory import Channel, Inventory, Launch, Lock, Nesting, Spot
from threadmend.python import api
from threadmend.python.guards import guards_of
from threadmend.python.lockorder import nestings
from threadmend.python.operations import class_name
from threadmend.python.queues import QueueUse, queues_of
from threadmend.python.threads import Spawn
from threadmend.python.topology import queues_picture

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile
    from threadmend.python.places import Place

__all__ = ["inventory"]

_MADE = api.LOCKS | api.SEMAPHORES
_NAMES = sorted({name.rpartition(".")[2] for name in _MADE} | {"allocate_lock"})
_POOLS = api.EXECUTORS | {"multiprocessing.pool.ThreadPool", "multiprocessing.Pool"}
_POOL_NAMES = sorted({name.rpartition(".")[2] for name in _POOLS})
_ENDS_POOL = frozenset({"shutdown", "close", "terminate", "join"})
_LEAVES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def inventory(file: PythonFile) -> Inventory:
    """Return what a file has; tests count for nothing."""
    if file.is_test:
        return Inventory()
    return Inventory(
        locks=list(_locks(file)),
        nestings=list(_nestings(file)),
        channels=[_queue(file, use) for use in queues_of(file)],
        launches=[*_spawns(file), *_executors(file)],
        pictures=[queues_picture([file])],
    )


def _spot(file: PythonFile, node: ast.AST) -> Spot:
    start = file.span(node)[0]
    notebook = file.project.notebook(file.path)
    if notebook is not None:
        return Spot(file.path, file.project.source(file.path).line_of(notebook.offset(start)))
    return Spot(file.path, file.source.line_of(start))


def _locks(file: PythonFile) -> Iterator[Lock]:
    types: dict[Place, str] = {}
    declared: dict[Place, Spot] = {}
    taken: dict[Place, list[Spot]] = {}
    for call in file.calls(*_NAMES):
        made = file.value(call)
        target = _target(file, call)
        lock = file.lock(target)
        place = lock.place if lock is not None else file.place(target)
        if made is not None and made.made is call and made.type in _MADE and place is not None:
            types[place.anywhere] = made.type
            declared.setdefault(place.anywhere, _spot(file, call))
    for section in file.sections:
        place = section.lock.place.anywhere
        types.setdefault(place, section.lock.type)
        taken.setdefault(place, []).append(_spot(file, section.item))
    guards: dict[Place, set[str]] = {}
    for cls in file.classes if taken else ():
        for guard in guards_of(cls).values():
            if guard.share > 0.5:
                guards.setdefault(guard.lock.anywhere, set()).add(guard.name)
    for place, type_ in types.items():
        names = tuple(sorted(guards.get(place, ())))
        spots = tuple(taken.get(place, ()))
        yield Lock(class_name(place), type_, declared.get(place), spots, names)


def _target(file: PythonFile, call: ast.Call) -> ast.expr | None:
    """Return the variable or attribute that a new object is assigned to."""
    above = file.parent(call)
    if isinstance(above, ast.Assign) and len(above.targets) == 1:
        return above.targets[0]
    return above.target if isinstance(above, ast.AnnAssign) else None


def _nestings(file: PythonFile) -> Iterator[Nesting]:
    for nesting in nestings(file):
        if nesting.is_self and nesting.inner.lock.reentrant:
            continue
        function = nesting.function.qualname if nesting.function is not None else "(module)"
        held, taken = class_name(nesting.held), class_name(nesting.inner.place)
        yield Nesting(held, taken, function, _spot(file, nesting.outer.item))


def _queue(file: PythonFile, use: QueueUse) -> Channel:
    made = use.value.made if use.value.file is file else None
    first = made or next((c for some in (use.puts, use.gets, use.joins) for c in some), None)
    spot = _spot(file, first) if first is not None else Spot(file.path, 1)
    name = use.place.name.rpartition(".")[2]
    # A public attribute may be used by code that does not say what it is.
    followed = not use.escapes and (use.place.kind == "local" or name.startswith("_"))
    problem = ""
    if followed and use.puts and not use.gets:
        problem = "put into, never read"
    elif followed and use.gets and not use.puts:
        problem = "read, but nobody puts"
    return Channel(class_name(use.place), spot, followed, problem, use.is_bounded)


# -- threads and tasks ----------------------------------------------------------------------

_KINDS = frozenset({"thread", "timer", "process", "run", "task"})
_THREADS = frozenset({"thread", "timer", "process"})


def _spawns(file: PythonFile) -> Iterator[Launch]:
    for spawn in file.spawns:
        if spawn.kind in _KINDS and (spawn.kind != "task" or spawn.target_node is not None):
            runs = spawn.target.qualname if spawn.target is not None else _shown(file, spawn)
            ending = _ending(file, spawn) if spawn.kind in _THREADS else ""
            yield Launch(spawn.kind, _spot(file, spawn.node), runs, ending)


def _shown(file: PythonFile, spawn: Spawn) -> str:
    return file.text(spawn.target_node).split("\n")[0] if spawn.target_node is not None else ""


def _ending(file: PythonFile, spawn: Spawn) -> str:
    if spawn.daemon:
        return "daemon"
    around = _around(file, spawn.node)
    if any(_is_within(file, node, around) for node in _daemons(file)):
        return "daemon"
    joins = (c for c in file.calls("join", "cancel") if _may_be_thread(file, c))
    return "joined" if any(_is_within(file, c, around) for c in joins) else "left"


def _around(file: PythonFile, node: ast.AST) -> ast.AST | None:
    """Return the outermost class or function that a node is in."""
    found = None
    for above in file.ancestors(node):
        if isinstance(above, _LEAVES):
            found = above
    return found


def _is_within(file: PythonFile, node: ast.AST, around: ast.AST | None) -> bool:
    return around is None or any(above is around for above in file.ancestors(node))


def _daemons(file: PythonFile) -> Iterator[ast.AST]:
    for node in file.nodes(ast.Assign):
        target = node.targets[0]
        if isinstance(target, ast.Attribute) and target.attr == "daemon":
            if isinstance(node.value, ast.Constant) and node.value.value:
                yield node
    yield from file.calls("setDaemon")


def _may_be_thread(file: PythonFile, call: ast.Call) -> bool:
    """Return whether `x.join()` may wait for a thread: no string, no path, no queue."""
    if not isinstance(call.func, ast.Attribute) or len(call.args) > 1:
        return False
    receiver = call.func.value
    if isinstance(receiver, ast.Constant | ast.JoinedStr):
        return False
    if file.qualified(call.func) == "os.path.join":
        return False
    value = file.value(receiver)
    return value is None or value.is_a(api.THREADS | api.PROCESSES)


def _executors(file: PythonFile) -> Iterator[Launch]:
    for call in file.calls(*_POOL_NAMES):
        value = file.value(call)
        if value is None or value.made is not call or not value.is_a(_POOLS):
            continue
        ending = "closed" if _is_closed(file, call) else "left"
        yield Launch("executor", _spot(file, call), value.type.rpartition(".")[2], ending)


def _is_closed(file: PythonFile, call: ast.Call) -> bool:
    """Return whether an executor is under a `with`, shut down in the file, or given away."""
    if isinstance(file.parent(call), ast.withitem):
        return True
    place = file.place(_target(file, call))
    if place is None:
        return True  # handed on: whoever has it may close it
    for end in file.calls(*_ENDS_POOL):
        if isinstance(end.func, ast.Attribute):
            other = file.place(end.func.value)
            if other is not None and other.anywhere == place.anywhere:
                return True
    for item in file.nodes(ast.withitem):
        other = file.place(item.context_expr)
        if other is not None and other.anywhere == place.anywhere:
            return True
    return False
