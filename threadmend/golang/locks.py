"""Locks: the operations of a function, and which locks are certainly held where.

The lockset of a point is what *must* be held there: on every path, in this function, plus what
every caller holds when all callers are known (`entry_locks`).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of, is_assigned_once
from threadmend.golang.flow import Flow, Point, flow_of
from threadmend.golang.inplace import is_called_in_place
from threadmend.golang.lock_operations import (
    LOCK_CALLS,
    LOCK_TYPES,
    Held,
    LockOperation,
    lock_name,
    lock_operation,
)
from threadmend.golang.node import parenthesized
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.flow import Label
    from threadmend.golang.package import Decl

__all__ = [
    "LOCK_CALLS",
    "LOCK_TYPES",
    "Held",
    "LockOperation",
    "Locks",
    "entry_locks",
    "held_inside",
    "held_on_entry",
    "lock_name",
    "lock_operation",
    "locks_of",
    "may_leave",
]

_DEPTH = 3


class Locks:
    """The lock operations of one function and the locks held at its points."""

    def __init__(self, file: GoFile, function: Node) -> None:
        self.file = file
        self.function = function

    @cached_property
    def flow(self) -> Flow:
        """Return the function's control flow."""
        return flow_of(self.function)

    @cached_property
    def operations(self) -> list[LockOperation]:
        """Return the operations of the function itself, literals left out, in source order."""
        if not LOCK_CALLS.search(self.file.data, self.function.start, self.function.end):
            return []
        found = []
        for node in self.function.own():
            if node.kind == "call_expression":
                operation = lock_operation(self.file, node)
                if operation is not None:
                    found.append(operation)
        return found

    @cached_property
    def given(self) -> frozenset[Held]:
        """Return the locks that the function gives back for its caller: it has them at first.

        To release a lock that nobody holds ends the program.
        """
        return frozenset(h for h in self._released_alone if not self._is_own(h))

    @cached_property
    def handed(self) -> tuple[tuple[Node, Held], ...]:
        """Return the locks that calls hand over with their object, and where: `b := s.locked()`.

        The function releases them, and takes none: they are held from the declaration on.
        """
        return tuple(
            (root.declaration, h)
            for h in self._released_alone
            if self._is_own(h)
            and isinstance(root := h.access.root, Binding)
            and any(h.lock_class in self._left_by(v) for v in root.values)
        )

    def _left_by(self, value: Node) -> set[str | None]:
        """Return the classes of the locks with which a call may come back, where it is seen."""
        decl = self.file.callee(value) if value.kind == "call_expression" else None
        if decl is None or not decl.has_body:
            return set()
        return may_leave(decl.file, decl.node)

    @cached_property
    def _released_alone(self) -> frozenset[Held]:
        """Return the locks that the function itself releases at its end, and never takes."""
        body, found = self.function.get("body"), set()
        for operation in self.operations:
            statement = operation.deferred or operation.call.parent
            if operation.releases and operation.access is not None and statement is not None:
                if statement.parent is body and not any(
                    (o.acquires or o.tries) and o.lock_class == operation.lock_class
                    for o in self.operations
                ):
                    found.add(Held(operation.access, operation.mode, operation.lock_class))
        return frozenset(found)

    def _is_own(self, held: Held) -> bool:
        root = held.access.root
        if not isinstance(root, Binding) or root.function is not self.function:
            return False
        return root.kind in {"variable", "result", "range"}

    @cached_property
    def _held(self) -> dict[Point, frozenset[Held]]:
        steps: dict[Point, list[LockOperation]] = {}
        for operation in self.operations:
            point = self.flow.point_of(operation.call)
            if point is not None and operation.deferred is None and operation.access is not None:
                steps.setdefault(point, []).append(operation)
        if not steps:
            return {}

        def transfer(point: Point, held: frozenset[Held]) -> frozenset[Held]:
            for operation in steps.get(point, ()):
                held = _after(operation, held)
            return held

        def branch(point: Point, label: Label, held: frozenset[Held]) -> frozenset[Held]:
            for operation in steps.get(point, ()):
                if operation.tries and operation.held and _taken(operation, point, label):
                    held |= {operation.held}
            return held

        return self.flow.solve(frozenset(), transfer, frozenset.intersection, branch)

    def held_before(self, node: Node) -> frozenset[Held]:
        """Return the locks that this function itself certainly holds when a node runs.

        Operations inside the same statement count when they stand before the node.
        """
        point = self.flow.point_of(node)
        if point is None:
            return frozenset()
        held = self._held.get(point, frozenset())
        for operation in self.operations:
            if operation.call.end <= node.start and operation.deferred is None:
                if self.flow.point_of(operation.call) is point:
                    held = _after(operation, held)
        return held


