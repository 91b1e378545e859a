"""What control flow is made of: points and edges, exits, defers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from threadmend.golang.noreturn import ExitKind
from threadmend.golang.syntax import Node

__all__ = ["Defer", "Exit", "Graph", "Label", "Point"]

Label = Literal["", "true", "false", "case", "default", "range-next", "range-done"]

# Points of these kinds stand for a place in the graph, not for syntax that they evaluate.
_PLACES = frozenset({"select_statement", "for_statement", "labeled_statement", "block"}) | {
    "function_declaration",
    "method_declaration",
    "func_literal",
}


class Point:
    """One step of a function: a simple statement or a part of a statement's header.

    `labels[i]` names the edge to `successors[i]`: "true" or "false" for a test (a switch's
    case expressions are a test each), "case" or "default" for a select or type switch,
    "range-next" or "range-done" for a range, "" where there is no choice. `loop` is the
    innermost `for` statement whose iterations run the point, `live` whether any path from
    the function's beginning reaches it.
    """

    __slots__ = ("index", "labels", "live", "loop", "node", "predecessors", "successors")

    def __init__(self, index: int, node: Node, loop: Node | None) -> None:
        self.index = index
        self.node = node
        self.loop = loop
        self.live = True
        self.successors: list[Point] = []
        self.predecessors: list[Point] = []
        self.labels: list[Label] = []

    def __repr__(self) -> str:
        line = self.node.tree.source.line_of(self.node.start)
        text = self.node.text.split(b"\n")[0][:30].decode("utf-8", "replace")
        return f"<point {self.index} line {line} {text!r}>"

    def edge(self, label: Label) -> Point | None:
        """Return the first successor over an edge of this label."""
        for successor, name in zip(self.successors, self.labels, strict=True):
            if name == label:
                return successor
        return None

    def own(self) -> Iterator[Node]:
        """Yield the syntax that this point evaluates, function literals not entered.

        A range head yields its variables only: the ranged expression is evaluated once, at
        a point of its own. A select's head yields nothing; its cases are points.
        """
        node = self.node
        if node.kind == "range_clause":
            for child in node.children:
                if child.field != "right":
                    yield from child.own()
        elif node.kind not in _PLACES:
            yield from node.own()


class Exit(NamedTuple):
    """One way out of a function, the statement that leaves, and its point.

    `kind` is "return", "end" (falls off the end; the node is the body), "panic", "exit"
    (the process ends), "goexit" (the goroutine ends, deferred calls run) or "blocked" (an
    empty select, an endless loop that nothing leaves: the node is the loop).
    """

    kind: ExitKind
    node: Node
    point: Point


class Defer(NamedTuple):
    """One defer statement, its point, the deferred call and what is called."""

    node: Node
    point: Point
    call: Node
    called: Node


class Graph(NamedTuple):
    """What the pass over a function found. The first point is the entry, the last the end."""

    points: list[Point]
    exits: list[Exit]
    defers: list[Defer]
    jumps: bool  # whether there is a goto
