"""Waiting: the signals before and after a place, and where a function may wait for some.

A signal may travel: a goroutine that waits for it and signals on (`wg.Wait(); close(ch)`)
makes its own signals as good as the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from threadmend.golang.counted_spawners import group_of
from threadmend.golang.flow import Flow, Point, flow_of
from threadmend.golang.goroutines import launch_of_literal, launches_in
from threadmend.golang.iterations import point_in
from threadmend.golang.launched import literal_of
from threadmend.golang.scope import Binding
from threadmend.golang.signal_sources import signals_in
from threadmend.golang.signals import Signal, may_match, without
from threadmend.golang.strands import Place, Strand
from threadmend.golang.syntax import FUNCTIONS, Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["Waiting"]

At = tuple[Point | None, Signal]


class Waiting:
    """Answers for the accesses of one variable, which itself is no means of waiting."""

    def __init__(self, file: GoFile, binding: Binding) -> None:
        self.file = file
        self.binding = binding
        self._signals: dict[Node, list[At]] = {}

    def signals_of(self, function: Node) -> list[At]:
        """Return the signals in a function with the points at which they happen."""
        known = self._signals.get(function)
        if known is None:
            found = _signals(self.file, function)
            known = [(point, without(signal, self.binding)) for point, signal in found]
            self._signals[function] = known
        return known

    # -- around a place ---------------------------------------------------------------

    def after(self, place: Place) -> list[Signal]:
        """Return the signals that may come after a place, in its goroutine."""
        return list(self._after(place))

    def _after(self, place: Place) -> Iterator[Signal]:
        for level in place.levels:
            flow = flow_of(level.function)
            start = point_in(flow, level.node)
            later = flow.reachable(start) if start is not None else set()
            for at, signal in self.signals_of(level.function):
                if at is start and at not in later and _in_value(signal.node, level.node):
                    continue  # what is assigned is computed before
                if at is None or at in later or at is start or at.node.kind == "defer_statement":
                    yield signal

    def before(self, place: Place) -> Iterator[Signal]:
        """Yield the signals that may come before a place, in its goroutine.

        A Once or a lock-like call around the place counts.
        """
        for level in place.levels:
            flow = flow_of(level.function)
            end = point_in(flow, level.node)
            for at, signal in self.signals_of(level.function):
                node = signal.node
                if at is None or end is None:
                    yield signal
                elif at is end:
                    if _comes_first(signal, level.node):
                        yield signal
                elif not _is_deferred(node, at.node) and end in flow.reachable(at):
                    yield signal

    def of(self, strand: Strand) -> list[Signal]:
        """Return all signals of a goroutine, that of its end included."""
        return [*(s for _, s in self.signals_of(strand.body)), *self.end_of(strand)]

    def end_of(self, strand: Strand) -> list[Signal]:
        """Return the signal that the end of a goroutine of a group is."""
        launch, at = strand.launch, strand.at
        if launch is None or at is None or launch.kind not in {"errgroup", "waitgroup", "counted"}:
            return []
        listed = self.signals_of(at.levels[0].function)
        return [signal for _, signal in listed if signal.node is launch.node]

    # -- travel -----------------------------------------------------------------------

    @cached_property
    def _bridges(self) -> list[list[Signal]]:
        """Return the signals of everything that the function launches, one list each."""
        function = self.binding.function
        while function is not None and function.function is not None:
            function = function.function
        if function is None:
            return []
        found = []
        launched = list(launches_in(self.file, function))
        for launch in launched:
            within = [x.node for x in launched if x is not launch and launch.node.contains(x.node)]
            found.append(
                [
                    without(signal, self.binding)
                    for signal in signals_in(self.file, launch.node)
                    if not any(x.contains(signal.node) for x in within)
                ]
            )
        return found

    def spread(self, after: Sequence[Signal], *ends: Strand) -> list[Signal]:
        """Return signals together with those that other goroutines may pass on.

        Those that give the signals, and `ends`, are none of these others.
        """
        known = list(after)
        own = {signal.node for signal in after}
        own.update(s.node for strand in ends for _, s in self.signals_of(strand.body))
        left = [b for b in self._bridges if not any(signal.node in own for signal in b)]
        grown = True
        while grown:
            grown = False
            for bridge in list(left):
                if any(_passes(release, acquire) for acquire in bridge for release in known):
                    left.remove(bridge)
                    known += bridge
                    grown = True
        return known

    # -- where a function waits -------------------------------------------------------

    def stops(
        self, flow: Flow, after: Sequence[Signal], *, start: Node | None = None
    ) -> set[Point]:
        """Return the points at which a function may wait for one of some signals.

        A loop that waits counts as a whole, unless it holds `start`, or returns then: how often
        it runs is not known.
        """
        found = set()
        for at, signal in self.signals_of(flow.function):
            if (
                at is None
                or _is_deferred(signal.node, at.node)
                or in_launch(self.file, signal.node, at.node)
            ):
                continue
            if at in found:
                continue
            settled = signal.kind == "settled"
            if not (settled or any(may_match(release, signal) for release in after)):
                continue
            found.add(at)
            for loop in flow.loops(at):
                if _leaves_at_once(signal.node, loop):
                    continue
                if start is None or not loop.contains(start):
                    found |= {p for p in flow.points if loop.contains(p.node)}
        return found

    def waits_at_exit(self, flow: Flow, after: Sequence[Signal]) -> bool:
        """Return whether a function may defer to wait for one of some signals."""
        deferred = {defer.point for defer in flow.defers}
        return any(
            at in deferred and any(may_match(release, signal) for release in after)
            for at, signal in self.signals_of(flow.function)
        )


def _leaves_at_once(node: Node, loop: Node) -> bool:
    """Return whether a wait is a case of a select that returns then: no round comes after it.

    The other cases run in rounds before, without having waited.
    """
    case = node.up("communication_case")
    communication = case.get("communication") if case is not None else None
    if case is None or communication is None or not communication.contains(node):
        return False
    last = case.statements[-1:]
    return loop.contains(case) and bool(last) and last[0].kind == "return_statement"


def _passes(release: Signal, acquire: Signal) -> bool:
    """Return whether a goroutine waits for a signal: what is unknown has to sound so."""
    if acquire.kind == "call" and not acquire.waits:
        return release.kind != "call" and may_match(release, acquire) and not acquire.anything
    return may_match(release, acquire)


def _signals(file: GoFile, function: Node) -> list[At]:
    known: dict[Node, list[At]] = vars(file).setdefault("_signals", {})
    found = known.get(function)
    if found is None:
        flow = flow_of(function)
        found = known[function] = []
        for signal in signals_in(file, function["body"]):
            inside = function.contains(signal.node)
            found.append((point_in(flow, signal.node) if inside else None, signal))
        found.extend(_called_signals(file, function, flow))
    return found


def _called_signals(file: GoFile, function: Node, flow: Flow) -> Iterator[At]:
    """Yield what the function's own closures do where it calls them by their variable."""
    for call in function["body"].own():
        if call.kind != "call_expression" or call["function"].kind != "identifier":
            continue
        if call.parent is None or call.parent.kind in {"defer_statement", "go_statement"}:
            continue
        literal = literal_of(file, call["function"])
        if literal is not None and function.contains(literal) and not group_of(file, call):
            at = flow.point_of(call)
            for signal in signals_in(file, literal["body"]):
                yield at, signal


