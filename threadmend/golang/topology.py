"""The two pictures of a project: in which order locks are taken, and who talks over what.

The lock graph has an arrow from a lock that is held to one that is taken under it, named
for the function that does so; arrows of a cycle carry the alarm. The channel graph has
functions (those that a goroutine runs stand out) and channels with their capacity; an end
that nobody has is marked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from threadmend.golang.access import lock_class
from threadmend.golang.goroutines import launch_sites, launches
from threadmend.golang.lockorder import lock_order_graph
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan
from threadmend.graph import Edge, Graph, Vertex, short

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.workspace import Workspace

__all__ = ["channel_graph", "channels_picture", "lock_graph"]

_CHANNELS = re.compile(rb"<-|\bclose\(|\bmake\(\s*chan\b|\brange\b")


def _files(workspace: Workspace, paths: Collection[str]) -> Iterator[GoFile]:
    for package in workspace.packages:
        for file in package.files:
            if file.path in paths and not file.generated:
                yield file


def lock_graph(workspace: Workspace, paths: Collection[str]) -> Graph:
    """Return which lock is taken while which other one is held, by functions in these files."""
    order = lock_order_graph(workspace)
    circle = {
        pair
        for cycle in order.cycles
        for pair in zip(cycle.classes, (*cycle.classes[1:], cycle.classes[0]), strict=True)
    }
    edges = []
    for (held, taken), witnesses in sorted(order.edges.items()):
        names = {w.name for w in witnesses if w.pair.file.path in paths}
        if names:
            alarm = (held, taken) in circle
            edges.append(Edge(held, taken, _few(sorted(names)), alarm))
    vertices = sorted({name for edge in edges for name in (edge.source, edge.target)})
    return Graph(
        "Lock order: an arrow points at what is taken under a lock",
        tuple(Vertex(name, "lock", short(name)) for name in vertices),
        tuple(edges),
    )


def _name(function: Node) -> str:
    """Return `Type.method` or `function`; a literal's name is that of what is around it."""
    at: Node | None = function
    while at is not None and at.kind == "func_literal":
        at = at.function
    name = at.get("name") if at is not None else None
    if at is None or name is None:
        return "(package)"
    receiver = at.get("receiver")
    owner = next(receiver.find("type_identifier"), None) if receiver is not None else None
    return f"{owner.name}.{name.name}" if owner is not None else name.name


def _few(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


class _Ends:
    """The ends of one channel: which functions do what with it, and its capacity."""

    def __init__(self) -> None:
        self.senders: set[tuple[str, bool]] = set()
        self.receivers: set[tuple[str, bool]] = set()
        self.closers: set[tuple[str, bool]] = set()
        self.capacity: str | None = None
        self.made = False


def channel_graph(workspace: Workspace, paths: Collection[str]) -> Graph:
    """Return who sends and receives on which channel, in the files given."""
    return channels_picture(_files(workspace, paths))


def channels_picture(files: Iterable[GoFile]) -> Graph:
    """Return the same for files at hand."""
    channels: dict[str, _Ends] = {}
    for file in files:
        if file.holds(_CHANNELS):
            for name, kind, node in _operations(file):
                ends = channels.setdefault(name, _Ends())
                if kind == "make":
                    ends.made = True
                    arguments = node["arguments"].children
                    ends.capacity = arguments[1].name if len(arguments) > 1 else None
                else:
                    getattr(ends, kind).add(_runner(file, node))
    vertices: set[Vertex] = set()
    edges: set[Edge] = set()
    for name, ends in channels.items():
        if ends.senders or ends.receivers:
            room = f" ({ends.capacity})" if ends.capacity else ""
            vertices.add(Vertex(name, "channel", short(name) + room))
            _connect(name, ends, vertices, edges)
    title = "Channels: who sends and who receives"
    return Graph(title, tuple(sorted(vertices)), tuple(sorted(edges)))


def _connect(name: str, ends: _Ends, vertices: set[Vertex], edges: set[Edge]) -> None:
    for function, launched in ends.senders | ends.receivers | ends.closers:
        vertices.add(Vertex(function, "goroutine" if launched else "function", short(function)))
    edges.update(Edge(function, name, "sends") for function, _ in ends.senders)
    edges.update(Edge(function, name, "closes") for function, _ in ends.closers)
    edges.update(Edge(name, function, "receives") for function, _ in ends.receivers)
    if not ends.made:
        return  # made elsewhere: its other end may be there as well
    if not ends.receivers:
        vertices.add(Vertex(f"{name} has no receiver", "missing", "no receiver"))
        edges.add(Edge(name, f"{name} has no receiver", alarm=True))
    if not ends.senders and not ends.closers:
        vertices.add(Vertex(f"{name} has no sender", "missing", "no sender"))
        edges.add(Edge(f"{name} has no sender", name, alarm=True))


def _operations(file: GoFile) -> Iterator[tuple[str, str, Node]]:
    """Yield (class of the channel, what is done, where) for a file's channel operations."""
    for declaration in file.declarations(_CHANNELS):
        for node in declaration.node.walk():
            channel, kind = _operand(node)
            if channel is None:
                continue
            if kind == "make":
                target = _target(node)
                name = lock_class(file, target) if target is not None else None
            else:
                name = lock_class(file, channel)
            if name and isinstance(file.underlying(file.type_of(channel)), Chan):
                yield name, kind, node


def _operand(node: Node) -> tuple[Node | None, str]:
    if node.kind == "send_statement":
        return node["channel"], "senders"
    if node.kind == "unary_expression" and node["operator"].kind == "<-":
        return node["operand"], "receivers"
    if node.kind == "range_clause":
        return node.get("right"), "receivers"
    if node.kind == "call_expression" and node["function"].kind == "identifier":
        arguments = node["arguments"].children
        if node["function"].name == "close" and len(arguments) == 1:
            return arguments[0], "closers"
        if node["function"].name == "make" and arguments:
            return node, "make"
    return None, ""


def _target(make: Node) -> Node | None:
    """Return the variable or field that a make initialises."""
    parent = make.parent
    if parent is not None and parent.kind == "expression_list" and parent.parent is not None:
        statement = parent.parent
        index = next(i for i, child in enumerate(parent.children) if child is make)
        left = statement.get("left")
        names = left.children if left is not None else statement.all("name")
        return names[index] if index < len(names) else None
    return None


def _runner(file: GoFile, node: Node) -> tuple[str, bool]:
    """Return the function that an operation stands in, and whether a goroutine runs it."""
    function = node.function
    if function is None:
        return file.package.path, False
    name = f"{file.package.path}.{_name(function)}"
    if function.kind == "func_literal":
        if any(launch.literal is function for launch in launches(file)):
            line = file.source.line_of(function.start)
            return f"{name}:{line}", True
        return name, False
    return name, (file.path, function.start) in launch_sites(file.package)
