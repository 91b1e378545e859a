"""What go/racy-capture asks about a race: may the function have waited, on a condition that holds?

    go func() { …; done <- err }()
    if !background { err = <-done }
    …                                // whether the goroutine still runs is what the condition says

What is behind may well ask the same thing in other words, and leave: that is no more than a hint.
So is a read in a goroutine, and a write of what the function receives: `go func() { in <- x }()`,
`x = <-out`, where what comes out may be the answer to what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from threadmend.golang.captured import CapturedAccess
from threadmend.golang.syntax import FUNCTIONS, Node

__all__ = ["may_be_answered", "may_have_waited"]

_WAITED = re.compile(rb"<-\s*([\w.]+)|\b([\w.]+)\.Wait\(\)")
_LEAVES = frozenset({"return_statement", "continue_statement", "break_statement"})


def may_have_waited(pairs: Iterable[tuple[CapturedAccess, CapturedAccess]]) -> bool:
    """Return whether a condition decides, for each pair, that a goroutine is waited for between."""
    return all(_waits_between(one, other) or _waits_between(other, one) for one, other in pairs)


def may_be_answered(pairs: Iterable[tuple[CapturedAccess, CapturedAccess]]) -> bool:
    """Return whether all that a function writes, beside a goroutine that reads, it has received."""
    return all(
        one.writes and not one.inside and other.inside and not other.writes and _is_received(one)
        for one, other in pairs
    )


def _is_received(access: CapturedAccess) -> bool:
    for node in access.node.ancestors():
        if node.kind == "receive_statement":
            return True
        if node.kind in {"assignment_statement", "short_var_declaration"}:
            value = node["right"].children[0]
            return value.kind == "unary_expression" and value["operator"].kind == "<-"
        if node.kind in FUNCTIONS or node.kind.endswith("_statement"):
            return False
    return False


def _waits_between(launched: CapturedAccess, other: CapturedAccess) -> bool:
    literal = launched.node.function
    while literal is not None and literal.function is not None:
        around = literal.function
        if literal.end < other.node.start and around.contains(other.node):
            return any(
                test.kind == "if_statement"
                and test.function is around
                and literal.end < test.start
                and test.end <= other.node.start
                and _waits_for(test, literal)
                for test in _behind(literal, around)
            )
        literal = around
    return False


def _behind(literal: Node, around: Node) -> list[Node]:
    """Return the statements behind the one that launches, in the blocks around it."""
    found: list[Node] = []
    for block in literal.ancestors():
        if block.kind in FUNCTIONS:
            break
        if block.kind == "block" and block.function is around:
            found += [s for s in block.statements if s.start > literal.end]
    return found


def _waits_for(test: Node, literal: Node) -> bool:
    """Return whether the branch of a test waits for what a goroutine tells, and goes on then."""
    branch = test["consequence"]
    if test.get("alternative") is not None or not branch.statements:
        return False
    if branch.statements[-1].kind in _LEAVES:
        return False
    data = literal.text
    return any((match[1] or match[2]) in data for match in _WAITED.finditer(branch.text))
