"""Encounters: two goroutines that may touch one field or package variable at the same time.

Both are launched by one function, or one is and the function goes on; nothing waits in
between; both paths begin at the same variable and are equal; one touch writes, and no lock
is common to them. Channels and groups that the two share order them, perhaps: then nothing
is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, lock_class, uses_of
from threadmend.golang.calls import code_files
from threadmend.golang.crowded_calls import crowded
from threadmend.golang.crowds import is_made_anew, overlaps, own_nodes
from threadmend.golang.flow import Flow, Point, flow_of
from threadmend.golang.functions import outer_function
from threadmend.golang.goroutines import Launch, innermost_loop, launches_in, or_spawning
from threadmend.golang.iterations import ends_after
from threadmend.golang.lefts import (
    STARTS,
    calls_leaving,
    lefts_of_call,
    may_crowd,
    may_start,
    touches_of_launch,
)
from threadmend.golang.pauses import SignalOf, pauses, signal_at
from threadmend.golang.preparing import sets_up_once
from threadmend.golang.repeats import is_repeated
from threadmend.golang.scope import Binding
from threadmend.golang.summaries import touches_after
from threadmend.golang.syntax import Declaration, Node
from threadmend.golang.targets import targets
from threadmend.golang.touches import EACH, ONE, Touch

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package

__all__ = ["Encounter", "encounters"]

_FRESH_ROOTS = frozenset({"variable", "range"})


@dataclass(frozen=True, slots=True)
class Encounter:
    """Two touches of one place: `one` writes, `other` meets it.

    `launch` starts the goroutine of one of them; `left`: in a function that was called, and
    went on when that returned. `by_goroutine`: the write is the goroutine's.
    """

    file: GoFile
    launch: Launch
    one: Touch
    other: Touch
    left: bool = False
    by_goroutine: bool = True


@dataclass(frozen=True, slots=True)
class _Start:
    """A node of a function from which on a goroutine runs, and what that touches."""

    node: Node
    launch: Launch
    touches: list[Touch]
    left: bool = False


def encounters(package: Package) -> list[Encounter]:
    """Return the encounters of a package, one for each place and pair of functions."""
    known: list[Encounter] | None = package.facts.get("encounters")
    if known is None:
        known = package.facts["encounters"] = []
        for file in code_files(package):
            if not file.generated and may_start(file, STARTS):
                for declaration in file.tree.declarations:
                    if declaration.kind in {"function_declaration", "method_declaration"}:
                        for function, starts in _starts(file, declaration).items():
                            known.extend(_in_function(file, function, starts))
                        if calls_leaving(file, declaration, beside=True):
                            known.extend(_crowded(file, declaration))
    return known


def _starts(file: GoFile, declaration: Declaration) -> dict[Node, list[_Start]]:
    """Return the starts in a declaration by the function that they stand in, in source order."""
    groups: dict[Node, list[_Start]] = {}
    if or_spawning(file.package, STARTS).search(file.data, declaration.start, declaration.end):
        for launch in launches_in(file, declaration.node):
            if launch.function is not None and launch.body is not None and launch.kind != "timer":
                touches = _named_in(launch.function, touches_of_launch(file, launch))
                start = _Start(launch.node, launch, touches)
                groups.setdefault(launch.function, []).append(start)
    if calls_leaving(file, declaration):
        for call in declaration.index.get("call_expression", ()):
            function = call.function
            if function is None:
                continue
            for left in lefts_of_call(file, call):
                touches = _named_in(function, left.touches)
                start = _Start(call, left.launch, touches, left=True)
                groups.setdefault(function, []).append(start)
    for starts in groups.values():
        starts.sort(key=lambda s: s.node.start)
    return groups


def _named_in(function: Node, touches: list[Touch]) -> list[Touch]:
    """Return the touches of objects that a function can name, its own or those it captures.

    Those of another function's may be of as many objects as it has runs.
    """
    around = [function, *function.ancestors()]
    return [
        t
        for t in touches
        if not isinstance(t.access.root, Binding) or t.access.root.function in around
    ]


def _crowded(file: GoFile, declaration: Declaration) -> Iterator[Encounter]:
    """Yield what functions that are passed on do in several goroutines at the same time."""
    for call in declaration.index.get("call_expression", ()):
        name = call["function"].children[-1] if call["function"].children else call["function"]
        function = call.function
        if function is None or not call["arguments"].children:
            continue
        if may_crowd(file, name.text):
            for touch in crowded(file, function, call).touches:
                if _clashes(touch):
                    launch = Launch("go", call, call, function, None)
                    yield Encounter(file, launch, touch, touch)


def _in_function(file: GoFile, function: Node, starts: list[_Start]) -> Iterator[Encounter]:
    flow = flow_of(function)
    seen: set[str] = set()
    for index, start in enumerate(starts):
        launch, ours = start.launch, start.touches
        if not ours:
            continue
        reached = _reached(flow, start.node, file)
        for other in starts[index + 1 :]:
            if flow.point_of(other.node) in reached and other.node is not start.node:
                if _is_started_again(function, start, other):
                    continue
                for one, two in _conflicts(ours, other.touches):
                    if one.place in seen or _is_set_up(one, two, launch):
                        continue
                    if not _ordered(file, launch, other.launch):
                        seen.add(one.place)
                        by = launch if one in ours else other.launch
                        yield Encounter(file, by, one, two, start.left)
        if not start.left and launch.loop is not None and overlaps(launch.loop, launch):
            for touch in ours:
                if _clashes(touch) and _outlives(touch.access, launch):
                    if touch.place not in seen:
                        seen.add(touch.place)
                        yield Encounter(file, launch, touch, touch)
        if start.left and _is_left_again(file, flow, start):
            for touch in ours:
                if _clashes(touch) and _outlives_call(touch.access, start.node):
                    if touch.place not in seen:
                        seen.add(touch.place)
                        yield Encounter(file, launch, touch, touch, left=True)
        yield from _with_the_rest(file, function, start, reached, seen)


def _is_left_again(file: GoFile, flow: Flow, start: _Start) -> bool:
    """Return whether a loop calls a function that leaves a goroutine each time, and waits for none.

    The function decides nothing: `func (c *crew) hire(id int) { c.wg.Add(1); go c.toil(id) }`.
    """
    loop, point = innermost_loop(start.node), flow.point_of(start.node)
    launcher, launch = start.launch.function, start.launch
    if loop is None or point is None or launcher is None or ends_after(loop, start.node):
        return False
    waits = pauses(file, flow.function)
    if point not in flow.reachable(point, stop=waits.__contains__):
        return False
    if any(c.kind == "call_expression" and _ENDS.search(c["function"].name) for c in loop.walk()):
        return False
    inner = flow_of(launcher)
    at = inner.point_of(launch.node)
    if at is None or not inner.complete or inner.exits_from(inner.entry, stop=lambda p: p is at):
        return False
    return is_repeated(file.package.workspace.file_of(launch.node), launch)


def _outlives_call(access: Access, call: Node) -> bool:
    """Return whether all rounds of a loop around a call share an object that it works on."""
    root, loop = access.root, innermost_loop(call)
    if not isinstance(root, Binding) or loop is None or loop.contains(root.node):
        return False
    if any(step.startswith("[") for step in access.steps):
        return False
    return not any(loop.contains(u.node) and u.kind in {"write", "update"} for u in uses_of(root))


_ENDS = re.compile(r"(?i)stop|close|shut|kill|end|finish|wait|join|cancel|term")


def _is_started_again(function: Node, start: _Start, other: _Start) -> bool:
    """Return whether two calls leave the same goroutine, and the first is ended in between.

    `server.Start(); …; server.Stop(); server.Start()`, whatever Stop does to end it.
    """
    if not (start.left and other.left) or start.launch.node is not other.launch.node:
        return False
    target = other.node["function"] if other.node.kind == "call_expression" else None
    owner = target.get("operand") if target is not None else None
    for call in function.walk():
        if call.kind != "call_expression" or not start.node.end <= call.start < other.node.start:
            continue
        called = call["function"]
        if called.kind == "selector_expression" and owner is not None:
            if called["operand"].text == owner.text and _ENDS.search(called["field"].name):
                return True
    return False


def _with_the_rest(
    file: GoFile, function: Node, start: _Start, reached: set[Point | None], seen: set[str]
) -> Iterator[Encounter]:
    """Yield encounters with what the launching function itself does afterwards."""
    flow, waits = flow_of(function), pauses(file, function, clocks=False)
    early = [t for t in start.touches if t.early]
    if not early:
        return
    theirs = [
        t
        for t in touches_after(file, function, start.node.end)
        if t.early
        and _is_reached(flow, t, reached, start.node, waits)
        and not t.path[0].is_launched
    ]
    for one, two in _conflicts(early, theirs):
        ours = any(one is t for t in early)
        if one.place in seen or (not start.left and len(two.path) == 1 and _is_local(one.access)):
            continue
        if _is_of_next_round(start.node, two if ours else one):
            continue
        if _is_set_up(one, two, start.launch) or _is_lazy(one, two):
            continue
        if ours or start.left or one.in_channel:
            seen.add(one.place)
            yield Encounter(file, start.launch, one, two, start.left, ours)


def _is_reached(
    flow: Flow, touch: Touch, reached: set[Point | None], start: Node, waits: frozenset[Point]
) -> bool:
    """Return whether the function comes to a touch, or to its end if that is deferred."""
    node = touch.path[0]
    deferred = node.up("defer_statement")
    if deferred is not None and flow.function.contains(deferred):
        return any(e.point in reached for e in flow.exits)
    point, begin = flow.point_of(node), flow.point_of(start)
    if point in waits and point is not None and begin is not None and touch.early:
        return point in flow.reachable(begin, stop=lambda p: p in waits and p is not point)
    return point in reached


def _is_lazy(one: Touch, other: Touch) -> bool:
    """Return whether both are in `if x == nil { x = … }`: who came first has made it, perhaps."""
    if outer_function(one.node) is not outer_function(other.node):
        return False
    for ancestor in one.node.ancestors():
        if ancestor.kind == "if_statement":
            condition = ancestor["condition"].text
            if condition in {one.node.text + b" == nil", b"nil == " + one.node.text}:
                return True
    return False


def _is_set_up(write: Touch, other: Touch, launch: Launch) -> bool:
    """Return whether the goroutine of a touch was launched behind the write, which is done once."""
    above = [n.parent for n in other.path if n.parent is not None]
    launches = [launch.node, *(n for n in above if n.kind == "go_statement")]
    return any(sets_up_once(write.node, node) for node in launches)


def _is_of_next_round(start: Node, touch: Touch) -> bool:
    """Return whether a loop comes to a touch only when it has made the object anew.

    `for _, entry := range entries { entry.n++; watch(entry) }`
    """
    root = touch.access.root
    if not isinstance(root, Binding) or touch.path[0].start > start.start:
        return False
    loops = [n for n in start.ancestors() if n.kind == "for_statement"]
    return any(loop.contains(root.declaration) for loop in loops)


def _is_local(access: Access) -> bool:
    return isinstance(access.root, Binding) and access.root.kind in _FRESH_ROOTS


def _clashes(touch: Touch) -> bool:
    """Return whether two goroutines that do the same meet at a touch."""
    return (
        touch.writes and not touch.locks and not touch.in_channel and ONE not in touch.access.steps
    )


def _outlives(access: Access, launch: Launch) -> bool:
    """Return whether the launches of a loop share an object."""
    root, loop = access.root, launch.loop
    if not isinstance(root, Binding) or loop is None:
        return True
    return not (loop.contains(root.node) or is_made_anew(root, loop, launch))


def _conflicts(ours: list[Touch], theirs: list[Touch]) -> Iterator[tuple[Touch, Touch]]:
    """Yield (write, other) for touches of one path without a common lock."""
    by_access: dict[Access, list[Touch]] = {}
    for touch in theirs:
        by_access.setdefault(touch.access, []).append(touch)
    for one in ours:
        for access in _same(one.access):
            for two in by_access.get(access, ()):
                if (one.writes or two.writes) and not one.locks & two.locks:
                    if EACH in access.steps and _is_chosen(one) and _is_chosen(two):
                        continue  # each of them its own ones, perhaps
                    yield (one, two) if one.writes else (two, one)


def _is_chosen(touch: Touch) -> bool:
    """Return whether a loop comes to a touch only for some elements of what it goes over."""
    for node in touch.path:
        loop = innermost_loop(node)
        if loop is None or not any(child.kind == "range_clause" for child in loop.children):
            continue
        for other in loop.walk():
            if other.kind == "continue_statement" and other.start < node.start:
                return True
            if other.kind in _CHOICES and other.contains(node):
                return True
    return False


_CHOICES = frozenset({"if_statement", "expression_switch_statement", "type_switch_statement"})


def _same(access: Access) -> Iterator[Access]:
    """Yield the paths that may lead to one object: each element is every one of them."""
    if ONE not in access.steps:
        yield access
        if EACH in access.steps:
            yield Access(access.root, tuple(ONE if s == EACH else s for s in access.steps))
    else:
        yield Access(access.root, tuple(EACH if s == ONE else s for s in access.steps))


# -- what orders ------------------------------------------------------------------------


def _reached(flow: Flow, node: Node, file: GoFile) -> set[Point | None]:
    """Return the points that the launching function reaches before it waits for anything.

    A loop that waits is taken to go round: `for range workers { <-done }`.
    """
    start = flow.point_of(node)
    if start is None:
        return set()
    waits = pauses(file, flow.function, clocks=False)
    reached: set[Point | None] = set(flow.reachable(start, stop=waits.__contains__))
    loops = {loop for wait in waits for loop in flow.loops(wait) if not loop.contains(node)}
    within = {p for p in flow.points if any(loop.contains(p.node) for loop in loops)}
    if within:
        around = flow.reachable(start, stop=within.union(waits).__contains__)
        reached = (reached & within) | around
    return reached


def _ordered(file: GoFile, one: Launch, other: Launch) -> bool:
    """Return whether one goroutine may wait for the other."""
    ours, theirs = _signals(file, one), _signals(file, other)
    return _matches(ours, theirs) or _matches(theirs, ours)


def _matches(ours: frozenset[SignalOf], theirs: frozenset[SignalOf]) -> bool:
    """Return whether something that the first give may be what the second wait for."""
    released = {what for way, what in ours if way == "release"}
    acquired = {what for way, what in theirs if way == "acquire"}
    kinds = {kind for kind, _ in released} & {kind for kind, _ in acquired}
    return bool(released & acquired) or any(
        (kind, None) in released or (kind, None) in acquired for kind in kinds
    )


def _signals(file: GoFile, launch: Launch) -> frozenset[SignalOf]:
    """Return the signals of a goroutine and of what it calls, three levels down."""
    body = launch.body
    assert body is not None
    own = launch.decl.file if launch.decl is not None else file
    known: dict[Node, frozenset[SignalOf]] = file.package.facts.setdefault("strand signals", {})
    if body not in known:
        known[body] = frozenset(_all_signals(own, body, body, 3))
    if launch.kind == "counted":
        return known[body] | {("release", ("group", None))}
    if launch.kind in {"waitgroup", "errgroup"}:
        group = launch.node["function"]["operand"]
        return known[body] | {("release", ("group", lock_class(file, group)))}
    return known[body]


def _all_signals(file: GoFile, body: Node, top: Node, depth: int) -> Iterator[SignalOf]:
    for node in own_nodes(file, body):
        for way, (kind, what) in signal_at(file, node):
            # A parameter or local of a function further in has no name out there.
            further = what is not None and body is not top and ":" in what
            yield way, (kind, None if further else what)
        if node.kind == "call_expression" and depth > 0:
            target = targets(file, node).certain
            if target is not None and target.node is not body:
                yield from _all_signals(target.file, target.node, top, depth - 1)
