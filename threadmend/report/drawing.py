"""Graphs as Graphviz dot, as mermaid, and as one SVG picture without dependencies."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from threadmend.graph import Graph, Vertex, components

__all__ = ["dot", "mermaid", "svg"]

_SHAPES = {
    "lock": "box",
    "channel": "cds",
    "queue": "cds",
    "goroutine": "box3d",
    "thread": "box3d",
    "function": "ellipse",
}
_BRACKETS = {
    "lock": ('["', '"]'),
    "channel": ('(["', '"])'),
    "queue": ('(["', '"])'),
    "goroutine": ('[["', '"]]'),
    "thread": ('[["', '"]]'),
    "missing": ('{{"', '"}}'),
}
_ALARM = "#c62828"
_LINE = "#546e7a"
_FILL = {
    "lock": "#e3f2fd",
    "channel": "#e8f5e9",
    "queue": "#e8f5e9",
    "goroutine": "#fff8e1",
    "thread": "#fff8e1",
    "missing": "#ffebee",
}


def dot(graphs: Sequence[Graph]) -> str:
    """Return the graphs as clusters of one Graphviz digraph."""
    lines = ["digraph threadmend {", "  rankdir=LR;", '  node [fontname="sans-serif"];']
    for number, graph in enumerate(graphs):
        lines += [f"  subgraph cluster_{number} {{", f"    label={_quoted(graph.title)};"]
        for vertex in graph.vertices:
            style = f", color={_quoted(_ALARM)}" if vertex.kind == "missing" else ""
            shape = _SHAPES.get(vertex.kind, "ellipse")
            name = _quoted(f"{number}:{vertex.name}")
            lines.append(f"    {name} [label={_quoted(vertex.text)}, shape={shape}{style}];")
        for edge in graph.edges:
            style = f", color={_quoted(_ALARM)}, penwidth=2" if edge.alarm else ""
            source, target = (_quoted(f"{number}:{n}") for n in (edge.source, edge.target))
            lines.append(f"    {source} -> {target} [label={_quoted(edge.label)}{style}];")
        lines.append("  }")
    return "\n".join([*lines, "}", ""])


def _quoted(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'


def mermaid(graphs: Sequence[Graph]) -> str:
    """Return the graphs as subgraphs of one mermaid flowchart, as GitHub draws it."""
    lines = ["flowchart LR"]
    alarms: list[int] = []
    edges = 0
    for number, graph in enumerate(graphs):
        names = {v.name: f"g{number}v{i}" for i, v in enumerate(graph.vertices)}
        lines.append(f'  subgraph g{number}["{_entity(graph.title)}"]')
        for vertex in graph.vertices:
            left, right = _BRACKETS.get(vertex.kind, ('["', '"]'))
            lines.append(f"    {names[vertex.name]}{left}{_entity(vertex.text)}{right}")
        for edge in graph.edges:
            label = f'|"{_entity(edge.label)}"|' if edge.label else ""
            lines.append(f"    {names[edge.source]} -->{label} {names[edge.target]}")
            alarms += [edges] if edge.alarm else []
            edges += 1
        lines.append("  end")
    if alarms:
        lines.append(f"  linkStyle {','.join(map(str, alarms))} stroke:{_ALARM},stroke-width:2px")
    return "\n".join([*lines, ""])


def _entity(text: str) -> str:
    for character, code in (("#", "#35;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;")):
        text = text.replace(character, code)
    return text.replace("\n", "<br/>")


_CHARACTER, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 7, 30, 140, 22, 24

Place = tuple[float, float, float]


def svg(graphs: Sequence[Graph], prefix: str = "") -> str:
    """Return the graphs below each other as one SVG document, laid out in layers.

    `prefix` keeps its ids apart from those of other pictures in one page.
    """
    parts: list[str] = []
    top, widest = float(_MARGIN), 400.0
    for graph in graphs:
        parts.append(
            f'<text x="{_MARGIN}" y="{top + 14:g}" font-weight="bold">{escape(graph.title)}</text>'
        )
        places, width, height = _layout(graph, top + 30)
        parts += _arrows(graph, places, prefix)
        parts += [_box(vertex, places[vertex.name]) for vertex in graph.vertices]
        widest = max(widest, width)
        top += height + 30 + 2 * _MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{widest + _MARGIN:g}" height="{top:g}"'
        ' font-family="sans-serif" font-size="12">'
    )
    return "\n".join([head, _markers(prefix), *parts, "</svg>", ""])


def _markers(prefix: str) -> str:
    marks = (
        f'<marker id="{prefix}{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7"'
        f' markerHeight="7" orient="auto-start-reverse">'
        f'<path d="M0 0L10 5L0 10z" fill="{colour}"/></marker>'
        for name, colour in (("arrow", _LINE), ("alarm", _ALARM))
    )
    return f"<defs>{''.join(marks)}</defs>"


def _layers(graph: Graph) -> list[list[Vertex]]:
    """Return the vertices by layer: behind everything that points at them, cycles together."""
    names = [v.name for v in graph.vertices]
    pairs = [(e.source, e.target) for e in graph.edges]
    group = {n: i for i, names_ in enumerate(components(names, pairs)) for n in names_}
    rank = dict.fromkeys(group.values(), 0)
    for _ in rank:
        before = dict(rank)
        for source, target in pairs:
            one, other = group[source], group[target]
            if one != other:
                rank[other] = max(rank[other], rank[one] + 1)
        if rank == before:
            break
    layers: list[list[Vertex]] = [[] for _ in range(max(rank.values(), default=0) + 1)]
    for vertex in graph.vertices:
        layers[rank[group[vertex.name]]].append(vertex)
    return layers


def _layout(graph: Graph, top: float) -> tuple[dict[str, Place], float, float]:
    """Return each vertex's left edge, middle height and width; and the size of it all."""
    places: dict[str, Place] = {}
    x, lowest = float(_MARGIN), top
    for layer in _layers(graph):
        width = max((len(v.text) * _CHARACTER + 20 for v in layer), default=0)
        for row, vertex in enumerate(layer):
            y = top + row * (_HEIGHT + _GAP_Y) + _HEIGHT / 2
            places[vertex.name] = (x, y, len(vertex.text) * _CHARACTER + 20)
            lowest = max(lowest, y + _HEIGHT / 2)
        x += width + _GAP_X
    return places, x - _GAP_X, lowest - top


