"""`map`: every concurrent operation of a project with its type, or pictures of them."""

from __future__ import annotations

from threadmend.cli.options import MapFormat
from threadmend.cli.output import Output
from threadmend.cli.session import Request, Session
from threadmend.golang.operations import Operation, operations
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
        (item for item in operations(session.project.go) if item.path in chosen),
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


def _drawn(session: Session, chosen: set[str], form: MapFormat) -> str:
    """Return the lock order and the channels of the chosen files as one picture."""
    from threadmend.golang.topology import channel_graph, lock_graph
    from threadmend.report import drawing

    workspace = session.project.go
    graphs = [lock_graph(workspace, chosen), channel_graph(workspace, chosen)]
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
    return (
        Segment(place, "path"),
        Segment(": "),
        Segment(words[0], "rule"),
        Segment("  " + "  ".join(words[1:])),
    )