def _is_deferred(node: Node, statement: Node) -> bool:
    """Return whether a node of a defer statement runs when the function ends."""
    if statement.kind != "defer_statement":
        return False
    if node.parent is statement:
        return True
    return any(
        ancestor.kind == "func_literal" and statement.contains(ancestor)
        for ancestor in node.ancestors()
    )


def in_launch(file: GoFile, node: Node, statement: Node) -> bool:
    """Return whether a node of a statement runs in a goroutine that the statement launches."""
    if node.parent is statement and statement.kind == "go_statement":
        return True
    for ancestor in node.ancestors():
        if ancestor is statement:
            return False
        if ancestor.kind == "func_literal" and launch_of_literal(file, ancestor) is not None:
            return True
    return False


def _comes_first(signal: Signal, use: Node) -> bool:
    """Return whether a signal of the same statement comes before a use, or lasts around it."""
    node = signal.node
    if node.start <= use.start < node.end:
        return signal.kind == "once" or signal.may_exclude
    return node.end <= use.start or _in_value(node, use)


def _in_value(signal: Node, use: Node) -> bool:
    """Return whether a signal is part of what is assigned to a use: `x = <-ch`."""
    listed: Node | None = use
    while listed is not None and listed.field != "left":
        listed = listed.parent if listed.kind not in FUNCTIONS else None
    statement = listed.parent if listed is not None else None
    right = statement.get("right") if statement is not None else None
    return right is not None and right.contains(signal)
