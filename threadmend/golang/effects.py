"""Effects: which locks a call may take and where it may block, through the call graph.

    for pair in pairs_of(file, function): ...   # a lock that is held, and what happens under it
    events = effects_of(Body(file, function))   # what one run of a body may do

An event is in the terms of the body it belongs to: its receiver, parameters, captured and
package variables. At a call it is translated; what has no name there keeps its class and
loses its object. Recursive functions are solved together (Tarjan's components), so that the
answer does not depend on who asked first. `go` starts a new goroutine and is no call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of, lock_class
from threadmend.golang.bodies import Event, depends_on_flag, events_of
from threadmend.golang.bodycalls import (
    ANY,
    Call,
    call_nodes,
    calls_at,
    calls_of,
    is_kept,
    released_before,
    unconverted,
)
from threadmend.golang.calls import callers
from threadmend.golang.holding import holding_of
from threadmend.golang.kept_methods import is_kept_step
from threadmend.golang.lock_helpers import net_acquires
from threadmend.golang.locks import LOCK_CALLS, Held, may_leave
from threadmend.golang.scope import Binding, argument_of, position_of
from threadmend.golang.setup import is_made_here
from threadmend.golang.syntax import Node
from threadmend.golang.targets import Body, bodies_of_value
from threadmend.golang.wording import translated

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package

__all__ = ["Event", "Pair", "effects_of", "events_of_call", "holders", "pairs_of"]

_MOST = 50  # events of one body; the rest is not told
_FURTHEST = 9  # calls between a body and an event
_FURTHEST_BLOCK = 3  # the same, for what may block
_ROUNDS = 4  # of a group of functions that call each other

Events = dict[tuple[object, ...], Event]


@dataclass(frozen=True, slots=True)
class Pair:
    """A lock that is held and an event that happens under it, at a node of the function."""

    file: GoFile
    function: Node
    held: Held
    event: Event

    @property
    def node(self) -> Node:
        """Return the operation or the call in the function itself."""
        return self.event.path[0]

    @property
    def same(self) -> bool:
        """Return whether the event takes the very lock that is held."""
        return self.event.kind == "acquire" and self.held.access == self.event.access

    @property
    def taken_at(self) -> Node | None:
        """Return the call that took the held lock, when the function itself does."""
        return holding_of(self.file, self.function).taken_at(self.held, self.node)


_NAMES = re.compile(rb"[(,]\s*(\w+)")
_CALLED = re.compile(rb"(?<![\w.])(\w+)\(")


def holders(file: GoFile) -> list[Node]:
    """Return the functions of a file under whose locks something may happen.

    Those with a lock operation, those that call a helper which only locks, and those that
    pass a function to one that calls its parameter under a lock.
    """
    found = dict.fromkeys(file.functions(LOCK_CALLS))
    for decl in _lenders(file.package):
        for site in callers(decl).of(file):
            function = site.node.function
            if site.call is not None and function is not None:
                found.setdefault(function)
    return sorted(found, key=lambda node: node.start)


def _lenders(package: Package) -> list[Decl]:
    """Return the functions that leave a lock to their caller, or call a parameter under one."""
    known: list[Decl] | None = package.facts.get("lenders")
    if known is None:
        wrappers = net_acquires(package)
        known = package.facts["lenders"] = [
            d for d in package.functions() if d.key in wrappers or _calls_parameter(d)
        ]
    return known


def _calls_parameter(decl: Decl) -> bool:
    """Return whether a function calls one of its parameters with a lock held."""
    start, end = decl.span
    data = decl.file.data
    if not decl.sound or not LOCK_CALLS.search(data, start, end):
        return False
    opens = decl.node["body"].start
    if not {*_NAMES.findall(data, start, opens)} & {*_CALLED.findall(data, opens, end)}:
        return False
    return any(e.kind == "param" and e.held for e in events_of(Body(decl.file, decl.node)))


def pairs_of(file: GoFile, function: Node) -> list[Pair]:
    """Return what happens under the locks that a function itself takes."""
    known: dict[Node, list[Pair]] = vars(file).setdefault("_pairs", {})
    if function not in known:
        known[function] = _pairs(file, function)
    return known[function]


def _pairs(file: GoFile, function: Node) -> list[Pair]:
    body = Body(file, function)
    holding = holding_of(file, function)
    found: dict[tuple[object, ...], Pair] = {}
    for event in [*events_of(body), *_called_events(body)]:
        for held in sorted(holding.at(event.path[0]) | event.held, key=_by_name):
            if event.kind == "param" or event.without & {held.lock_class, ANY}:
                continue
            if held in holding.locks.given and _takes_it_for(file, held, event):
                continue
            pair = Pair(file, function, held, event)
            key = (event.path[0], event.kind, event.mode, event.access, event.lock_class, held)
            old = found.get(key)
            if old is None or (event.sure, -len(event.path)) > (
                old.event.sure,
                -len(old.event.path),
            ):
                found[key] = pair
    return list(found.values())


def _takes_it_for(file: GoFile, held: Held, event: Event) -> bool:
    """Return whether a call is what takes a lock that the function gives back without a Lock.

    `t, ok := s.locked(id)`, which has the lock still when it returns a ticket.
    """
    decl = file.callee(event.path[0]) if len(event.path) > 1 else None
    if decl is None or not decl.has_body:
        return False
    left = may_leave(decl.file, decl.node)
    # A lock of a type that has a Lock of its own goes by the name that the type gives it.
    return held.lock_class in left or (event.access == held.access and event.lock_class in left)


def _by_name(held: Held) -> tuple[str, str, str]:
    return (held.lock_class or "", str(held.access), held.mode)


def _called_events(body: Body) -> Iterator[Event]:
    """Yield the events of the calls that run under a lock, of the body's or of the callee's."""
    holding = holding_of(body.file, body.node)
    for node in call_nodes(body):
        if holding.at(node) or _passes_function(body.file, node):
            yield from events_of_call(body, node)


def events_of_call(body: Body, node: Node) -> Iterator[Event]:
    """Yield what one call of a body may do, in the terms of the body."""
    known: dict[Node, Events] = body.file.package.workspace.facts.setdefault("effects", {})
    calls = calls_at(body, node)
    for call in calls:
        effects_of(call.body)
    for call in calls:
        if call.runs:
            yield from _through(body, call, known.get(call.body.node, {}), known)


def _passes_function(file: GoFile, call: Node) -> bool:
    """Return whether a function is passed along, so that the callee may hold a lock itself."""
    return any(
        unconverted(file, a).kind in {"func_literal", "selector_expression"}
        for a in call["arguments"].children
    )


def effects_of(body: Body) -> tuple[Event, ...]:
    """Return what one run of a body may do, itself and through the calls that it makes."""
    known: dict[Node, Events] = body.file.package.workspace.facts.setdefault("effects", {})
    if body.node not in known:
        _solve(body, known)
    return tuple(known[body.node].values())


# --- functions that call each other -----------------------------------------------------


def _solve(start: Body, known: dict[Node, Events]) -> None:
    """Compute the events of a body and of all that it may run: Tarjan, without recursion."""
    index: dict[Node, int] = {}
    low: dict[Node, int] = {}
    stack: list[Body] = []
    on_stack: set[Node] = set()
    work: list[tuple[Body, Iterator[Call]]] = []

    def enter(body: Body) -> None:
        index[body.node] = low[body.node] = len(index)
        stack.append(body)
        on_stack.add(body.node)
        work.append((body, iter(calls_of(body))))

    enter(start)
    while work:
        body, calls = work[-1]
        for call in calls:
            inner = call.body.node
            if inner in known:
                continue
            if inner not in index:
                enter(call.body)
                break
            if inner in on_stack:
                low[body.node] = min(low[body.node], index[inner])
        else:
            work.pop()
            if work:
                above = work[-1][0].node
                low[above] = min(low[above], low[body.node])
            if low[body.node] == index[body.node]:
                at = next(i for i, b in enumerate(stack) if b.node is body.node)
                group = stack[at:]
                del stack[at:]
                on_stack.difference_update(b.node for b in group)
                _settle(group, known)


def _settle(group: list[Body], known: dict[Node, Events]) -> None:
    """Compute the events of functions that call each other, until nothing is added."""
    group.sort(key=lambda b: (b.file.path, b.node.start))
    for body in group:
        known[body.node] = {}
    alone = len(group) == 1 and all(c.body.node is not group[0].node for c in calls_of(group[0]))
    for _ in range(1 if alone else _ROUNDS):
        before = [len(known[b.node]) for b in group]
        for body in group:
            known[body.node] = _combined(body, known)
        if [len(known[b.node]) for b in group] == before:
            return


def _combined(body: Body, known: dict[Node, Events]) -> Events:
    """Return a body's own events and those of its calls, as a caller sees them."""
    found: Events = {}
    for event in events_of(body):
        _add(found, _told(body, event))
    for call in calls_of(body):
        events = known.get(call.body.node) if call.runs else None
        if events:
            released = released_before(body, call.at)
            for event in _through(body, call, events, known):
                if event.kind == "acquire" and is_made_here(body.file, call.at, event.access):
                    continue  # the lock of an object that no caller knows
                if released:
                    event = replace(event, without=event.without | released)
                _add(found, event)
    return found


