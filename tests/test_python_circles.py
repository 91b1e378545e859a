"""Answers that lead back to their own question are the same whoever asks first."""

from __future__ import annotations

import itertools
import random

from threadmend.python.circles import Circles

Answers = dict[int, frozenset[int]]


def _reached(edges: dict[int, list[int]], order: list[int]) -> Answers:
    """Return what each number leads to, asked in an order."""
    known: Answers = {}
    asked: Circles[int, frozenset[int]] = Circles(frozenset())

    def reach(one: int) -> frozenset[int]:
        return asked.ask(one, known, lambda: frozenset({one}).union(*map(reach, edges[one])))

    return {one: reach(one) for one in order}


def test_order_does_not_matter() -> None:
    edges = {0: [1], 1: [2, 3], 2: [0], 3: [4], 4: [3]}
    whole, pair = frozenset(range(5)), frozenset({3, 4})
    for order in itertools.permutations(edges):
        answers = _reached(edges, list(order))
        assert answers == {0: whole, 1: whole, 2: whole, 3: pair, 4: pair}, order


def test_any_graph() -> None:
    chance = random.Random(7)
    for _ in range(300):
        size = chance.randint(2, 8)
        edges = {
            n: chance.sample(range(size), chance.randint(0, min(3, size))) for n in range(size)
        }
        order = list(range(size))
        first = _reached(edges, order)
        chance.shuffle(order)
        assert _reached(edges, order) == first, edges
        for one, found in first.items():
            assert found == _closure(edges, one), edges


def _closure(edges: dict[int, list[int]], one: int) -> frozenset[int]:
    found, pending = {one}, [one]
    while pending:
        for other in edges[pending.pop()]:
            if other not in found:
                found.add(other)
                pending.append(other)
    return frozenset(found)


def test_failed_question_is_open_no_more() -> None:
    asked: Circles[int, int] = Circles(0)
    known: dict[int, int] = {}
    for _ in range(2):
        try:
            asked.ask(1, known, lambda: 1 // 0)
        except ZeroDivisionError:
            pass
        else:
            raise AssertionError("the error is gone")
    assert asked.ask(1, known, lambda: 5) == 5
