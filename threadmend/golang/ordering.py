"""Ordering: whether two places inside a function may run at the same time.

    order = Ordering(file, binding)
    order.concurrent(a, b)

Two places of different goroutines are concurrent when one can be reached from the launch of
the other and nothing on the way can order them: no Wait, receive, lock, once or atomic
operation (nor a call that may do such a thing) that answers to what the other does after its
place. What cannot be told counts as ordered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from threadmend.golang.access import is_assigned_once
from threadmend.golang.feeding import feeding, orders_no_round
from threadmend.golang.flow import Flow, Point, flow_of
from threadmend.golang.goroutines import Launch, outermost_loop
from threadmend.golang.iterations import in_one_round, point_in
from threadmend.golang.let_in import is_held_there, lets_one_in
from threadmend.golang.locks import held_at
from threadmend.golang.scope import Binding
from threadmend.golang.signals import Signal, may_match
from threadmend.golang.slots import has_room
from threadmend.golang.strands import Place, Strand
from threadmend.golang.syntax import Node
from threadmend.golang.waiting import Waiting

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["Ordering", "declaring_statement"]


class Ordering:
    """Answers about the places where one variable is used."""

    def __init__(self, file: GoFile, binding: Binding) -> None:
        self.file = file
        self.binding = binding
        self.waiting = Waiting(file, binding)
        self._many: dict[tuple[object, ...], bool] = {}

    # -- the question -----------------------------------------------------------------

    def concurrent(self, one: Place, other: Place, *, supposed: bool = True) -> bool:
        """Return whether nothing orders two uses of the variable, one of which writes.

        For one and the same place: whether several instances of its goroutine may be there
        at once. `supposed`: a call that is not known orders what shares an object with it.
        """
        if self._share_lock(one, other):
            return False
        if one.strand == other.strand:
            return (self.many(one.strand) or self._launched_again(one, other)) and not (
                self._alone(one, by_claim=True) or self._alone(other, by_claim=True)
            )
        ours, theirs = self._fork(one, other)
        if ours is None or theirs is None:
            launched = one if ours is not None else other
            parent = other if ours is not None else one
            strand = ours or theirs
            assert strand is not None
            return self._beside_parent(strand, launched, parent, supposed)
        if self._alone(one) and self._alone(other):
            return False
        if not (self._beside(ours, theirs, one) or self._beside(theirs, ours, other)):
            return False
        return not self._handed_over(one, other) and not self._handed_over(other, one)

    def many(self, strand: Strand) -> bool:
        """Return whether several instances of a goroutine may run at once and share the variable.

        It is launched in a loop (or by a goroutine that is) within the life of the variable,
        and no instance is waited for before the next.
        """
        calls = strand.at.levels if strand.at is not None else ()
        key = (strand, *(level.node for level in calls))
        known = self._many.get(key)
        if known is None:
            self._many[key] = False
            known = self._many[key] = self._several(strand)
        return known

    def _launched_again(self, one: Place, other: Place) -> bool:
        """Return whether two calls of a literal that launches start goroutines side by side.

        `spawn(a); spawn(b)`: both places are in what the one `go` of the literal starts.
        """
        ours, theirs = one.strand.at, other.strand.at
        if ours is None or theirs is None or ours.levels == theirs.levels:
            return False
        if any(level.function.contains(self.binding.node) for level in ours.levels[:-1]):
            return False  # each call has a variable of its own
        return self._beside(one.strand, other.strand, one)

    def reaches(self, launch: Strand, place: Place, after: Sequence[Signal]) -> bool:
        """Return whether a place of the launching goroutine runs after a launch, unordered.

        `after` are the signals that come after the other access.
        """
        if place.deferred:
            return False
        targets = {level.function: level.node for level in place.levels}
        launched = {level.function: level.node for level in (launch.at.levels if launch.at else ())}
        for flow, start, stops in self._outwards(launch, after):
            target = targets.get(flow.function)
            if target is not None:
                if _is_another_call(flow.function, launched, targets):
                    continue
                if self._waits_for_result(flow, launched[flow.function], target, after):
                    return False
                end = point_in(flow, target)
                if end is None or end is start or end in stops or not flow.complete:
                    return False
                return end in flow.reachable(start, stop=stops.__contains__)
        return False

    def _waits_for_result(
        self, flow: Flow, call: Node, target: Node, after: Sequence[Signal]
    ) -> bool:
        """Return whether the call that launches is waited for where it stands: `<-start()`.

        In a select, for what that case goes on to do.
        """
        for _, signal in self.waiting.signals_of(flow.function):
            if signal.kind != "receive" or not signal.node.contains(call):
                continue
            case = signal.node.up("communication_case")
            if case is not None and case.function is flow.function and not case.contains(target):
                continue
            if any(may_match(release, signal) for release in after):
                return True
        return False

    def _outwards(
        self, strand: Strand, after: Sequence[Signal]
    ) -> Iterator[tuple[Flow, Point, set[Point]]]:
        """Yield the functions around a launch while they can be left without waiting.

        Each with the point of the launch, and the points that wait or where the variable is
        made anew.
        """
        assert strand.at is not None
        after = self.waiting.spread(after)
        for level in strand.at.levels:
            flow = flow_of(level.function)
            start = point_in(flow, level.node)
            if start is None or level.deferred:
                return
            stops = self.waiting.stops(flow, after, start=level.node)
            stops |= {p for p in flow.points if self._ends_life(p)}
            yield flow, start, stops
            left = flow.exits_from(start, stop=stops.__contains__)
            if not any(e.kind in {"return", "end"} for e in left) or not flow.complete:
                return
            if self.waiting.waits_at_exit(flow, after):
                return

    # -- several instances ------------------------------------------------------------

    def _several(self, strand: Strand) -> bool:
        launch, at = strand.launch, strand.at
        if launch is None or at is None or strand.body.contains(self.binding.node):
            return False
        loop = launch.loop
        if self._one_at_a_time(launch):
            return False
        if loop is not None and loop is outermost_loop(launch.node):
            if in_one_round(self.file, launch.node, loop):
                return False
        # To take a place in a semaphore is not to wait for all who had one.
        signals = self.waiting.of(strand)
        after = [s for s in signals if s.kind != "receive" or not self._roomy(s)]
        for flow, start, stops in self._outwards(strand, after):
            if start in flow.reachable(start, stop=stops.__contains__) and flow.complete:
                return True
            if flow.function is at.levels[-1].function:
                return self.many(at.strand)
        return False

    def _roomy(self, signal: Signal) -> bool:
        return any(has_room(self.file, obj) for obj in signal.objects)

    def _one_at_a_time(self, launch: Launch) -> bool:
        """Return whether a group lets one goroutine run at a time: `g.SetLimit(1)`."""
        if launch.kind != "errgroup" or launch.function is None:
            return False
        group = launch.node["function"]["operand"].text
        top: Node | None = launch.function
        while top is not None and top.function is not None:
            top = top.function
        text = top.text if top is not None else b""
        return group + b".SetLimit(1)" in text

    # -- the parent -------------------------------------------------------------------

    def _beside_parent(
        self, strand: Strand, launched: Place, parent: Place, supposed: bool
    ) -> bool:
        """Return whether a launched use and one of the goroutine above are concurrent."""
        after = [*self.waiting.after(launched), *self.waiting.end_of(strand)]
        if self.many(parent.strand):
            return not any(self._alone(p, by_claim=True) for p in (launched, parent))
        feeds = feeding(self.waiting, strand, launched, parent)
        if not self.reaches(strand, parent, [s for s in after if not orders_no_round(s, feeds)]):
            return False
        # The goroutine may wait for the parent instead.
        return not self._handed_over(parent, launched, related=supposed, feeds=feeds)

    def _beside(self, one: Strand, other: Strand, place: Place) -> bool:
        """Return whether `other` may be launched while `one` runs, by the same goroutine."""
        assert one.at is not None
        assert other.at is not None
        if self.many(one.at.strand):
            return True
        after = [*self.waiting.after(place), *self.waiting.end_of(one)]
        return self.reaches(one, other.at, after)

    def _fork(self, one: Place, other: Place) -> tuple[Strand | None, Strand | None]:
        """Return the strands below the nearest common one; None for the common one itself."""
        ours, theirs = one.strand.ancestors[::-1], other.strand.ancestors[::-1]
        shared = 0
        while shared < min(len(ours), len(theirs)) and ours[shared] == theirs[shared]:
            shared += 1
        return (
            ours[shared] if shared < len(ours) else None,
            theirs[shared] if shared < len(theirs) else None,
        )

    # -- what orders ------------------------------------------------------------------

    def _share_lock(self, one: Place, other: Place) -> bool:
        """Return whether a lock is held at both places, or both run under one Once."""
        ours = {h.access for level in one.levels for h in held_at(self.file, level.node)}
        if not ours:
            return False
        return any(h.access in ours for lv in other.levels for h in held_at(self.file, lv.node))

    def _handed_over(
        self,
        first: Place,
        second: Place,
        related: bool = False,
        feeds: Sequence[Signal] = (),
    ) -> bool:
        """Return whether `second` may wait for something that is signalled after `first`.

        A call that is not known waits when it sounds so or, with `related`, when it shares an
        object with what comes after `first`. `feeds` do not count: they come round after round.
        """
        own = [s for s in second.strand.ancestors if s.launch is not None]
        after = [
            signal
            for signal in self.waiting.after(first)
            if not any(s.body.contains(signal.node) for s in own)
        ]
        if not after:
            return False
        after = self.waiting.spread(after, *own)
        return any(
            may_match(release, acquire)
            for acquire in self.waiting.before(second)
            if not orders_no_round(acquire, feeds)
            for release in after
            if _waits_for_sure(acquire) or (related and acquire.kind == "call")
            if not (acquire.kind == "call" and acquire.anything and not acquire.waits)
        )

    def _alone(self, place: Place, *, by_claim: bool = False) -> bool:
        """Return whether only one instance of a goroutine at a time can be at a place.

        `by_claim`: whatever the others are at; a lock that is held there keeps away only those
        who take it, too.
        """
        before, after = list(self.waiting.before(place)), self.waiting.after(place)
        for signal in before:
            if signal.may_exclude:
                return True
            if signal.kind in {"once", "lock"} and self._lets_one_in(signal, place, by_claim):
                return True
            if signal.claims and signal.node.parent is not None:
                if signal.node.parent.kind != "expression_statement":
                    return True
            if signal.kind in {"send", "receive"} and self._is_token(signal, after):
                return True
        return self._one_instance(place)

    def _lets_one_in(self, signal: Signal, place: Place, by_claim: bool) -> bool:
        """Return whether a lock or Once before a place keeps other instances away."""
        for level in place.levels:
            if any(s is signal for _, s in self.waiting.signals_of(level.function)):
                if by_claim and is_held_there(self.file, signal, level.node):
                    return False
                return lets_one_in(self.file, signal, level.function, level.node)
        return True

    def _is_token(self, signal: Signal, after: list[Signal]) -> bool:
        """Return whether a channel is used as a lock: taken before, given back after."""
        other = "receive" if signal.kind == "send" else "send"
        if not any(a.kind == other and may_match(signal, a) for a in after):
            return False
        return not self._roomy(signal)

    def _one_instance(self, place: Place) -> bool:
        """Return whether a condition on a variable of each instance lets one of them in."""
        for level in place.levels:
            node = level.node
            for ancestor in node.ancestors():
                if ancestor is level.function:
                    break
                condition = ancestor.get("condition") if ancestor.kind == "if_statement" else None
                if condition is not None and ancestor["consequence"].contains(node):
                    if any(self._selects_one(c) for c in condition.find("binary_expression")):
                        return True
                if ancestor.kind == "expression_case" and ancestor.parent is not None:
                    value = ancestor.parent.get("value")
                    if value is not None and self._of_instance(value):
                        return True
                if ancestor.kind == "index_expression":
                    break
        return False

    def _selects_one(self, condition: Node) -> bool:
        sides = (condition["left"], condition["right"])
        return condition["operator"].kind == "==" and any(map(self._of_instance, sides))

    def _of_instance(self, value: Node) -> bool:
        """Return whether a value is a number or name that an instance was given.

        Or a copy of it, as loops have made them: `s := s`.
        """
        binding = self.file.binding(value)
        if binding is None or binding is self.binding:
            return False
        if binding.kind == "variable" and binding.declaration.kind == "short_var_declaration":
            values = binding.declaration["right"].children
            copied = binding.index < len(values) and values[binding.index].kind == "identifier"
            if copied and is_assigned_once(binding):
                return self._of_instance(values[binding.index])
        return binding.kind in {"range", "parameter"}

    def _ends_life(self, point: Point) -> bool:
        """Return whether a point makes the variable anew."""
        statement = declaring_statement(self.binding)
        return (
            statement is not None
            and (point.node is statement or statement.contains(point.node))
            and point.node.contains(self.binding.node)
        )


def _is_another_call(function: Node, launched: dict[Node, Node], targets: dict[Node, Node]) -> bool:
    """Return whether a launch and a place are in two calls of a literal: `spawn(a); spawn(b)`.

    Both name the literals around them, innermost first, and where each of them is called.
    """
    around = list(launched)
    outer = around[around.index(function) + 1 :]
    return any(f in targets and targets[f] is not launched[f] for f in outer)


def _waits_for_sure(signal: Signal) -> bool:
    """Return whether a signal lets a goroutine go on only after another one has given it.

    A lock does not: whoever comes first goes on.
    """
    if signal.kind == "call":
        return signal.waits
    return signal.kind != "lock" or signal.name == "Wait"


def declaring_statement(binding: Binding) -> Node | None:
    """Return the statement that declares a local variable; None for parameters and results."""
    if binding.kind in {"parameter", "result", "receiver"}:
        return None
    return binding.node.statement
