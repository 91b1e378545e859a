"""Loops that end when as many have come as were launched: a variable counts them.

left := total                    active++
for r := range results {         go func() { …; ended <- err }()
    left--                       …
    if left == 0 {               if active > 0 {
        break                        for { … <-ended; active--; if active == 0 { break } }
    }                            }
}
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from threadmend.golang.stops import ways_out
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.scope import Binding

__all__ = ["counted_tests", "counts_all"]

_TEST = re.compile(rb"(\w+) (?:==|<=|>=) (.+)")
_POSITIVE = re.compile(rb"(\w+) (?:> 0|!= 0|>= 1)")
_STEPS = frozenset({"inc_statement", "dec_statement"})


def counts_all(file: GoFile, function: Node, loop: Node) -> bool:
    """Return whether a loop is left only when a count of all that was launched is reached.

    The count begins at, or goes up to, the number of rounds of another loop that launches or
    sends; or it went up by one beside every goroutine that the function launches.
    """
    found = _counter(file, loop)
    if found is None:
        return False
    counter, limit = found
    if limit == b"0":
        limits = {v.text for v in counter.values}
        if limits and all(_is_bound(function, loop, text) for text in limits if text != b"0"):
            if limits != {b"0"}:
                return True
        return _is_raised_beside_launches(file, function, loop, counter)
    return _is_bound(function, loop, limit)


def counted_tests(file: GoFile, function: Node, receives: Iterable[Node]) -> Iterator[Node]:
    """Yield the tests `active > 0` around the loops that receive from all that were launched.

    Where one fails, nothing was launched.
    """
    for receive in receives:
        loop = receive.up("for_statement")
        found = _counter(file, loop) if loop is not None else None
        if loop is None or found is None or not counts_all(file, function, loop):
            continue
        test = loop.up("if_statement")
        if test is not None and test.function is loop.function and test.get("alternative") is None:
            asked = _POSITIVE.fullmatch(test["condition"].text)
            if asked is not None and asked[1] == found[0].name.encode():
                yield test["condition"]


def _counter(file: GoFile, loop: Node) -> tuple[Binding, bytes] | None:
    """Return what every round changes by one and every way out tests, and the limit."""
    tests = [_test_around(way_out, loop) for way_out in ways_out(loop)]
    asked = {t.groups() for t in tests if t is not None}
    if None in tests or len(asked) != 1:
        return None
    name, limit = asked.pop()
    for step in loop["body"].own():
        if step.kind in _STEPS and step.children[0].text == name and not _is_decided(step, loop):
            binding = file.binding(step.children[0])
            return (binding, limit) if binding is not None else None
    return None


def _test_around(way_out: Node, loop: Node) -> re.Match[bytes] | None:
    test = way_out.up("if_statement")
    if test is None or not loop.contains(test) or test.get("initializer") is not None:
        return None
    inside = test["consequence"].contains(way_out)
    return _TEST.fullmatch(test["condition"].text) if inside else None


def _is_decided(step: Node, loop: Node) -> bool:
    test = step.up("if_statement")
    return test is not None and loop.contains(test)


def _is_bound(function: Node, loop: Node, text: bytes) -> bool:
    """Return whether another loop, which launches or sends, makes so many rounds."""
    for other in function.find("for_statement"):
        if other is loop or loop.contains(other):
            continue
        clause = next((c for c in other.children if c.kind in _CLAUSES), None)
        if clause is None or not any(True for _ in other["body"].find(*_FEEDS)):
            continue
        if clause.kind == "range_clause":
            ranged = clause["right"].text
            if text in {ranged, b"len(" + ranged + b")"}:
                return True
        elif (condition := clause.get("condition")) is not None:
            if condition.text.endswith(b"< " + text):
                return True
    return False


_CLAUSES = frozenset({"range_clause", "for_clause"})
_FEEDS = ("go_statement", "send_statement")


def _is_raised_beside_launches(file: GoFile, function: Node, loop: Node, counter: Binding) -> bool:
    """Return whether a variable goes up right before or behind every goroutine that is launched."""
    launches = [g for g in function.own() if g.kind == "go_statement" and g.start < loop.start]
    return bool(launches) and all(
        any(
            beside is not None
            and beside.kind == "inc_statement"
            and file.binding(beside.children[0]) is counter
            for beside in (launch.previous, launch.next)
        )
        for launch in launches
    )
