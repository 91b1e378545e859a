"""Encounters: two goroutines that may touch one field or package variable at the same time.

Both are launched by one function, or one is and the function goes on; nothing waits in
between; both paths begin at the same variable and are equal; one touch writes, and no lock
is common to them. Channels and groups that the two share order them, perhaps: then nothing
is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, lock_class
from threadmend.golang.calls import code_files
from threadmend.golang.crowds import own_nodes, waits_each_round
from threadmend.golang.flow import Flow, Point, flow_of
from threadmend.golang.goroutines import Launch, launches_in
from threadmend.golang.holding import translated
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.targets import targets
from threadmend.golang.touches import Touch, touches_of
from threadmend.golang.types import Chan

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package

__all__ = ["Encounter", "encounters"]

_STARTS = re.compile(rb"\bgo\s+[\w(]|\.Go\(")


@dataclass(frozen=True, slots=True)
class Encounter:
    """Two touches of one place: `one` writes, in the goroutine of `launch`; `other` meets it."""

    file: GoFile
    launch: Launch
    one: Touch
    other: Touch


def encounters(package: Package) -> list[Encounter]:
    """Return the encounters of a package, one for each place and pair of functions."""
    known: list[Encounter] | None = package.facts.get("encounters")
    if known is None:
        known = package.facts["encounters"] = []
        for file in code_files(package):
            if file.generated or not file.holds(_STARTS):
                continue
            for declaration in file.declarations(_STARTS):
                groups: dict[Node, list[Launch]] = {}
                for launch in launches_in(file, declaration.node):
                    if launch.function is not None and launch.body is not None:
                        if launch.kind != "timer":
                            groups.setdefault(launch.function, []).append(launch)
                for function, launches in groups.items():
                    known.extend(_in_function(file, function, launches))
    return known


def _in_function(file: GoFile, function: Node, launches: list[Launch]) -> Iterator[Encounter]:
    flow = flow_of(function)
    seen: set[str] = set()
    touched = [(launch, _of_launch(file, launch)) for launch in launches]
    if not any(t.writes for _, ts in touched for t in ts):
        return
    for index, (launch, ours) in enumerate(touched):
        reached = _reached(flow, launch, file)
        for other, theirs in touched[index + 1 :]:
            if flow.point_of(other.node) in reached:
                for one, two in _conflicts(ours, theirs):
                    if one.place not in seen and not _ordered(file, launch, other):
                        seen.add(one.place)
                        yield Encounter(file, launch if one in ours else other, one, two)
        if launch.loop is not None and not waits_each_round(launch.loop, launch):
            for touch in ours:
                if touch.writes and not touch.locks and _outlives(touch.access, launch.loop):
                    if touch.place not in seen:
                        seen.add(touch.place)
                        yield Encounter(file, launch, touch, touch)
        yield from _with_the_rest(file, function, launch, ours, reached, seen)


def _with_the_rest(
    file: GoFile,
    function: Node,
    launch: Launch,
    ours: list[Touch],
    reached: set[Point | None],
    seen: set[str],
) -> Iterator[Encounter]:
    """Yield encounters with what the launching function itself does afterwards."""
    flow = flow_of(function)
    if not ours:
        return
    theirs = [
        t
        for t in touches_of(file, function)
        if t.path[0].start > launch.node.end and flow.point_of(t.path[0]) in reached
        if not _is_launched(t.path[0])
    ]
    for one, two in _conflicts(ours, theirs):
        if one.place in seen or (len(two.path) == 1 and _is_local(one.access)):
            continue
        if one in ours and not _waits_first(file, launch):
            seen.add(one.place)
            yield Encounter(file, launch, one, two)


def _is_launched(call: Node) -> bool:
    return call.parent is not None and call.parent.kind == "go_statement"


def _is_local(access: Access) -> bool:
    return isinstance(access.root, Binding) and access.root.kind in {"variable", "range"}


def _outlives(access: Access, loop: Node) -> bool:
    root = access.root
    return not isinstance(root, Binding) or not loop.contains(root.node)


def _of_launch(file: GoFile, launch: Launch) -> list[Touch]:
    """Return what a launched goroutine touches, in the terms of the launching function."""
    body = launch.body
    assert body is not None
    own = launch.decl.file if launch.decl is not None else file
    found = []
    for touch in touches_of(own, body):
        root = touch.access.root
        if launch.decl is None:
            if isinstance(root, Binding) and body.contains(root.node):
                continue
            found.append(touch)
        elif launch.call is not None:
            access = translated(file, launch.call, body, touch.access)
            if access is not None:
                found.append(replace(touch, access=access))
    return found


def _conflicts(ours: list[Touch], theirs: list[Touch]) -> Iterator[tuple[Touch, Touch]]:
    """Yield (write, other) for touches of one path without a common lock."""
    by_access: dict[Access, list[Touch]] = {}
    for touch in theirs:
        by_access.setdefault(touch.access, []).append(touch)
    for one in ours:
        for two in by_access.get(one.access, ()):
            if (one.writes or two.writes) and not one.locks & two.locks:
                yield (one, two) if one.writes else (two, one)


# -- what orders ------------------------------------------------------------------------

# Whether it gives a signal or waits for one; `channel` or `group`, and its class (None: any).
_Signal = tuple[str, tuple[str, str | None]]


def _reached(flow: Flow, launch: Launch, file: GoFile) -> set[Point | None]:
    """Return the points that the launching function reaches before it waits for anything."""
    start = flow.point_of(launch.node)
    if start is None:
        return set()
    waits: set[Point | None] = set()
    for point in flow.points:
        for node in point.own():
            if any(way == "acquire" for way, _ in _signal(file, node)):
                waits.add(point)
    return set(flow.reachable(start, stop=waits.__contains__))


def _ordered(file: GoFile, one: Launch, other: Launch) -> bool:
    """Return whether one goroutine may wait for the other."""
    ours, theirs = _signals(file, one), _signals(file, other)
    return _matches(ours, theirs) or _matches(theirs, ours)


def _matches(ours: frozenset[_Signal], theirs: frozenset[_Signal]) -> bool:
    """Return whether something that the first give may be what the second wait for."""
    released = {what for way, what in ours if way == "release"}
    acquired = {what for way, what in theirs if way == "acquire"}
    kinds = {kind for kind, _ in released} & {kind for kind, _ in acquired}
    return bool(released & acquired) or any(
        (kind, None) in released or (kind, None) in acquired for kind in kinds
    )


def _waits_first(file: GoFile, launch: Launch) -> bool:
    """Return whether a goroutine waits for something: for the launching function, perhaps."""
    return any(way == "acquire" for way, _ in _signals(file, launch))


def _signals(file: GoFile, launch: Launch) -> frozenset[_Signal]:
    """Return the signals of a goroutine and of what it calls, three levels down."""
    body = launch.body
    assert body is not None
    own = launch.decl.file if launch.decl is not None else file
    known: dict[Node, frozenset[_Signal]] = file.package.facts.setdefault("strand signals", {})
    if body not in known:
        known[body] = frozenset(_all_signals(own, body, body, 3))
    return known[body]


def _all_signals(file: GoFile, body: Node, top: Node, depth: int) -> Iterator[_Signal]:
    for node in own_nodes(file, body):
        for way, (kind, what) in _signal(file, node):
            # A parameter or local of a function further in has no name out there.
            further = what is not None and body is not top and ":" in what
            yield way, (kind, None if further else what)
        if node.kind == "call_expression" and depth > 0:
            target = targets(file, node).certain
            if target is not None and target.node is not body:
                yield from _all_signals(target.file, target.node, top, depth - 1)


def _signal(file: GoFile, node: Node) -> Iterator[_Signal]:
    operand: Node | None = None
    ways: tuple[str, ...] = ()
    kind = "channel"
    if node.kind == "send_statement":
        operand, ways = node["channel"], ("release", "acquire")
    elif node.kind == "unary_expression" and node["operator"].kind == "<-":
        operand, ways = node["operand"], ("acquire", "release")
    elif node.kind == "range_clause":
        if isinstance(file.underlying(file.type_of(node["right"])), Chan):
            operand, ways = node["right"], ("acquire",)
    elif node.kind == "call_expression":
        function = node["function"]
        if function.kind == "identifier" and function.name == "close":
            operand, ways = node["arguments"].children[0], ("release",)
        elif function.kind == "selector_expression":
            operand, kind = function["operand"], "group"
            name = function["field"].name
            ways = _CALLS.get(name, ())
    # What a call returns is a clock, or a context's channel.
    if operand is not None and ways and operand.kind != "call_expression":
        class_ = lock_class(file, operand)
        yield from ((way, (kind, class_)) for way in ways)


_CALLS = {
    **dict.fromkeys(("Done", "Signal", "Broadcast", "Release"), ("release",)),
    **dict.fromkeys(("Wait", "Acquire", "Join"), ("acquire",)),
}
