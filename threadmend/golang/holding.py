"""Holding: which locks a function certainly holds at a node, wrappers and new objects counted.

More than `Locks.held_before`: a helper that only locks, or only unlocks, counts as the
operation that it makes; an assignment to a name on a lock's path ends what is known about
it, so that two rounds of a loop speak of two objects; a deferred call runs with what the
defers below it have not released yet.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of
from threadmend.golang.flow import Point
from threadmend.golang.lock_helpers import net_acquires
from threadmend.golang.locks import Held, LockOperation, locks_of
from threadmend.golang.releases import net_releases, released_classes
from threadmend.golang.syntax import Node
from threadmend.golang.wording import bind

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.flow import Label

__all__ = ["Holding", "holding_of"]

_UNLOCK_NAME = re.compile(r"(?i)unlock|release")
_WORD = re.compile(r"\w+")


class Holding:
    """What one function holds at its nodes."""

    def __init__(self, file: GoFile, function: Node) -> None:
        self.file = file
        self.function = function
        self.locks = locks_of(file, function)

    @cached_property
    def _effects(self) -> dict[Point, list[LockOperation | tuple[str, frozenset[Held]]]]:
        """What each point does to the lockset, in order."""
        flow = self.locks.flow
        found: dict[Point, list[LockOperation | tuple[str, frozenset[Held]]]] = {}
        operations = {o.call: o for o in self.locks.operations if o.deferred is None}
        wrappers = net_acquires(self.file.package)
        releasing = net_releases(self.file.package)
        for point in flow.points:
            for node in point.own():
                if node.kind != "call_expression" or _is_deferred(node):
                    continue
                operation = operations.get(node)
                if operation is not None:
                    found.setdefault(point, []).append(operation)
                    continue
                decl = self.file.callee(node) if wrappers or releasing else None
                name = _last_name(node)
                if decl is not None and decl.key in wrappers:
                    taken = bind(self.file, node, decl.node, wrappers[decl.key])
                    found.setdefault(point, []).append(("take", taken))
                elif decl is not None and decl.key in releasing:
                    classes = released_classes(self.file, node, decl, releasing[decl.key])
                    gone = frozenset(h for h in self._all_held if h.lock_class in classes)
                    found.setdefault(point, []).append(("drop", gone))
                elif _UNLOCK_NAME.search(name) and not _is_seen(self.file, node):
                    found.setdefault(point, []).append(("drop", self._given_back_by(point)))
        for declaration, held in self.locks.handed:
            declared = flow.point_of(declaration)
            if declared is not None:
                found.setdefault(declared, []).append(("take", frozenset({held})))
        return found

    def _given_back_by(self, point: Point) -> frozenset[Held]:
        """Return the locks that a call of unseen code may release, told by its name.

        Not those that the function itself releases afterwards: nobody unlocks twice.
        """
        after = self.locks.flow.reachable(point)
        kept = {
            o.access
            for o in self.locks.operations
            if o.releases and (o.deferred is not None or self.locks.flow.point_of(o.call) in after)
        }
        return frozenset(h for h in self._all_held if h.access not in kept)

    @cached_property
    def _all_held(self) -> frozenset[Held]:
        wrappers = net_acquires(self.file.package)
        found = {o.held for o in self.locks.operations if o.held is not None}
        found |= self.locks.given | {held for _, held in self.locks.handed}
        if wrappers:
            for node in self.function.own():
                if node.kind == "call_expression":
                    decl = self.file.callee(node)
                    if decl is not None and decl.key in wrappers:
                        found |= bind(self.file, node, decl.node, wrappers[decl.key])
        return frozenset(found)

    @cached_property
    def given_back(self) -> frozenset[Access]:
        """Return the locks that helpers release which the function calls or defers.

        `defer s.hold()()` releases what `hold` takes: it returns the release.
        """
        releasing, wrappers = net_releases(self.file.package), net_acquires(self.file.package)
        found: set[Access] = set()
        if not self._all_held or not (releasing or wrappers):
            return frozenset()
        for node in self.function.own():
            if node.kind != "call_expression":
                continue
            decl = self.file.callee(node)
            if decl is not None and decl.key in releasing:
                classes = released_classes(self.file, node, decl, releasing[decl.key])
                found |= {h.access for h in self._all_held if h.lock_class in classes}
            elif decl is not None and decl.key in wrappers and node.field == "function":
                taken = bind(self.file, node, decl.node, wrappers[decl.key])
                found |= {h.access for h in taken}
        return frozenset(found)

    @cached_property
    def _states(self) -> dict[Point, frozenset[Held]]:
        if not self._all_held:
            return {}
        effects = self._effects

        def transfer(point: Point, held: frozenset[Held]) -> frozenset[Held]:
            if held:
                held = frozenset(h for h in held if not _reassigned(self.file, point, h.access))
            for effect in effects.get(point, ()):
                held = _after(effect, held)
            return held

        def branch(point: Point, label: Label, held: frozenset[Held]) -> frozenset[Held]:
            for effect in effects.get(point, ()):
                if isinstance(effect, LockOperation) and effect.tries and effect.held:
                    negated = point.node.kind == "unary_expression"
                    if label == ("false" if negated else "true"):
                        held |= {effect.held}
            return held

        return self.locks.flow.solve(self.locks.given, transfer, frozenset.intersection, branch)

    def at(self, node: Node) -> frozenset[Held]:
        """Return the locks that are certainly held when a node runs."""
        if not self._all_held:
            return frozenset()
        point = self.locks.flow.point_of(node)
        if point is None:
            return frozenset()
        held = self._states.get(point, frozenset())
        for effect in self._effects.get(point, ()):
            if isinstance(effect, LockOperation) and effect.call.end <= node.start:
                held = _after(effect, held)
        if _is_deferred(node):
            held = self._when_deferred(node, point, held)
        return held

    def _when_deferred(self, call: Node, point: Point, held: frozenset[Held]) -> frozenset[Held]:
        """Return what is still held when a deferred call runs.

        A lock that is held at the defer statement, that nothing but a deferred release
        further up gives back: defers run last in, first out.
        """
        flow = self.locks.flow
        found = set()
        for lock in held:
            releases = [o for o in self.locks.operations if o.releases and o.access == lock.access]
            before = [
                o
                for o in releases
                if o.deferred is not None
                and o.deferred.end <= call.start
                and (p := flow.point_of(o.call)) is not None
                and flow.dominates(p, point)
            ]
            if before and len(before) == len(releases):
                found.add(lock)
        return frozenset(found)

    def taken_at(self, lock: Held, node: Node) -> Node | None:
        """Return the call that took a lock which is held at a node: the last one above it."""
        best = None
        for operation in self.locks.operations:
            if operation.acquires and operation.access == lock.access:
                if operation.call.start < node.start and operation.call is not node:
                    best = operation.call
        if best is not None:
            return best
        wrappers = net_acquires(self.file.package)
        for call in self.function.own():
            if call.kind == "call_expression" and call.start < node.start:
                decl = self.file.callee(call)
                if decl is not None and decl.key in wrappers:
                    if lock in bind(self.file, call, decl.node, wrappers[decl.key]):
                        best = call
        return best


def holding_of(file: GoFile, function: Node) -> Holding:
    """Return what a function holds; computed once per file object."""
    known: dict[Node, Holding] = vars(file).setdefault("_holding", {})
    found = known.get(function)
    if found is None:
        found = known[function] = Holding(file, function)
    return found


def _after(
    effect: LockOperation | tuple[str, frozenset[Held]], held: frozenset[Held]
) -> frozenset[Held]:
    if isinstance(effect, tuple):
        return held | effect[1] if effect[0] == "take" else held - effect[1]
    if effect.acquires and effect.held is not None:
        return held | {effect.held}
    if effect.releases:
        if effect.access is None:
            return frozenset(h for h in held if h.lock_class != effect.lock_class)
        return frozenset(h for h in held if h.access != effect.access)
    return held


def _is_deferred(call: Node) -> bool:
    return call.parent is not None and call.parent.kind in {"defer_statement", "go_statement"}


def _is_seen(file: GoFile, call: Node) -> bool:
    """Return whether the body of what a call runs is at hand, so that `releases` has read it."""
    decl = file.callee(call)
    return decl is not None and decl.node.get("body") is not None


def _last_name(call: Node) -> str:
    function = call["function"]
    last = function.get("field") if function.kind == "selector_expression" else function
    return last.name if last is not None and last.kind != "func_literal" else ""


_ASSIGNS = frozenset(
    {"short_var_declaration", "assignment_statement", "range_clause", "inc_statement"}
    | {"dec_statement", "var_declaration", "receive_statement"}
)


def _reassigned(file: GoFile, point: Point, access: Access) -> bool:
    """Return whether a point gives a name on a lock's path another value."""
    node = point.node
    if node.kind not in _ASSIGNS:
        return False
    if node.kind in {"inc_statement", "dec_statement"}:
        targets = list(node.children[:1])
    elif node.kind == "var_declaration":
        targets = [name for spec in node.find("var_spec") for name in spec.all("name")]
    else:
        left = node.get("left")
        targets = list(left.children) if left is not None else []
    for target in targets:
        if target.kind == "identifier":
            binding = file.binding(target)
            if binding is None:
                continue
            if binding is access.root:
                return True
            if any(s.startswith("[") and target.name in _WORD.findall(s) for s in access.steps):
                return True
        elif target.kind in {"selector_expression", "index_expression"} and access.steps:
            path = access_of(file, target)
            if path is not None and path.steps and access.under(path):
                return True
    return False
