"""Holding: which locks a function certainly holds at a node, wrappers and new objects counted.

More than `Locks.held_before`: a helper that only locks, or only unlocks, counts as the
operation that it makes; an assignment to a name on a lock's path ends what is known about
it, so that two rounds of a loop speak of two objects; a deferred call runs with what the
defers below it have not released yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of
from threadmend.golang.backrefs import homeward
from threadmend.golang.flow import Point
from threadmend.golang.locks import Held, LockOperation, locks_of
from threadmend.golang.releases import net_releases
from threadmend.golang.scope import Binding, argument_of
from threadmend.golang.selfrefs import without_detours
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.flow import Label
    from threadmend.golang.package import Decl, Package

__all__ = ["Holding", "bind", "holding_of", "net_acquires"]

_TAKES = re.compile(rb"\.R?Lock\(\)")
_GIVES = re.compile(rb"Unlock|\bdefer\b")
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
                    gone = frozenset(
                        h for h in self._all_held if h.lock_class in releasing[decl.key]
                    )
                    found.setdefault(point, []).append(("drop", gone))
                elif _UNLOCK_NAME.search(name):
                    found.setdefault(point, []).append(("drop", self._all_held))
        return found

    @cached_property
    def _all_held(self) -> frozenset[Held]:
        wrappers = net_acquires(self.file.package)
        found = {o.held for o in self.locks.operations if o.held is not None} | self.locks.given
        if wrappers:
            for node in self.function.own():
                if node.kind == "call_expression":
                    decl = self.file.callee(node)
                    if decl is not None and decl.key in wrappers:
                        found |= bind(self.file, node, decl.node, wrappers[decl.key])
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


def net_acquires(package: Package) -> dict[tuple[str, int], frozenset[Held]]:
    """Return, by `Decl.key`, the locks that a function takes and leaves to its caller.

    Only helpers without a branch and without any release: `func (s *T) lock() { s.mu.Lock() }`,
    one that calls such a helper, or one that returns `s.mu.Unlock`.
    """
    known: dict[tuple[str, int], frozenset[Held]] | None = package.facts.get("net_acquires")
    if known is not None:
        return known
    found: dict[tuple[str, int], frozenset[Held]] = {}
    package.facts["net_acquires"] = found
    for decl in _only_taking(package, _TAKES):
        operations = locks_of(decl.file, decl.node).operations
        body = decl.node["body"]
        if any(o.call.up("block") is not body for o in operations):
            continue
        held = frozenset(o.held for o in operations if o.acquires and o.held is not None)
        if held and not any(o.releases for o in operations):
            found[decl.key] = held
    names = {decl.name for decl in package.functions() if decl.key in found}
    if names:
        words = "|".join(map(re.escape, sorted(names)))
        for decl in _only_taking(package, re.compile(rf"\.(?:{words})\(".encode())):
            held = _through(decl, found)
            if held:
                found[decl.key] = found.get(decl.key, frozenset()) | held
    return found


def _only_taking(package: Package, takes: re.Pattern[bytes]) -> Iterator[Decl]:
    """Yield the short functions in which a pattern is found, and no release."""
    for decl in package.functions():
        start, end = decl.span
        data = decl.file.data
        if end - start <= 800 and decl.sound and decl.has_body and takes.search(data, start, end):
            given = [m.start() for m in _GIVES.finditer(data, start, end)]
            last = decl.node["body"].statements[-1:] if given else []
            if not given or (last and _returns_release(last[0], given)):
                yield decl


def _returns_release(last: Node, given: list[int]) -> bool:
    """Return whether releases, by their places, are all in what the last statement returns."""
    if last.kind != "return_statement" or b"defer" in last.text:
        return False
    return all(last.start < at < last.end for at in given)


def _through(decl: Decl, known: dict[tuple[str, int], frozenset[Held]]) -> frozenset[Held]:
    """Return the locks that a function's statements take by calls of helpers."""
    held: frozenset[Held] = frozenset()
    for statement in decl.node["body"].statements:
        call = statement.children[0] if statement.kind == "expression_statement" else None
        if call is None or call.kind != "call_expression":
            continue
        callee = decl.file.callee(call)
        if callee is not None and callee.key in known and callee.key != decl.key:
            held |= bind(decl.file, call, callee.node, known[callee.key])
    return held


def bind(file: GoFile, call: Node, body: Node, held: frozenset[Held]) -> frozenset[Held]:
    """Return locks in the words of a caller: what the body's receiver and parameters are there.

    Locks of the body's own variables are left out.
    """
    found = set()
    for lock in held:
        access = translated(file, call, body, lock.access)
        if access is not None:
            found.add(Held(access, lock.mode, lock.lock_class))
    return frozenset(found)


_LONGEST = 6  # steps of a path; a recursion through `next` would grow it for ever


def translated(
    file: GoFile,
    call: Node | None,
    body: Node,
    access: Access | None,
    extra: Mapping[Binding, Access | None] | None = None,
) -> Access | None:
    """Return a callee's access path in the caller's terms, None when it has none there."""
    if access is None:
        return None
    root = access.root
    if not isinstance(root, Binding):
        return access
    if extra and root in extra:
        base: Access | None = extra[root]
    elif not body.contains(root.scope):
        return access  # captured: the same variable
    elif call is None or root.scope is not body:
        return None
    else:
        base = _given(file, call, body, root)
    if base is None or len(base.steps) + len(access.steps) > _LONGEST:
        return None
    return without_detours(file, homeward(file, Access(base.root, base.steps + access.steps)))


def _given(file: GoFile, call: Node, body: Node, root: Binding) -> Access | None:
    """Return what a call gives for a receiver or parameter; every event of a callee asks."""
    known: dict[tuple[Node, Binding], Access | None] = file.package.facts.setdefault("given", {})
    key = (call, root)
    if key not in known:
        known[key] = _find_given(file, call, body, root)
    return known[key]


def _find_given(file: GoFile, call: Node, body: Node, root: Binding) -> Access | None:
    if root.kind == "receiver":
        function = call["function"]
        if function.kind != "selector_expression":
            return None
        selection = file.selection(function)
        via = selection.via if selection is not None else ()
        return access_of(file, function["operand"], via)
    argument = argument_of(call, body, root)
    return access_of(file, argument) if argument is not None else None
