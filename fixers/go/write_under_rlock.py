"""Take the write lock to write

The field (or package variable) is changed while only the read lock is held. Readers do not
keep each other out: two of them may change the field at once, or one changes it while
another reads. On a map that ends the process, on a counter it loses updates. A method that
moves an element of a list or writes to a buffer changes it as well (`order.MoveToFront(e)`),
and so does one of the project that writes the fields of its object and takes no lock.

Not reported: a write under a second lock that is held as well (a cache that readers fill
lazily), or inside `once.Do`; objects that nobody else knows yet; writes through a pointer to
another object; a function whose comment, or one in it, says that its calls come one after the
other; a field that only the one goroutine of its object uses, or that nobody else holds the lock
for. Hints only: a lock of what the object leads to, or that it was handed, and a field that the
function also writes without the lock.

Unsafe: when the section waits for others, who may want to read meanwhile.

Without a fix: a read lock that is taken again further in, or whose releases are not clear.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from threadmend.golang.callers_locks import caller_classes
from threadmend.golang.calls import own_callers
from threadmend.golang.captured import called_writer
from threadmend.golang.effects import pairs_of
from threadmend.golang.field_accesses import FieldAccess, accesses_like
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Point
from threadmend.golang.functions import doc_of, outer_function
from threadmend.golang.goroutines import innermost_loop, started_by
from threadmend.golang.guards import guarded_places
from threadmend.golang.lock_calls import helped_locks, spelled
from threadmend.golang.locks import (
    LOCK_CALLS,
    Held,
    LockOperation,
    Locks,
    declaration_of,
    lock_name,
)
from threadmend.golang.other_locks import is_borrowed
from threadmend.golang.package import Package
from threadmend.golang.pauses import pauses
from threadmend.golang.scope import Binding
from threadmend.golang.self_changes import changed_by_method
from threadmend.golang.setup import runs_once
from threadmend.golang.syntax import Node
from threadmend.golang.types import Interface, Named, Pointer
from threadmend.golang.unseen_locks import holds_unseen_lock
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._read_locked_callers import ReadLocked, read_locked_callers

CATEGORY = "mutex"
GATE = rb"\.RLock\(\)"


def check(package: Package) -> Iterator[Finding]:
    """Yield the writes that are made under a read lock: of a part of a struct, that alone."""
    found = {(f.path, f.start): f for f in sorted(_found(package), key=lambda f: f.end)}
    yield from found.values()


def _found(package: Package) -> Iterator[Finding]:
    seen: set[tuple[Node | None, str]] = set()
    for place, accesses in guarded_places(package).items():
        for access in accesses:
            if (access.node.function, place) in seen or not _is_unprotected(access):
                continue
            lock = _read_lock(access, accesses)
            above = read_locked_callers(access) if lock is None or not _is_taken(access) else []
            lock = lock or _most_held((one.lock for one in above), accesses)
            above = [a for a in above if lock is None or a.lock.lock_class == lock.lock_class]
            if lock is None or _is_another_s(lock, access, accesses):
                continue
            if not access.writes and _is_elsewhere(lock, access):
                continue  # what a method changes of a part of one variable, under another's lock
            if _is_of_one_goroutine(access):
                continue
            seen.add((access.node.function, place))
            yield _finding(access, lock, above)


def _is_unprotected(access: FieldAccess) -> bool:
    """Return whether an access changes what others may use, without a write lock."""
    if not _changes(access) or access.fresh or runs_once(access.node) or _is_serial(access):
        return False
    if access.setup and not _is_taken(access):
        return False  # a constructor's helper has the lock only because its own helpers want it
    if any(h.mode == "write" for h in access.held):
        return False
    return not holds_unseen_lock(access.file, access.node)


def _changes(access: FieldAccess) -> bool:
    return (
        access.writes
        or bool(called_writer(access.file, access.node))
        or changed_by_method(access.file, access.node)
    )


def _read_lock(access: FieldAccess, accesses: Sequence[FieldAccess]) -> Held | None:
    """Return the read lock of the same object that is all that a write holds.

    Of several, the one that most others hold.
    """
    return _most_held([h for h in access.held if access.belongs(h)], accesses)


def _most_held(locks: Iterable[Held], accesses: Sequence[FieldAccess]) -> Held | None:
    def order(lock: Held) -> tuple[int, str]:
        holders = sum(any(h.lock_class == lock.lock_class for h in a.held) for a in accesses)
        return (-holders, str(lock.access))

    return min(locks, key=order, default=None)


def _is_taken(access: FieldAccess) -> bool:
    """Return whether the function itself holds a lock."""
    return bool(access.held_here)


def _is_another_s(lock: Held, access: FieldAccess, accesses: Sequence[FieldAccess]) -> bool:
    """Return whether the lock is for what else the function reads: nobody holds it who uses
    the field, here and there, or some hold another one of the object instead; or nobody else uses
    it, and the function does without the lock, too.
    """
    function = access.node.function
    rest = [a for a in accesses if a.node.function is not function and not a.fresh]
    others = [a for a in rest if not a.setup]
    if not others:
        own = (a for a in accesses if a.node.function is function and a.writes)
        if any(lock.lock_class not in {h.lock_class for h in a.held} for a in own):
            return True
    held = {h.lock_class for a in rest for h in a.held if a.belongs(h)}
    if lock.lock_class in {h.lock_class for a in others for h in a.held}:
        return False
    return len(others) > 1 or bool(held - {lock.lock_class})


def _is_elsewhere(lock: Held, access: FieldAccess) -> bool:
    """Return whether a lock and a field belong to different variables of a package."""
    if access.base is None or isinstance(access.base.root, Binding):
        return False
    return not isinstance(lock.access.root, Binding) and lock.access.root != access.base.root


_DEPTH = 4  # calls between a goroutine and an access

_SAYS = re.compile(
    rb"(?i)\bsynchroni|\bserial|\bnot? concurrent|\b(?:one|single) (?:goroutine|thread|writer)\b"
    rb"|\b(?:one|single) producer\b"
)


def _is_serial(access: FieldAccess) -> bool:
    """Return whether a comment says that calls come one after the other: the function's, or one
    that stands in it, above the access.
    """
    function = outer_function(access.node)
    if function is None:
        return False
    inside = access.file.tree.comments_in(function.start, access.node.start)
    return _SAYS.search(doc_of(function)) is not None or any(
        _SAYS.search(access.file.data, c.start, c.end) for c in inside
    )


def _is_of_one_goroutine(access: FieldAccess) -> bool:
    """Return whether the goroutine of an object is the only one that uses the field.

    `go db.run()`, launched in one place, calls whoever reads and writes it.
    """
    users = accesses_like(access.file.package, access.file, access.node)
    return (
        _common((a.file, outer_function(a.node), _DEPTH) for a in users if not (a.setup or a.fresh))
        is not None
    )


def _common(runs: Iterable[tuple[GoFile, Node | None, int]]) -> Node | None:
    """Return the runner that functions have in common; asks no further than the first other."""
    common: Node | None = None
    for file, function, depth in runs:
        runner = _runner(file, function, depth)
        if runner is None or common not in {None, runner}:
            return None
        common = runner
    return common


def _runner(file: GoFile, function: Node | None, depth: int) -> Node | None:
    """Return the method whose single launch runs a function, for all that the package shows."""
    known: dict[tuple[Node | None, int], Node | None] = file.package.facts.setdefault("runners", {})
    key = (function, depth)
    if key not in known:
        known[key] = None
        known[key] = _found_runner(file, function, depth)
    return known[key]


def _found_runner(file: GoFile, function: Node | None, depth: int) -> Node | None:
    decl = declaration_of(file, function) if function is not None else None
    if decl is None or depth == 0:
        return None
    if decl.exported:
        return function if decl.kind == "method" and _is_endless(decl.node) else None
    sites = list(own_callers(decl, LOCK_CALLS))
    start = started_by(decl, sites[0]) if len(sites) == 1 else None
    if start is not None and innermost_loop(start) is None:
        return function
    if not sites or any(s.launched or s.call is None for s in sites):
        return None
    return _common((s.file, s.node.function, depth - 1) for s in sites)


def _is_endless(function: Node) -> bool:
    """Return whether a function is a loop that only its end leaves: an object runs it once."""
    last = function["body"].statements[-1:]
    return (
        bool(last)
        and last[0].kind == "for_statement"
        and last[0].children[1:2] == [last[0]["body"]]
    )


def _finding(access: FieldAccess, lock: Held, above: list[ReadLocked]) -> Finding:
    file, node = access.file, access.node
    function = node.function
    assert function is not None
    name = lock_name(above[0].file, above[0].lock) if above else lock_name(file, lock)
    if above:
        fix, reason, related = _fix_above(above)
    else:
        locks = helped_locks(file, function)
        taken = _taken(locks, lock, node)
        fix, reason, related = None, f"{name} is read-locked by the callers", ()
        if taken is not None:
            edits, reason = _edits(file, locks, lock, taken)
            if edits:
                safety, why = Safety.SAFE, ""
                if _waits(file, locks, taken):
                    safety, why = Safety.UNSAFE, "readers are kept out while the section waits"
                fix = Fix(f"Lock {name} for writing", edits, safety, why)
            related = (_place(file, taken.call, "read lock taken here"),)
    return Finding(
        path=file.path,
        start=node.start,
        end=node.end,
        message=f"{node.name} is written while {name} is only held for reading",
        fixes=(fix,) if fix is not None else (),
        related=related,
        reason=reason,
        confidence=_confidence(access, lock),
    )


def _waits(file: GoFile, locks: Locks, taken: LockOperation) -> bool:
    """Return whether a section waits for others, who may want to read meanwhile."""
    flow, start = locks.flow, locks.flow.point_of(taken.call)
    releases = {flow.point_of(o.call) for o in locks.operations if o.releases and not o.deferred}
    if start is None:
        return False
    section = flow.reachable(start, stop=releases.__contains__)
    return not section.isdisjoint(pauses(file, flow.function))


def _confidence(access: FieldAccess, lock: Held) -> Confidence:
    if _is_of_another_object(access) or is_borrowed(access, lock):
        return Confidence.LOW
    if access.writes and _is_written_without(access, lock):
        return Confidence.LOW
    return Confidence.HIGH


def _is_written_without(access: FieldAccess, lock: Held) -> bool:
    """Return whether the function also writes the field without the lock: that is for the rest."""
    others = accesses_like(access.file.package, access.file, access.node)
    return any(
        other.writes
        and not other.fresh
        and other.node.function is access.node.function
        and lock.lock_class not in {h.lock_class for h in other.held}
        and lock.lock_class not in _above(other)
        for other in others
        if other.node is not access.node
    )


def _above(access: FieldAccess) -> frozenset[str]:
    function = outer_function(access.node)
    return caller_classes(access.file, function) if function is not None else frozenset()


def _is_of_another_object(access: FieldAccess) -> bool:
    """Return whether a method only changes what an interface or pointer in the field leads to.

    The lock is for the field: what that leads to may well be for one user at a time.
    """
    if access.writes or called_writer(access.file, access.node):
        return False
    type_ = access.file.type_of(access.node)
    under = access.file.underlying(type_)
    if isinstance(under, Pointer):
        named = under.elem
        return not isinstance(named, Named) or named.package != access.file.package.key
    return isinstance(under, Interface)


def _place(file: GoFile, node: Node, message: str) -> Related:
    return Related(file.path, node.start, node.end, message)


def _fix_above(above: list[ReadLocked]) -> tuple[Fix | None, str, tuple[Related, ...]]:
    """Return the fix that takes the write lock in every caller that only takes the read lock."""
    related = tuple(_place(a.file, a.call, "called under the read lock") for a in above)
    name = lock_name(above[0].file, above[0].lock)
    edits: list[Edit] = []
    for one in above:
        function = one.call.function
        locks = helped_locks(one.file, function) if function is not None else None
        taken = _taken(locks, one.lock, one.call) if locks is not None else None
        if locks is None or taken is None:
            return None, f"{name} is read-locked by the callers", related
        found, reason = _edits(one.file, locks, one.lock, taken)
        if not found:
            return None, reason, related
        edits += found
    return Fix(f"Lock {name} for writing", tuple(dict.fromkeys(edits))), "", related


def _taken(locks: Locks, lock: Held, node: Node) -> LockOperation | None:
    """Return the RLock of the function itself that is in force at a node."""
    best = None
    for operation in locks.operations:
        if operation.method == "RLock" and operation.access == lock.access:
            if operation.call.start < node.start:
                best = operation
    return best


def _edits(
    file: GoFile, locks: Locks, lock: Held, taken: LockOperation
) -> tuple[tuple[Edit, ...], str]:
    """Take and release the write lock instead; without edits, the reason why not.

    Sound: the critical section is the same, and it keeps out all that the read lock kept
    out; nothing inside of it takes the lock again, so it cannot wait for itself. (Of what an
    interface may lead to, the method itself is not it: that would wrap its own object.)
    """
    name = lock_name(file, lock)
    for pair in pairs_of(file, locks.function):
        if pair.held.access == lock.access and pair.event.lock_class == lock.lock_class:
            if pair.event.kind == "acquire" and (pair.same or pair.event.sure):
                return (), f"{name} is taken again while it is held"
    releases = _releases(locks, taken)
    if releases is None:
        return (), f"which releases belong to this lock of {name} is not clear"
    edits = []
    for operation in (taken, *releases):
        call = operation.call
        new = spelled(file, operation, operation.method.removeprefix("R")).encode()
        edits.append(Edit(file.path, call.start, call.end, new))
    return tuple(edits), ""


def _releases(locks: Locks, taken: LockOperation) -> list[LockOperation] | None:
    """Return the releases of one acquisition, None when another shares them."""
    flow = locks.flow
    same = [o for o in locks.operations if o.access == taken.access]
    point = flow.point_of(taken.call)
    if point is None or not flow.complete:
        return None
    found = _reached(locks, same, point)
    for other in same:
        if other is taken or other.releases:
            continue
        start = flow.point_of(other.call)
        if start is None or other.tries:
            return None
        if set(map(id, _reached(locks, same, start))) & set(map(id, found)):
            return None
    if any(o.method != "RUnlock" for o in found) or not found:
        return None
    return found


def _reached(locks: Locks, same: list[LockOperation], start: Point) -> list[LockOperation]:
    """Return the releases that may follow an acquisition before the next one."""
    flow = locks.flow
    points = {p: o for o in same if (p := flow.point_of(o.call)) is not None}
    others = {p for p, o in points.items() if p is not start}
    reached = flow.reachable(start, stop=others.__contains__, feasible=False)
    found = []
    for point, operation in points.items():
        if operation.releases and any(p in reached or p is start for p in point.predecessors):
            found.append(operation)
    return found