def _box(vertex: Vertex, place: Place) -> str:
    x, y, width = place
    round_ = 14 if vertex.kind == "channel" else 3
    fill = _FILL.get(vertex.kind, "#eceff1")
    line = _ALARM if vertex.kind == "missing" else _LINE
    return (
        f'<g><title>{escape(vertex.name)}</title><rect x="{x:g}" y="{y - _HEIGHT / 2:g}"'
        f' width="{width:g}" height="{_HEIGHT}" rx="{round_}" fill="{fill}" stroke="{line}"/>'
        f'<text x="{x + width / 2:g}" y="{y + 4:g}" text-anchor="middle">'
        f"{escape(vertex.text)}</text></g>"
    )


def _arrows(graph: Graph, places: dict[str, Place], prefix: str) -> list[str]:
    found = []
    for edge in graph.edges:
        x1, y1, width1 = places[edge.source]
        x2, y2, width2 = places[edge.target]
        colour, marker = (_ALARM, "alarm") if edge.alarm else (_LINE, "arrow")
        if x2 > x1:
            start, end, bend = x1 + width1, x2, (x2 - x1 - width1) / 2
            path = f"M{start:g} {y1:g}C{start + bend:g} {y1:g} {end - bend:g} {y2:g} {end:g} {y2:g}"
            middle = ((start + end) / 2, (y1 + y2) / 2 - 4)
        else:
            # Back, within its layer, or to itself: around the right side.
            start, end = x1 + width1, x2 + width2
            far = max(start, end) + 50
            path = f"M{start:g} {y1 - 6:g}C{far:g} {y1 - 6:g} {far:g} {y2 + 6:g} {end:g} {y2 + 6:g}"
            middle = (far - 12, (y1 + y2) / 2)
        found.append(
            f"<path d={quoteattr(path)} fill='none' stroke='{colour}' stroke-width='1.5'"
            f" marker-end='url(#{prefix}{marker})'/>"
        )
        if edge.label:
            found.append(
                f'<text x="{middle[0]:g}" y="{middle[1]:g}" text-anchor="middle" font-size="10"'
                f' fill="{colour}">{escape(edge.label)}</text>'
            )
    return found
