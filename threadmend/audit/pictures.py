"""Pictures: graphs of parts put together, and cut to what one page can show."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from threadmend.graph import Edge, Graph, Vertex

__all__ = ["cut", "judged", "merged"]

_STRONG = {"goroutine": 1, "thread": 1, "missing": 1}


def merged(graphs: Iterable[Graph], title: str) -> Graph:
    """Return graphs as one; of two vertices with a name, the one that runs beside counts."""
    vertices: dict[str, Vertex] = {}
    edges: set[Edge] = set()
    for graph in graphs:
        edges.update(graph.edges)
        for vertex in graph.vertices:
            known = vertices.get(vertex.name)
            if known is None or _STRONG.get(vertex.kind, 0) > _STRONG.get(known.kind, 0):
                vertices[vertex.name] = vertex
    return Graph(title, tuple(sorted(vertices.values())), tuple(sorted(edges)))


def judged(graph: Graph, followed: Collection[str], wrong: Collection[str]) -> Graph:
    """Return a graph of channels with those alone whose every use is known.

    A missing end is kept for the channels that are wrong: the others' may be out of sight.
    """
    dropped = {
        v.name
        for v in graph.vertices
        if (v.kind in {"channel", "queue"} and v.name not in followed)
        or (v.kind == "missing" and v.name.partition(" has no ")[0] not in wrong)
    }
    edges = [e for e in graph.edges if e.source not in dropped and e.target not in dropped]
    return _of(graph, edges)


def cut(graph: Graph, most: int) -> Graph:
    """Return the connected pieces that hold an alarm, then the largest, up to `most` edges.

    What does not fit is left out as whole pieces; a piece that is too large by itself keeps
    its alarms and their surroundings.
    """
    if len(graph.edges) <= most:
        return graph
    kept: list[Edge] = []
    for piece in sorted(_pieces(graph), key=_rank):
        room = most - len(kept)
        if len(piece) <= room:
            kept += piece
        elif not kept:
            near = {n for e in piece if e.alarm for n in (e.source, e.target)} or _busiest(piece)
            kept += [e for e in piece if e.source in near or e.target in near][:room]
    return _of(graph, kept)


def _rank(piece: list[Edge]) -> tuple[bool, int, Edge]:
    return (not any(edge.alarm for edge in piece), -len(piece), piece[0])


def _busiest(piece: list[Edge]) -> set[str]:
    counts: dict[str, int] = {}
    for edge in piece:
        for name in (edge.source, edge.target):
            counts[name] = counts.get(name, 0) + 1
    return {min(counts, key=lambda name: (-counts[name], name))}


def _pieces(graph: Graph) -> list[list[Edge]]:
    """Return the edges of each connected piece, in order."""
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    for edge in graph.edges:
        leader[find(edge.source)] = find(edge.target)
    pieces: dict[str, list[Edge]] = {}
    for edge in sorted(graph.edges):
        pieces.setdefault(find(edge.source), []).append(edge)
    return list(pieces.values())


def _of(graph: Graph, edges: Iterable[Edge]) -> Graph:
    kept = sorted(edges)
    names = {name for edge in kept for name in (edge.source, edge.target)}
    left = len(graph.edges) - len(kept)
    title = graph.title + (f" ({len(kept)} of {len(graph.edges)} arrows)" if left else "")
    return Graph(title, tuple(v for v in graph.vertices if v.name in names), tuple(kept))