def _after(operation: LockOperation, held: frozenset[Held]) -> frozenset[Held]:
    if operation.acquires and operation.held is not None:
        return held | {operation.held}
    if operation.releases:
        return frozenset(h for h in held if h.access != operation.access)
    return held


def _taken(operation: LockOperation, point: Point, label: Label) -> bool:
    """Return whether an edge of `if mu.TryLock()` (or `if !mu.TryLock()`) means it was taken."""
    call: Node | None = operation.call
    negated = False
    while call is not None and call is not point.node:
        call = call.parent
        if call is not None and call.kind == "unary_expression" and call["operator"].kind == "!":
            negated = not negated
        elif call is not None and call.kind != "parenthesized_expression":
            return False
    return label == ("false" if negated else "true")


def locks_of(file: GoFile, function: Node) -> Locks:
    """Return the locks of a function; computed once per file object."""
    known: dict[Node, Locks] = vars(file).setdefault("_locks", {})
    found = known.get(function)
    if found is None:
        found = known[function] = Locks(file, function)
    return found


def may_leave(file: GoFile, function: Node) -> set[str | None]:
    """Return the classes of the locks that a function takes, and has on some way out still."""
    locks = locks_of(file, function)
    found = set()
    for taken in locks.operations:
        point = locks.flow.point_of(taken.call) if taken.acquires else None
        same = [o for o in locks.operations if o.releases and o.lock_class == taken.lock_class]
        if point is None or taken.deferred is not None or any(o.deferred for o in same):
            continue
        given = {locks.flow.point_of(o.call) for o in same}
        exits = locks.flow.exits_from(point, stop=given.__contains__)
        if any(e.kind in {"return", "end"} for e in exits):
            found.add(taken.lock_class)
    return found


def held_at(file: GoFile, node: Node) -> frozenset[Held]:
    """Return the locks that are certainly held when a node runs.

    What the function holds, what all its callers hold, for a literal that runs where it
    stands what its surroundings hold, for a deferred one what a defer further up releases, and
    for one that a helper runs (`s.withLock(func() {…})`) what that holds meanwhile.
    """
    from threadmend.golang.lock_runners import held_by_runner

    function = node.function
    if function is None:
        return frozenset()
    held = held_inside(file, node)
    if function.kind == "func_literal":
        if runs_in_place(file, function):
            held |= held_at(file, function)
        elif function.is_deferred:
            held |= _held_at_the_end(file, function)
        elif function.field != "function":
            held |= held_by_runner(file, function)
        return held
    released = {o.access for o in locks_of(file, function).operations if o.releases}
    entry = entry_locks(file, function)
    return held | frozenset(h for h in entry if h.access not in released)


def held_inside(file: GoFile, node: Node) -> frozenset[Held]:
    """Return the locks that the function of a node holds there, helpers that lock counted."""
    from threadmend.golang.holding import holding_of
    from threadmend.golang.lock_helpers import net_acquires

    function = node.function
    if function is None:
        return frozenset()
    locks = locks_of(file, function)
    held = locks.held_before(node)
    # Without one of these, `Holding` knows of no lock that the operations do not tell.
    if locks.given or locks.handed or net_acquires(file.package):
        held |= holding_of(file, function).at(node)
    return held


def _held_at_the_end(file: GoFile, literal: Node) -> frozenset[Held]:
    """Return the locks at a deferred literal that nothing releases before the literal runs."""
    outer = literal.function
    if outer is None:
        return frozenset()
    early = {
        o.access
        for o in locks_of(file, outer).operations
        if o.releases and (o.deferred is None or o.call.start > literal.start)
    }
    return frozenset(h for h in held_at(file, literal) if h.access not in early)


