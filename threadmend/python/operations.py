"""Operations: every use of a lock, queue, event, thread, executor and future, every spawn.

What `threadmend map` prints of a Python project.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.graph import Operation
from threadmend.python import api
from threadmend.python.guards import guards_of
from threadmend.python.places import Place
from threadmend.python.scope import parent

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile
    from threadmend.python.project import PythonProject

__all__ = ["class_name", "operations"]

_OF_THREADS = frozenset({"start", "join", "run", "is_alive", "cancel", "terminate", "kill"})

_KINDS = (
    api.LOCKS | api.SEMAPHORES | api.EVENTS | api.QUEUES | api.ASYNC_QUEUES | api.THREADS
    | api.PROCESSES | api.EXECUTORS | api.FUTURES | {"threading.Barrier", "threading.local"}
)  # fmt: skip


def operations(project: PythonProject) -> Iterator[Operation]:
    """Yield the operations of every file that speaks of concurrency and parses."""
    for file in project.files():
        yield from _uses(file)
        yield from _spawns(file)


def _uses(file: PythonFile) -> Iterator[Operation]:
    guarded = _guarded(file)
    for call in file.nodes(ast.Call):
        func = call.func
        value = file.value(func.value) if isinstance(func, ast.Attribute) else None
        if value is not None and value.is_a(_KINDS):
            assert isinstance(func, ast.Attribute)
            if value.cls is not None and func.attr not in _OF_THREADS:
                continue  # a method of the project's own
            yield _operation(file, call, func.attr, value.type, func.value)
            continue
        made = file.value(call)
        if made is not None and made.made is call and made.type in _KINDS:
            target = _target(call)
            place = file.place(target)
            guards = guarded.get(place.anywhere, ()) if place is not None else ()
            yield _operation(file, call, "make", made.type, target, guards)
    for node in file.nodes(ast.withitem):
        value = file.value(node.context_expr)
        if value is not None and value.is_a(_KINDS):
            yield _operation(file, node.context_expr, "with", value.type, node.context_expr)


def _target(call: ast.Call) -> ast.expr | None:
    """Return the variable or attribute that a new object is assigned to."""
    above = parent(call)
    if isinstance(above, ast.Assign) and len(above.targets) == 1:
        return above.targets[0]
    return above.target if isinstance(above, ast.AnnAssign) else None


def _guarded(file: PythonFile) -> dict[Place, tuple[str, ...]]:
    """Return which attributes the locks of a file's classes guard."""
    found: dict[Place, set[str]] = {}
    for cls in file.classes:
        for guard in guards_of(cls).values():
            if guard.share > 0.5:
                found.setdefault(guard.lock.anywhere, set()).add(guard.name)
    return {place: tuple(sorted(names)) for place, names in found.items()}


def _spawns(file: PythonFile) -> Iterator[Operation]:
    for spawn in file.spawns:
        target = spawn.target.qualified if spawn.target is not None else None
        shown = file.text(spawn.target_node) if spawn.target_node is not None else ""
        kind = "thread" if spawn.is_threaded else spawn.kind
        line, column = _position(file, spawn.node)
        yield Operation(file.path, line, column, spawn.kind, kind, target, shown.split("\n")[0])


def _operation(
    file: PythonFile,
    node: ast.expr,
    operation: str,
    type_: str,
    subject: ast.expr | None,
    guards: tuple[str, ...] = (),
) -> Operation:
    line, column = _position(file, node)
    place = file.place(subject)
    name = class_name(place) if place is not None else None
    shown = file.text(subject).split("\n")[0] if subject is not None else ""
    return Operation(file.path, line, column, operation, type_, name, shown, guards)


def _position(file: PythonFile, node: ast.AST) -> tuple[int, int]:
    start = file.span(node)[0]
    notebook = file.project.notebook(file.path)
    if notebook is not None:
        at = file.project.source(file.path).position(notebook.offset(start))
    else:
        at = file.source.position(start)
    return at.line, at.column


def class_name(place: Place) -> str:
    """Return how a place is shown: `pkg.mod.Class.lock`, `pkg.mod.f.lock`."""
    owner = place.owner.rpartition(":")[0] if place.kind == "local" else place.owner
    return f"{owner}.{place.name}"
