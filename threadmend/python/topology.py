"""The two pictures of a Python project: in which order locks are taken, and who talks over
which queue. The same as `golang.topology` draws for Go.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from threadmend.graph import Edge, Graph, Vertex, components
from threadmend.python.lockorder import nestings
from threadmend.python.operations import class_name
from threadmend.python.queues import QueueUse, queues_of
from threadmend.python.threads import spawns_reaching

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile
    from threadmend.python.project import PythonProject

__all__ = ["lock_graph", "order_graph", "queue_graph", "queues_picture"]


def _files(project: PythonProject, paths: Collection[str]) -> Iterator[PythonFile]:
    return (file for file in project.files() if file.path in paths)


def lock_graph(project: PythonProject, paths: Collection[str]) -> Graph:
    """Return which lock is taken while which other one is held, by functions in these files."""
    names: dict[tuple[str, str], set[str]] = {}
    for file in _files(project, paths):
        for nesting in nestings(file):
            if nesting.is_self and nesting.inner.lock.reentrant:
                continue
            function = nesting.function.qualname if nesting.function is not None else "(module)"
            pair = (class_name(nesting.held), class_name(nesting.inner.place))
            names.setdefault(pair, set()).add(function)
    return order_graph(names)


def order_graph(names: Mapping[tuple[str, str], set[str]]) -> Graph:
    """Return the picture of nestings: (held, taken) with the functions that nest them."""
    every = sorted({name for pair in names for name in pair})
    circle = [set(group) for group in components(every, names) if len(group) > 1]
    edges = [
        Edge(held, taken, ", ".join(sorted(functions)[:3]), _alarms(held, taken, circle))
        for (held, taken), functions in sorted(names.items())
    ]
    vertices = tuple(Vertex(name, "lock", _short(name)) for name in every)
    title = "Lock order: an arrow points at what is taken under a lock"
    return Graph(title, vertices, tuple(edges))


def _alarms(held: str, taken: str, circles: list[set[str]]) -> bool:
    return held == taken or any(held in circle and taken in circle for circle in circles)


def _short(name: str) -> str:
    return ".".join(name.split(".")[-2:])


def queue_graph(project: PythonProject, paths: Collection[str]) -> Graph:
    """Return who puts into and gets from which queue, in the files given."""
    return queues_picture(_files(project, paths))


def queues_picture(files: Iterable[PythonFile]) -> Graph:
    """Return the same for files at hand."""
    vertices: set[Vertex] = set()
    edges: set[Edge] = set()
    for file in files:
        for use in queues_of(file):
            if use.puts or use.gets:
                _connect(file, use, vertices, edges)
    title = "Queues: who puts and who gets"
    return Graph(title, tuple(sorted(vertices)), tuple(sorted(edges)))


def _connect(file: PythonFile, use: QueueUse, vertices: set[Vertex], edges: set[Edge]) -> None:
    name = class_name(use.place)
    room = " (bounded)" if use.is_bounded else ""
    vertices.add(Vertex(name, "queue", _short(name) + room))
    for calls, puts in ((use.puts, True), (use.gets, False)):
        for call in calls:
            runner = _runner(file, call)
            vertices.add(runner)
            edge = Edge(runner.name, name, "puts") if puts else Edge(name, runner.name, "gets")
            edges.add(edge)
    if use.escapes:
        return  # its other end may be elsewhere
    if not use.gets:
        vertices.add(Vertex(f"{name} has no consumer", "missing", "no consumer"))
        edges.add(Edge(name, f"{name} has no consumer", alarm=True))
    if not use.puts:
        vertices.add(Vertex(f"{name} has no producer", "missing", "no producer"))
        edges.add(Edge(f"{name} has no producer", name, alarm=True))


def _runner(file: PythonFile, call: ast.Call) -> Vertex:
    """Return the function that a call stands in, and whether a thread runs it."""
    function = file.function(call)
    if function is None:
        return Vertex(f"{file.module}.(module)", "function", _short(file.module))
    kind = "thread" if function in spawns_reaching(file) else "function"
    return Vertex(function.qualified, kind, _short(function.qualified))
