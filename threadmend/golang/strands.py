"""Strands: which goroutine runs a place inside a function, literals and launches followed.

A function runs on the goroutine that calls it; what it launches, and what those launch, are
strands of their own. A literal that is called where it stands, deferred, or called through
its variable belongs to the strand that does so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.access import is_assigned_once
from threadmend.golang.goroutines import Launch, launch_of_literal
from threadmend.golang.locks import runs_in_place
from threadmend.golang.node import parenthesized
from threadmend.golang.scope import Binding, declared_name
from threadmend.golang.subtests import is_subtest, parallel_call
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["Level", "Place", "Strand", "literal_binding", "places_of"]

_MAX_PLACES = 12


@dataclass(frozen=True, slots=True)
class Level:
    """A node and the function whose own syntax it is; `deferred`: it runs when that ends."""

    function: Node
    node: Node
    deferred: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """One way in which a node runs.

    `levels` lead from the node itself outwards, through the literals that the same goroutine
    runs, to the body of the strand: the last level's function.
    """

    levels: tuple[Level, ...]
    strand: Strand

    @property
    def deferred(self) -> bool:
        """Return whether the node runs when some function around it ends."""
        return any(level.deferred for level in self.levels)


@dataclass(frozen=True, slots=True)
class Strand:
    """A goroutine: the function itself (no launch), or what a launch in `parent` starts.

    `at` is where the parent launches it.
    """

    body: Node
    launch: Launch | None = None
    at: Place | None = None

    @property
    def parent(self) -> Strand | None:
        """Return the strand that launches this one."""
        return self.at.strand if self.at is not None else None

    @property
    def ancestors(self) -> list[Strand]:
        """Return this strand and those that led to it, the function's own last."""
        found = [self]
        while (parent := found[-1].parent) is not None:
            found.append(parent)
        return found

    def __eq__(self, other: object) -> bool:
        """Return whether two values mean the same launch of the same function."""
        return isinstance(other, Strand) and self._key == other._key

    def __hash__(self) -> int:
        """Return a hash that goes with equality."""
        return hash(self._key)

    @property
    def _key(self) -> tuple[Node | None, ...]:
        return tuple(s.launch.node if s.launch else s.body for s in self.ancestors)


def places_of(file: GoFile, function: Node, node: Node) -> list[Place] | None:
    """Return the ways in which a node inside `function` runs, None when one cannot be told."""
    found: list[Place] = []
    for place in _places(file, function, node, False, ()):
        if place is None or len(found) >= _MAX_PLACES:
            return None
        found.append(place)
    return found


def _places(
    file: GoFile, function: Node, node: Node, deferred: bool, seen: tuple[Node, ...]
) -> Iterator[Place | None]:
    inner = node.function
    if inner is None or inner in seen:
        yield None
        return
    level = Level(inner, node, deferred)
    if inner is function:
        yield Place((level,), Strand(function))
        return
    if inner.kind != "func_literal":
        yield None
        return
    for outer, launch, later in _runs(file, inner):
        if outer is None:
            yield None
            continue
        for place in _places(file, function, outer, later, (*seen, inner)):
            if place is None:
                yield None
            elif launch is not None:
                yield Place((level,), Strand(inner, launch, place))
            else:
                yield Place((level, *place.levels), place.strand)


def _runs(file: GoFile, literal: Node) -> Iterator[tuple[Node | None, Launch | None, bool]]:
    """Yield where a literal runs: the node, the launch that runs it, whether deferred."""
    launch = launch_of_literal(file, literal)
    if launch is not None and launch.literal is literal:
        yield launch.node, launch, False
        return
    call = parenthesized(literal).parent
    if call is not None and call.parent is not None and call.parent.kind == "defer_statement":
        if literal.field == "function" or call["function"].contains(literal):
            yield call.parent, None, True
            return
    if runs_in_place(file, literal):
        yield literal, None, False
        return
    if is_subtest(file, literal):
        yield (None if parallel_call(file, literal) else literal), None, False
        return
    yield from _named(file, literal)


def literal_binding(file: GoFile, literal: Node) -> Binding | None:
    """Return the variable that holds a literal for good: `f := func() {…}`."""
    name = declared_name(literal)
    binding = None if name is None else file.binding(name)
    if binding is None or binding.node is not name or not is_assigned_once(binding):
        return None
    return binding


def _named(file: GoFile, literal: Node) -> Iterator[tuple[Node | None, Launch | None, bool]]:
    """Yield where a literal runs that a variable holds, from the variable's uses."""
    binding = literal_binding(file, literal)
    if binding is None:
        yield None, None, False
        return
    for use in binding.uses:
        if use is binding.node:
            continue
        parent = use.parent
        if parent is None:
            yield None, None, False
        elif parent.kind == "call_expression" and use.field == "function":
            statement = parent.parent
            if statement is not None and statement.kind == "go_statement":
                yield statement, launch_of_literal(file, statement), False
            elif statement is not None and statement.kind == "defer_statement":
                yield statement, None, True
            else:
                yield parent, None, False
        else:
            launch = launch_of_literal(file, use)
            known = launch is not None and launch.literal is literal
            yield (launch.node if launch is not None and known else None), launch, False