def _told(body: Body, event: Event) -> Event:
    released = released_before(body, event.path[0])
    return replace(event, without=event.without | released) if released else event


def _add(events: Events, event: Event) -> None:
    if event.kind == "acquire" and ANY in event.without:
        return  # the caller's own lock, given back and taken again
    old = events.get(event.key)
    if old is None:
        if len(events) < _MOST:
            events[event.key] = event
    elif (event.sure, -len(event.path)) > (old.sure, -len(old.path)):
        events[event.key] = event


# --- one call ----------------------------------------------------------------------------


def _through(body: Body, call: Call, events: Events, known: dict[Node, Events]) -> Iterator[Event]:
    """Yield the events of a call in the terms of the body that makes it."""
    sure = call.sure and not (events and depends_on_flag(body, call.at))
    for event in events.values():
        if len(event.path) >= (_FURTHEST_BLOCK if event.kind == "block" else _FURTHEST):
            continue
        if event.kind == "param":
            yield from _of_argument(body, call, event, known)
            continue
        at = event.path[0]
        access = translated(body.file, call.call, call.body.node, event.access, call.extra, at)
        class_ = event.lock_class
        if event.access is not None and not event.access.steps and call.call is not None:
            class_ = _class_here(body, call, event.access) or class_
        if access is None and (class_ is None or (":" in class_ and event.mode != "wait")):
            continue  # a variable of a function that nobody else can name
        held = _held_here(body, call, event) if event.held else event.held
        path = (call.at, *event.path)
        # Not `replace`, which takes three times as long: this runs for every event of a call.
        yield Event(
            event.kind, event.mode, class_, access, path, event.sure and sure, held, event.without
        )


