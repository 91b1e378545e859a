"""Control flow of one function: its points, its exits, and what lies between them.

    flow = flow_of(function)
    locked = flow.point_of(call)
    leaks = flow.exits_from(locked, stop=lambda point: point in releases)

A function literal is a function of its own: the statement that holds it is one step here,
and `flow_of(literal)` gives its inside. Paths that test one unchanged condition twice with
different results are not taken (see `flow_facts`); ask with `feasible=False` for all paths
of the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TypeVar

from threadmend.golang.flow_build import TooDeepError, build
from threadmend.golang.flow_facts import Facts
from threadmend.golang.flow_graph import Defer, Exit, Graph, Label, Point
from threadmend.golang.functions import call_of
from threadmend.golang.node import parenthesized
from threadmend.golang.noreturn import ExitKind, NoReturn, noreturn
from threadmend.golang.syntax import BLOCKS, Node

__all__ = [
    "Defer",
    "Exit",
    "ExitKind",
    "Flow",
    "Label",
    "NoReturn",
    "Point",
    "first_of",
    "flow_of",
    "is_never_after",
    "noreturn",
]

S = TypeVar("S")
Stop = Callable[[Point], bool]

# A point and what is known there about the conditions: the state of a search.
_State = tuple[Point, int]

_MAX_STATES = 4000  # of one search; a function that needs more is given up on


def flow_of(function: Node, noreturn: NoReturn = noreturn) -> Flow:
    """Return the flow of a function, method or literal; computed once per `noreturn`."""
    flows: dict[object, Flow] = vars(function.tree).setdefault("_flows", {})
    key = (function, noreturn)
    flow = flows.get(key)
    if flow is None:
        flow = flows[key] = Flow(function, noreturn)
    return flow


def first_of(statement: Node) -> Node:
    """Return what of a statement is a point of the flow: an `if` begins with its condition."""
    for name in ("initializer", "condition", "value"):
        part = statement.get(name) if statement.kind.endswith("_statement") else None
        if part is not None:
            return first_of(part)
    return statement


def is_never_after(node: Node, place: Node) -> bool:
    """Return whether a node certainly does not run after a place: both are of one function, and
    no path leads from the place to the node.
    """
    function = place.function
    if function is None or node.function is not function:
        return False
    flow = flow_of(function)
    start, point = flow.point_of(place), flow.point_of(node)
    if start is None or point is None or not flow.complete:
        return False
    return point not in flow.reachable(start)


def _never(point: Point) -> bool:
    return False


class Flow:
    """The control flow of one function.

    `points` are in source order but for case tests, which stand before the bodies of their
    switch; the first is `entry`, the last `end`, both without syntax of their own. `exits`
    lists the exits that can be reached. `complete` turns False when the function is too
    deep or its conditions are too many to follow: queries then answer with nothing, and
    nothing may be concluded from that.
    """

    def __init__(self, function: Node, noreturn: NoReturn = noreturn) -> None:
        self.function = function
        self.complete = True
        try:
            graph = build(function, noreturn)
        except TooDeepError:
            self.complete = False
            alone = Point(0, function, None)
            graph = Graph([alone], [], [], False)
        self.points = graph.points
        self.entry = graph.points[0]
        self.end = graph.points[-1]
        self.exits = graph.exits
        self.defers = graph.defers
        self._jumps = graph.jumps
        self._exit_at = {exit_.point: exit_ for exit_ in graph.exits}

    # --- points ---

    @cached_property
    def _by_node(self) -> dict[Node, Point]:
        return {point.node: point for point in self.points[1:-1]}

    def is_last(self, point: Point) -> bool:
        """Return whether nothing but the function's end follows, a plain return at most."""
        after = point.successors
        return len(after) == 1 and (
            after[0] is self.end
            or (after[0].node.kind == "return_statement" and len(after[0].node.children) < 2)
        )

    def point_of(self, node: Node) -> Point | None:
        """Return the point whose own syntax contains a node.

        For a compound statement that is its first point. None for a block, a clause, a
        declaration without effect, and whatever lies inside a function literal (the literal
        itself belongs to the statement that holds it).
        """
        by_node = self._by_node
        at: Node | None = node
        while at is not None and at is not self.function:
            point = by_node.get(at)
            if point is not None:
                return point
            if at.kind in BLOCKS or (at.kind == "func_literal" and at is not node):
                return None
            if at.kind in _COMPOUND:
                return next((p for p in self.points[1:-1] if at.contains(p.node)), None)
            at = at.parent
        return None

    def in_loop(self, point: Point) -> bool:
        """Return whether a point can run more than once in one run of the function."""
        if point.loop is None and not self._jumps:
            return False
        return point in self._walk(point, _never)

    def loops(self, point: Point) -> list[Node]:
        """Return the `for` statements whose iterations run a point, innermost first."""
        found = []
        loop = point.loop
        while loop is not None and loop is not self.function:
            if loop.kind == "for_statement":
                found.append(loop)
            loop = None if loop.kind == "func_literal" else loop.parent
        return found

    @cached_property
    def in_place(self) -> list[tuple[Point, Node]]:
        """Return the literals that are called where they stand, with the calling point.

        Those of go and defer statements are not among them.
        """
        found: list[tuple[Point, Node]] = []
        for point in self.points:
            found += [
                (point, node)
                for node in point.own()
                if node.kind == "func_literal" and _called_in_place(node)
            ]
        return found

    # --- paths ---

    def reachable(
        self,
        start: Point,
        *,
        stop: Stop = _never,
        label: Label | None = None,
        feasible: bool = True,
    ) -> set[Point]:
        """Return the points that can run after `start` before any `stop` point does.

        Stop points are not among them; `start` is where a path leads back to it. With
        `label` only paths that leave `start` over that edge count.
        """
        if feasible and self._facts is not None:
            return {point for point, _ in self._search(start, stop, label)}
        return self._walk(start, stop, label)

    def exits_from(
        self,
        start: Point,
        *,
        stop: Stop = _never,
        label: Label | None = None,
        through_panics: bool = False,
        feasible: bool = True,
    ) -> list[Exit]:
        """Return the exits reached from just after `start` without passing a `stop` point.

        An exit whose own point is a stop does not count. An endless loop counts when it can
        turn without passing a stop. Explicit panics are left out unless `through_panics`.
        """
        at = self._exit_at.get(start)
        if at is not None and not start.successors:
            reached: set[Point] = {start}
        else:
            reached = self.reachable(start, stop=stop, label=label, feasible=feasible)
        found = []
        for exit_ in self.exits:
            if exit_.point not in reached or (exit_.kind == "panic" and not through_panics):
                continue
            head = exit_.point
            if exit_.kind == "blocked" and head.successors and head not in self._walk(head, stop):
                continue
            found.append(exit_)
        return found

    def dominates(self, a: Point, b: Point) -> bool:
        """Return whether every path from the beginning to `b` passes `a` (or is `a`)."""
        if not b.live or not a.live:
            return False
        return a is b or a is self.entry or b not in self._walk(self.entry, lambda p: p is a)

    def postdominates(self, a: Point, b: Point) -> bool:
        """Return whether every path from `b` out of the function passes `a`; panics aside."""
        if not b.live or not a.live:
            return False
        if a is b:
            return True
        left = self.exits_from(b, stop=lambda p: p is a, feasible=False)
        return not left and a in self._walk(b, _never)

    def count(self, point: Point, since: Point | None = None) -> tuple[int, int | None]:
        """Return how often a point runs, at least and at most (None: any number of times).

        Counted over one run of the function or, with `since`, from just after that point
        until it runs again or the function is left; panics aside.
        """
        start = since or self.entry
        if not point.live or point not in self._walk(start, lambda p: p is start is not point):
            return (0, 0)
        # A path that leaves, or comes back to `start`, without the point.
        missed = self._walk(start, lambda p: p is point)
        escaped = self.exits_from(start, stop=lambda p: p is point, feasible=False)
        least = 0 if escaped or (start in missed and start is not point) else 1
        again = self._walk(point, lambda p: p is start and p is not point)
        return (least, None if point in again and point is not start else 1)

    # --- states ---

    def solve(
        self,
        initial: S,
        transfer: Callable[[Point, S], S],
        join: Callable[[S, S], S],
        branch: Callable[[Point, Label, S], S] | None = None,
    ) -> dict[Point, S]:
        """Return the state that holds just before each live point (forward data flow).

        `transfer` gives the state after a point, `branch` refines it per labelled edge,
        `join` merges two states and must climb a lattice of small height: when states keep
        changing, `complete` turns False and the answer is empty. States compare by `==`.
        """
        before: dict[Point, S] = {self.entry: initial}
        order = [point for point in self.points if point.live]
        budget = 50 * len(order) + 1000
        queued = {self.entry}
        while queued:
            # Nearly always in source order, so that few points are visited twice.
            for point in order:
                if point not in queued:
                    continue
                queued.discard(point)
                budget -= 1
                after = transfer(point, before[point])
                for successor, label in zip(point.successors, point.labels, strict=True):
                    state = branch(point, label, after) if branch and label else after
                    if successor in before:
                        state = join(before[successor], state)
                        if state == before[successor]:
                            continue
                    before[successor] = state
                    queued.add(successor)
            if budget < 0:
                self.complete = False
                return {}
        return before

    # --- the searches ---

    @cached_property
    def _facts(self) -> Facts | None:
        """What is known about conditions on the way; None where nothing correlates."""
        return Facts.of(self.function, self.points, self._jumps)

    @cached_property
    def _known(self) -> dict[Point, set[int]]:
        """Return the states in which each point can run, over all paths from the entry."""
        facts = self._facts
        assert facts is not None
        known: dict[Point, set[int]] = {}
        while True:
            seen = self._explore([(self.entry, 0)], _never, None, facts)
            known = {self.entry: {0}}
            for point, state in seen:
                known.setdefault(point, set()).add(state)
            if not self.complete or not facts.forget_retested(known):
                return known

    def _walk(self, start: Point, stop: Stop, label: Label | None = None) -> set[Point]:
        """Return what follows `start` in the graph, conditions aside."""
        seen: set[Point] = set()
        if not start.live:
            return seen
        todo = _successors(start, label)
        stopped: set[Point] = set()
        while todo:
            point = todo.pop()
            if point in seen or point in stopped:
                continue
            if stop(point):
                stopped.add(point)
                continue
            seen.add(point)
            todo.extend(point.successors)
        return seen

    def _search(self, start: Point, stop: Stop, label: Label | None) -> set[_State]:
        """Return the states that follow `start`."""
        if not start.live:
            return set()
        facts = self._facts
        begin = {0} if facts is None else self._known.get(start, set())
        if not self.complete:
            return set()
        return self._explore([(start, state) for state in begin], stop, label, facts)

    def _explore(
        self, begin: list[_State], stop: Stop, label: Label | None, facts: Facts | None
    ) -> set[_State]:
        seen: set[_State] = set()
        todo: list[_State] = []
        for point, state in begin:
            for following in _steps(point, state, facts, label):
                if following not in seen and not stop(following[0]):
                    seen.add(following)
                    todo.append(following)
        for at in todo:
            for following in _steps(*at, facts, None):
                if following not in seen and not stop(following[0]):
                    seen.add(following)
                    todo.append(following)
            if len(todo) > _MAX_STATES:
                self.complete = False
                return set()
        return seen


def _successors(point: Point, label: Label | None) -> list[Point]:
    if label is None:
        return list(point.successors)
    return [s for s, name in zip(point.successors, point.labels, strict=True) if name == label]


def _steps(
    point: Point, state: int, facts: Facts | None, label: Label | None
) -> Iterator[_State] | list[_State]:
    if facts is not None:
        return facts.steps(point, state, label)
    return [(successor, 0) for successor in _successors(point, label)]


_COMPOUND = frozenset(
    {
        "if_statement",
        "for_statement",
        "expression_switch_statement",
        "type_switch_statement",
    }
)


def _called_in_place(literal: Node) -> bool:
    call = call_of(parenthesized(literal))
    if call is None:
        return False
    return not call.runs_later
