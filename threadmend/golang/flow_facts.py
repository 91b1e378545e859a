"""What the tests on a path say about later tests: which paths contradict themselves.

A key is a condition that can be tested again: `ok`, `err == nil`, `i < n`, `s.closed`,
`len(q) == 0`, a whole `a && b`. A state is what is known about all keys: bit k says that key
k is true, bit k + width that it is false. An assignment to what a key reads makes it unknown,
or known where the value is a constant.

Sound for local variables. A condition on something that others can change (a field, a
package variable, a captured variable) is taken to hold until it is assigned here, as
`if s.locking { s.mu.Lock() } … if s.locking { s.mu.Unlock() }` means it, with two
exceptions: a loop's next turn may find it changed, and so may a test whose result every
path to it already knows, for then its author expects a change (`if s.closed` before
and again after the lock).

That `a && b` does not hold excludes that `a` and `b` are both found to hold later: after
`if s.a == nil && s.b == nil { return }` one of two tests is passed.
"""

from __future__ import annotations

from threadmend.golang.flow_graph import Label, Point
from threadmend.golang.flow_keys import Condition, Keys, bits_of
from threadmend.golang.syntax import Node

__all__ = ["Facts"]


class Facts:
    """The keys of one function and how its points change what is known about them."""

    def __init__(self, keys: Keys, points: list[Point], tests: dict[Point, Condition]) -> None:
        self._width = keys.count
        self._exclusive = keys.exclusive
        self._shared = keys.shared
        self._tests = tests
        self._forgotten = 0
        # Per point: what stays known over it, and what becomes known.
        full = (1 << 2 * keys.count) - 1
        self._effects: dict[Point, tuple[int, int]] = {}
        for point, (killed, gained) in keys.effects.items():
            self._effects[point] = (full & ~self._both(killed), gained)
        self._pairs = _pairs(tests)
        self._live = self._liveness(points, keys)
        self._turns = self._loop_turns(points)
        # Searches come by the same states again and again.
        self._following: dict[tuple[Point, int], list[tuple[Point, int]]] = {}

    @classmethod
    def of(cls, function: Node, points: list[Point], jumps: bool) -> Facts | None:
        """Return the facts of a function, None when no test can tell about another."""
        tested = [p for p in points if p.live and "true" in p.labels]
        if not tested:
            return None
        keys = Keys(function, points)
        tests: dict[Point, Condition] = {}
        for point in tested:
            condition = keys.condition(point.node)
            if condition is not None:
                tests[point] = condition
        if not keys.count:
            return None
        keys.read_assignments()
        facts = cls(keys, points, tests)
        if not facts._any_correlation(points):
            return None
        return cls(keys, points, tests) if keys.read_changes_elsewhere() else facts

    def _both(self, bits: int) -> int:
        return bits | bits << self._width

    def _liveness(self, points: list[Point], keys: Keys) -> dict[Point, int]:
        """Return per point the state bits that some later test may still ask for."""
        asked = {point: self._asked(condition) for point, condition in self._tests.items()}
        live: dict[Point, int] = dict.fromkeys(points, 0)
        changed = True
        while changed:
            changed = False
            for point in reversed(points):
                bits = asked.get(point, 0)
                after = 0
                for successor in point.successors:
                    after |= live[successor]
                effect = keys.effects.get(point)
                bits = (bits | after) & ~effect[0] if effect else bits | after
                if bits != live[point]:
                    live[point] = bits
                    changed = True
        return {point: self._both(bits) for point, bits in live.items()}

    def _asked(self, condition: Condition) -> int:
        """Return the keys that the outcome of a test depends on."""
        bits = bits_of(condition)
        for pair in self._pairs:
            if (whole := bits_of(pair)) & bits:
                bits |= whole
        return bits

    def _loop_turns(self, points: list[Point]) -> dict[tuple[Point, Point], int]:
        """Return per back edge what is unknown again: the shared keys tested in the loop."""
        turns: dict[tuple[Point, Point], int] = {}
        if not self._shared:
            return turns
        for head in points:
            for source in head.predecessors:
                if source.index < head.index or source is head:
                    continue
                inside = 0
                for point in points[head.index : source.index + 1]:
                    condition = self._tests.get(point)
                    if condition is not None:
                        inside |= bits_of(condition)
                if inside & self._shared:
                    turns[source, head] = ~self._both(inside & self._shared)
        return turns

    def _any_correlation(self, points: list[Point]) -> bool:
        for point in points:
            if not point.live:
                continue
            condition = self._tests.get(point)
            learnt = 0 if condition is None else self._both(bits_of(condition))
            effect = self._effects.get(point)
            if effect is not None:
                learnt |= effect[1]
            if learnt and any(learnt & self._live[s] for s in point.successors):
                return True
        return False

    def steps(self, point: Point, state: int, label: Label | None) -> list[tuple[Point, int]]:
        """Return where a point can lead in a state, with the state there."""
        if label is not None:
            return self._steps(point, state, label)
        key = (point, state)
        found = self._following.get(key)
        if found is None:
            found = self._following[key] = self._steps(point, state, None)
        return found

    def _steps(self, point: Point, state: int, label: Label | None) -> list[tuple[Point, int]]:
        effect = self._effects.get(point)
        if effect is not None:
            state = state & effect[0] | effect[1]
        condition = self._tests.get(point)
        live = self._live
        turns = self._turns
        found = []
        for successor, name in zip(point.successors, point.labels, strict=True):
            if label is not None and name != label:
                continue
            after = state
            if condition is not None:
                assumed = self._assume(condition, name == "true", state)
                if assumed is None or self._is_excluded(assumed):
                    continue
                after = assumed
            if turns:
                after &= turns.get((point, successor), -1)
            found.append((successor, after & live[successor]))
        return found

    def _is_excluded(self, state: int) -> bool:
        """Return whether both parts of an `&&` hold that is known not to hold."""
        return any(
            state >> pair.bit + self._width & 1
            and pair.left is not None
            and pair.right is not None
            and self._value(pair.left, state)
            and self._value(pair.right, state)
            for pair in self._pairs
        )

    def _value(self, condition: Condition, state: int) -> bool | None:
        if condition.bit >= 0:
            if state >> condition.bit & 1:
                return condition.positive
            if state >> condition.bit + self._width & 1:
                return not condition.positive
        if condition.left is not None and condition.right is not None:
            left = self._value(condition.left, state)
            right = self._value(condition.right, state)
            if left is False or right is False:
                return not condition.positive
            if left and right:
                return condition.positive
        return condition.constant

    def _assume(self, condition: Condition, value: bool, state: int) -> int | None:
        """Return the state in which a condition has a value; None if it cannot have it."""
        known = self._value(condition, state)
        if known is not None and known != value:
            return None
        held = value == condition.positive
        bit = condition.bit
        if bit >= 0:
            state |= 1 << (bit if held else bit + self._width)
            if held and self._exclusive:
                state |= self._exclusive.get(bit, 0) << self._width
            # What is forgotten stays unknown.
            state &= ~self._forgotten
        left, right = condition.left, condition.right
        if left is None or right is None:
            return state
        after: int | None = state
        if held:
            after = self._assume(left, True, state)
            return None if after is None else self._assume(right, True, after)
        if self._value(left, state):
            after = self._assume(right, False, state)
        elif self._value(right, state):
            after = self._assume(left, False, state)
        return after

    def forget_retested(self, known: dict[Point, set[int]]) -> bool:
        """Give up the shared keys whose result every path to some test already knows.

        Returns whether there were any: the states are then to be found anew.
        """
        retested = 0
        for point, condition in self._tests.items():
            bits = bits_of(condition) & self._shared
            states = known.get(point)
            if bits and states:
                always = -1
                for state in states:
                    always &= state
                again = (always | always >> self._width) & bits
                retested |= again & ~self._just_tested(point) if again else 0
        if not retested:
            return False
        self._shared &= ~retested
        self._forgotten |= self._both(retested)
        self._following.clear()
        for point in self._live:
            self._live[point] &= ~self._forgotten
        return True

    def _just_tested(self, point: Point) -> int:
        """Return the keys that the tests right before a point have looked at, on every way to it.

        `if x.f == nil { return }; if x.f != nil {`: nothing happens in between.
        """
        found = -1
        for before in point.predecessors:
            test = self._tests.get(before)
            found &= bits_of(test) if test is not None else 0
        return found if point.predecessors else 0


def _pairs(tests: dict[Point, Condition]) -> list[Condition]:
    """Return the tests `a && b` both of whose parts are tested elsewhere, too."""
    found: dict[int, Condition] = {}
    todo = list(tests.values())
    while todo:
        test = todo.pop()
        if test.left is None or test.right is None:
            continue
        todo += (test.left, test.right)
        if min(test.bit, test.left.bit, test.right.bit) >= 0:
            found[test.bit] = test
    return [pair for bit, pair in found.items() if _is_apart(pair, bit, tests)]


def _is_apart(pair: Condition, whole: int, tests: dict[Point, Condition]) -> bool:
    elsewhere = 0
    for test in tests.values():
        if not (bits := bits_of(test)) >> whole & 1:
            elsewhere |= bits
    return not (bits_of(pair) & ~(1 << whole)) & ~elsewhere