def runs_in_place(file: GoFile, literal: Node) -> bool:
    """Return whether a literal certainly runs where it stands, before the statement ends.

    `func() {…}()`, `once.Do(func() {…})`, `sort.Slice(xs, func…)` and their like, and functions
    of the module that call what they are given and do nothing else with it. Another function value
    is as good as a literal: `fs.WalkDir(fsys, ".", w.visit)`.
    """
    inner = parenthesized(literal)
    outer = inner.parent
    if outer is None:
        return False
    if outer.kind == "call_expression" and inner.field == "function":
        return not outer.runs_later
    call = outer.parent
    if outer.kind != "argument_list" or call is None or call.kind != "call_expression":
        return False
    if call.runs_later:
        return False
    function = call["function"]
    selection = file.selection(function) if function.kind == "selector_expression" else None
    if selection is not None and selection.kind == "package":
        operand = function["operand"]
        path = file.imported(operand.name) if operand.kind == "identifier" else None
        if path in _CALLS_IN_PLACE or f"{path}.{selection.name}" in _FUNCTIONS_IN_PLACE:
            return True
    elif selection is not None:
        owner = f"{selection.owner}" if selection.owner else ""
        if f"{owner}.{selection.name}" in _METHODS_IN_PLACE:
            return True
    return is_called_in_place(file, call, inner)


_CALLS_IN_PLACE = frozenset(
    {"sort", "slices", "maps", "strings", "bytes", "path/filepath", "io/fs"}
)
_FUNCTIONS_IN_PLACE = frozenset(
    {"os.Expand", "runtime/pprof.Do", "expvar.Do", "testing.AllocsPerRun"}
    | {"flag.Visit", "flag.VisitAll"}
)
_METHODS_IN_PLACE = frozenset(
    {"sync.Once.Do", "sync.Map.Range", "container/ring.Ring.Do", "log/slog.Record.Attrs"}
    | {"regexp.Regexp.ReplaceAllFunc", "regexp.Regexp.ReplaceAllStringFunc"}
    | {"flag.FlagSet.Visit", "flag.FlagSet.VisitAll"}
)


def entry_locks(file: GoFile, function: Node, depth: int = _DEPTH) -> frozenset[Held]:
    """Return the locks that every caller holds when a function or method is called.

    Only for unexported functions and methods whose every use in the package is a call; a
    lock counts when it belongs to the receiver (as the callee names it) or to the package.
    """
    decl = declaration_of(file, function)
    if decl is None or depth == 0:
        return frozenset()
    known: dict[tuple[str, int], frozenset[Held]] = file.package.facts.setdefault("entry", {})
    if decl.key in known:
        return known[decl.key]
    known[decl.key] = frozenset()  # a function that calls itself adds nothing
    if not decl.exported or decl.receiver[:1].islower():
        known[decl.key] = _entry(decl, depth)
    return known[decl.key]


def declaration_of(file: GoFile, function: Node) -> Decl | None:
    """Return the package-level declaration of a function or method node."""
    if function.kind == "func_literal":
        return None
    return file.package.function_at(file.path, function.start)


def _entry(decl: Decl, depth: int) -> frozenset[Held]:
    from threadmend.golang.calls import own_callers

    result: frozenset[Held] | None = None
    for site in own_callers(decl, LOCK_CALLS):
        if site.call is None or site.launched:
            return frozenset()
        held = held_on_entry(site.file, site.call, decl)
        result = held if result is None else result & held
        if not result:
            return frozenset()
    return result or frozenset()


def held_on_entry(file: GoFile, call: Node, decl: Decl) -> frozenset[Held]:
    """Return the locks held at a call, in the callee's own terms."""
    held = held_at(file, call)
    if not held:
        return held
    receiver = _receiver(decl)
    if receiver is not None and not is_assigned_once(receiver):
        receiver = None  # `for ; n != nil; n = n.next`: it becomes another object
    bases = _bases(file, call["function"]) if receiver is not None else []
    found = set()
    for lock in held:
        if not isinstance(lock.access.root, Binding):
            found.add(lock)
            continue
        base = next((b for b in bases if lock.access.under(b)), None)
        if base is not None and receiver is not None:
            steps = lock.access.steps[len(base.steps) :]
            found.add(Held(Access(receiver, steps), lock.mode, lock.lock_class))
    return frozenset(found)


def _bases(file: GoFile, function: Node) -> list[Access]:
    """Return the paths of the object whose method is called: `g.entries`, and `g` where the
    method is promoted, whose own locks the part has as well.
    """
    if function.kind != "selector_expression":
        return []
    selection = file.selection(function)
    via = selection.via if selection is not None else ()
    found = [access_of(file, function["operand"], v) for v in ([via, ()] if via else [()])]
    return [b for b in found if b is not None]


def _receiver(decl: Decl) -> Binding | None:
    from threadmend.golang.scope import bindings_in

    for group in bindings_in(decl.node).values():
        for binding in group:
            if binding.kind == "receiver":
                return binding
    return None
