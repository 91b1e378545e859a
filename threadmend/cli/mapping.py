"""`map`: every concurrent operation of a project with its type, or pictures of them."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.cli.options import MapFormat
from threadmend.cli.output import Output
from threadmend.cli.session import Request, Session
from threadmend.graph import Graph, Operation
from threadmend.report import json, text
from threadmend.report.text import Line, Segment

__all__ = ["run"]


def run(request: Request, form: MapFormat) -> int:
    """Print the operations of the files that were named, or draw their locks and channels."""
    session, output = Session.open(request), Output()
    chosen = set(session.files())
    if form not in {MapFormat.TEXT, MapFormat.JSON}:
        output.text(_drawn(session, chosen, form))
        return 0
    found = sorted(
        (item for item in _operations(session, chosen) if item.path in chosen),
        key=lambda item: (item.path, item.line, item.column, item.operation),
    )
    unreadable = session.project.unreadable
    if form is MapFormat.JSON:
        output.text(json.dumps(json.operations(found, unreadable)))
        return 0
    output.lines(_line(item, session.shown(item.path)) for item in found)
    output.notes(text.unreadable_lines(unreadable, session.shown))
    unknown = sum(item.type is None for item in found)
    output.note(f"{text.count(len(found), 'operation')}, {unknown} of unknown type")
    return 0


def _operations(session: Session, chosen: set[str]) -> Iterator[Operation]:
    """Yield the operations of the languages that are there."""
    if any(path.endswith(".go") for path in chosen):
        from threadmend.golang.operations import operations

        yield from operations(session.project.go)
    if any(path.endswith((".py", ".ipynb")) for path in chosen):
        from threadmend.python.operations import operations as python_operations

        yield from python_operations(session.project.python)


def _drawn(session: Session, chosen: set[str], form: MapFormat) -> str:
    """Return lock order, channels and queues of the chosen files as one picture."""
    from threadmend.report import drawing

    graphs: list[Graph] = []
    python = any(path.endswith((".py", ".ipynb")) for path in chosen)
    if not python or any(path.endswith(".go") for path in chosen):
        from threadmend.golang.topology import channel_graph, lock_graph

        workspace = session.project.go
        graphs += [lock_graph(workspace, chosen), channel_graph(workspace, chosen)]
    if python:
        from threadmend.python import topology

        project = session.project.python
        graphs += [topology.lock_graph(project, chosen), topology.queue_graph(project, chosen)]
    draw = {
        MapFormat.DOT: drawing.dot,
        MapFormat.MERMAID: drawing.mermaid,
        MapFormat.SVG: drawing.svg,
    }[form]
    return draw(graphs)


def _line(item: Operation, path: str) -> Line:
    place = f"{text.printable(path)}:{item.line}:{item.column}"
    words = [item.operation, item.type or "?"]
    if item.class_:
        words.append(item.class_)
    if item.guards:
        words.append(f"guards {', '.join(item.guards)}")
    return (
        Segment(place, "path"),
        Segment(": "),
        Segment(words[0], "rule"),
        Segment("  " + "  ".join(words[1:])),
    )