def _held_here(body: Body, call: Call, event: Event) -> frozenset[Held]:
    return frozenset(
        Held(access, h.mode, h.lock_class)
        for h in event.held
        if (
            access := translated(
                body.file, call.call, call.body.node, h.access, call.extra, event.path[0]
            )
        )
        if not any(map(is_kept_step, access.steps))
    )


def _class_here(body: Body, call: Call, access: Access) -> str | None:
    """Return the class of a lock or channel that was passed as a parameter."""
    if not isinstance(access.root, Binding) or call.call is None:
        return None
    argument = argument_of(call.call, call.body.node, access.root)
    return lock_class(body.file, argument) if argument is not None else None


def _of_argument(
    body: Body, call: Call, event: Event, known: dict[Node, Events]
) -> Iterator[Event]:
    """Yield what a function that was passed as an argument does when the callee calls it."""
    arguments = call.at["arguments"].children
    position = int(event.mode)
    if call.call is None or position >= len(arguments):
        return
    value = unconverted(body.file, arguments[position])
    held = _held_here(body, call, event)
    binding = body.file.binding(value)
    index = position_of(body.node, binding) if binding is not None else None
    if index is not None:
        path = (call.at, *event.path)
        yield replace(event, mode=str(index), held=held, path=path)
        return
    inner = bodies_of_value(body.file, value).certain
    for passed in known.get(inner.node, {}).values() if inner is not None else ():
        if passed.kind == "param" or len(passed.path) + len(event.path) >= _FURTHEST:
            continue
        assert inner is not None
        access = _in_callback(body, call, event, inner, passed.access)
        if inner.decl is not None and access is passed.access:
            # The object of a method that a field keeps is not the one that has the field.
            kept = is_kept(body.file, value)
            access = None if kept else _of_method_value(body.file, value, access)
        yield replace(
            passed,
            access=access,
            path=(call.at, *event.path, *passed.path),
            sure=event.sure and passed.sure and call.sure,
            held=held,
        )


def _in_callback(
    body: Body, call: Call, event: Event, inner: Body, access: Access | None
) -> Access | None:
    """Return what a callback's own parameter means: what the callee passes, to its caller.

    `s.update(func(x *S) { x.get() })`, where update calls `fn(s)`: `x` is `s`.
    """
    root = access.root if access is not None else None
    if not isinstance(root, Binding) or root.scope is not inner.node or len(event.path) != 1:
        return access
    if root.kind != "parameter":
        return access
    given = translated(call.body.file, event.operation, inner.node, access)
    return translated(body.file, call.call, call.body.node, given, call.extra)


def _of_method_value(file: GoFile, value: Node, access: Access | None) -> Access | None:
    """Return a method's access path as it reads at the method value `x.m`."""
    if access is None or not isinstance(access.root, Binding):
        return access
    if access.root.kind != "receiver" or value.kind != "selector_expression":
        return None
    selection = file.selection(value)
    base = access_of(file, value["operand"], selection.via if selection else ())
    return Access(base.root, base.steps + access.steps) if base is not None else None
