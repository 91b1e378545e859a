"""Release a lock on every path

A path leaves the function (or starts the next round of its loop) with the lock still held.
Nothing happens there and then; the next goroutine that wants the lock waits for ever, and
after it every other. The forgotten path is nearly always an early return that was added
later, for an error or a shortcut. Likewise the function that a helper returns to unlock with,
and the lock that a helper takes for its caller, of an object that it returns, too.

Not reported: a function whose contract is to return locked (its name or comment says so, or
another function of the package only releases the lock; a name alone does not excuse returns
that fail, with an error, after others have released, or where callers release after a
success only, and one like Begin none where others return the same after a release); a lock that
is handed over: to a closure, by its method value or its address, as a part of what is returned,
or with what is sent (another function only releases it); paths that
panic or end the process; conditions that are tested again before the release; a
`defer x.Lock()` that was meant to release (go/lock-mode-mismatch).

Unsafe: when the lock is held at the exit on some paths only, no fix is offered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import (
    BuilderError,
    delete_calls,
    insert_after,
    insert_at_end,
    insert_before,
)
from threadmend.golang.calls import callers
from threadmend.golang.failing import fails
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Exit, Flow, Point
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import LOCK_CALLS, LockOperation, Locks, locks_of
from threadmend.golang.plain import is_plain
from threadmend.golang.releases import (
    hands_over,
    net_releases,
    released_by_calls,
    returns_locked,
    says_locked,
)
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.model import Confidence, Edit, Finding, Fix, Related

from ._another_loop import in_another_loop, in_twin_loop
from ._kept_by_helper import kept_by_helpers
from ._kept_on_failure import released_before, returns_that_fail
from ._own_lock import is_own_lock
from ._release_edits import release_at
from ._released_in_rounds import released_in_rounds
from ._returned_unlock import kept_returned
from ._told_apart import tells_apart

CATEGORY = "mutex"
GATE = rb"\.R?Lock\(\)|\.\w*[lL]ock\w*\(|\.(?:enter|begin|acquire|hold)\w*\("


@dataclass(slots=True)
class _Leak:
    """One acquisition and where the function goes on without the lock's release."""

    locks: Locks
    lock: LockOperation
    point: Point
    releases: dict[Point, LockOperation]
    exits: list[Exit]
    again: bool
    stops: set[Point] = field(default_factory=set)
    on_failure: bool = False

    @property
    def flow(self) -> Flow:
        return self.locks.flow

    @property
    def unlock(self) -> str:
        method = "RUnlock" if self.lock.mode == "read" else "Unlock"
        return f"{self.lock.lock.name}.{method}()"


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the acquisitions from which a path leads out with the lock held."""
    for function in file.functions(LOCK_CALLS):
        locks = locks_of(file, function)
        for lock in locks.operations:
            if lock.acquires and lock.deferred is None and _follows_itself(lock):
                continue
            leak = _leak(file, locks, lock)
            failing = returns_that_fail(file, function, lock, leak.exits) if leak else None
            if leak is not None and failing is not None:
                leak.exits, leak.on_failure = failing, True
            if leak is not None and not _is_contract(file, leak):
                yield _finding(file, leak)
    yield from kept_returned(file)
    yield from kept_by_helpers(file)


def _follows_itself(lock: LockOperation) -> bool:
    """Return whether `defer x.Unlock()` stands right below the Lock: the common, right form.

    Or in one with it, where Lock returns its lock: `defer x.Lock().Unlock()`.
    """
    parent = lock.call.parent
    if parent is not None and parent.kind == "selector_expression":
        return parent["field"].name in {"Unlock", "RUnlock"}
    statement = lock.call.statement
    after = statement.next if statement is not None else None
    if after is None or after.kind != "defer_statement":
        return False
    name = b"RUnlock" if lock.mode == "read" else b"Unlock"
    return after.children[-1].text == lock.lock.text + b"." + name + b"()"


def _leak(file: GoFile, locks: Locks, lock: LockOperation) -> _Leak | None:
    access = lock.access
    if not lock.acquires or lock.deferred is not None or access is None:
        return None
    if isinstance(access.root, Binding) and not is_assigned_once(access.root):
        return None  # hand-over-hand: the name means another object later on
    flow = locks.flow
    point = flow.point_of(lock.call)
    if point is None or not flow.complete or hands_over(file, locks, lock):
        return None
    if any(o.acquires and o.deferred and o.access == access for o in locks.operations):
        return None  # `defer x.Lock()`: a slip for Unlock, and lock-mode-mismatch mends that
    same = [o for o in locks.operations if o.releases and o.access == access]
    releases = {p: o for o in same if (p := flow.point_of(o.call)) and o.deferred is None}
    deferred = {p for d in same if d.deferred and (p := flow.point_of(d.deferred))}
    deferred |= released_by_calls(file, locks, lock)
    if any(point in flow.reachable(p, feasible=False) for p in deferred):
        return None  # a defer further up releases it
    if in_another_loop(lock, same) or in_twin_loop(locks, lock):
        return None  # as often as it was taken, in a loop of its own
    stops = set(releases) | deferred
    again = _taken_again(locks, lock, point, stops)
    if again is None:
        return None  # what is wrong is the second Lock: go/self-deadlock says so
    stops |= again
    reached = flow.exits_from(point, stop=lambda p: p in stops)
    exits = [e for e in reached if e.kind in {"return", "end"}]
    comes_back = point in flow.reachable(point, stop=lambda p: p in stops)
    if not flow.complete or not (exits or comes_back):
        return None
    return _Leak(locks, lock, point, releases, exits, comes_back, stops)


def _taken_again(
    locks: Locks, lock: LockOperation, point: Point, stops: set[Point]
) -> set[Point] | None:
    """Return the other acquisitions that come after one without a release between.

    None where this one comes itself when the lock is held already, or where nothing but
    another one follows.
    """
    flow = locks.flow
    found = set()
    for other in locks.operations:
        at = flow.point_of(other.call)
        if other is lock or not other.acquires or other.access != lock.access or at is None:
            continue
        if other.deferred is not None:
            continue
        if at in flow.reachable(point, stop=stops.__contains__):
            found.add(at)
        elif point in flow.reachable(at, stop=stops.__contains__):
            if any(h.access == lock.access for h in locks.held_before(lock.call)):
                return None
    return found


def _is_contract(file: GoFile, leak: _Leak) -> bool:
    """Return whether the function means to return with the lock held."""
    if leak.on_failure:
        return not leak.exits
    function = leak.locks.function
    name = function.get("name")
    if name is not None and name.name in {"main", "init"} and not leak.stops:
        return True  # held until the process ends
    everywhere = not leak.stops
    if leak.stops and leak.exits and all(fails(file, e.node) for e in leak.exits):
        return says_locked(file, function, leak.lock)  # who fails to acquire holds nothing
    if returns_locked(
        file,
        function,
        leak.lock,
        everywhere,
        told=tells_apart(leak.locks, leak.releases, leak.exits),
    ):
        return True
    if _is_sent_along(file, leak):
        return True
    return bool(leak.exits) and not everywhere and _is_released_by_callers(file, leak)


def _is_sent_along(file: GoFile, leak: _Leak) -> bool:
    """Return whether a send comes before each exit that keeps the lock, and some other function
    only releases it: whoever receives has it from there on.
    """
    flow, gives = leak.flow, net_releases(file.package)
    if not any(leak.lock.lock_class in classes for classes in gives.values()):
        return False
    sends = {
        point
        for node in leak.locks.function.own()
        if node.kind == "send_statement" and (point := flow.point_of(node))
    }
    if leak.again or not sends:
        return False
    stops = leak.stops | sends
    left = flow.exits_from(leak.point, stop=stops.__contains__)
    return not any(e.kind in {"return", "end"} for e in left)


def _is_released_by_callers(file: GoFile, leak: _Leak) -> bool:
    """Return whether all callers release a lock of which they take none themselves."""
    decl = file.package.function_at(file.path, leak.locks.function.start)
    sites = [s for s in callers(decl) if not s.file.is_test] if decl is not None else []
    gives = net_releases(file.package)
    return bool(sites) and all(
        site.call is not None
        and (function := site.call.function) is not None
        and leak.lock.lock_class in gives.get((site.file.path, function.start), ())
        for site in sites
    )


def _finding(file: GoFile, leak: _Leak) -> Finding:
    lock = leak.lock
    name = lock.lock.name
    places = [
        Related(e.node.path, *_span(e.node), "still held here")
        for e in leak.exits
        if e.node is not None
    ]
    fix, reason = _fix(file, leak)
    if leak.exits:
        where = "on every path" if leak.stops or leak.on_failure else "at all"
        message = f"{name} is not released {where}"
    else:
        message = f"{name} is locked again in the next round of the loop while it is still held"
    return Finding(
        path=file.path,
        start=lock.call.start,
        end=lock.call.end,
        message=message,
        fixes=(fix,) if fix else (),
        related=tuple(places),
        reason=reason,
        confidence=Confidence.LOW if _is_kept_in_test(file, leak) else Confidence.HIGH,
    )


def _is_kept_in_test(file: GoFile, leak: _Leak) -> bool:
    """Return whether a test takes a lock and keeps it, to hold somebody off or to its end."""
    name = leak.locks.function.get("name")
    if is_own_lock(file, leak.lock.call):
        return True
    if not file.is_test_file or name is None or name.name[:4] not in _TESTS or leak.on_failure:
        return False
    at_end = all(e.kind == "end" for e in leak.exits) and not leak.again
    return bool(leak.exits) and (at_end or not leak.stops)


_TESTS = frozenset({"Test", "test"})


def _span(node: Node) -> tuple[int, int]:
    """Return the place of an exit; the end of a function is its closing brace."""
    if node.kind in FUNCTIONS or node.kind == "block":
        return node.end - 1, node.end
    return node.start, node.end


def _fix(file: GoFile, leak: _Leak) -> tuple[Fix | None, str]:
    if leak.on_failure:
        return released_before(file, leak.locks, leak.lock, leak.exits, leak.unlock)
    try:
        deferred = _defer(leak)
        if deferred is not None:
            return deferred, ""
        return _before_exits(file, leak)
    except BuilderError as error:
        return None, str(error)


def _defer(leak: _Leak) -> Fix | None:
    """Replace the releases by one `defer` right after the Lock.

    Sound: every release stands directly before an exit that evaluates nothing more, so the
    critical section keeps its length on the paths that were right; no later defer runs
    inside it; the Lock runs at most once, so the defer does too.
    """
    flow, lock = leak.flow, leak.lock
    statement = lock.call.parent
    if statement is None or statement.kind != "expression_statement" or leak.again:
        return None
    if flow.in_loop(leak.point) or len(leak.stops) > len(leak.releases):
        return None
    if any(d.point in flow.reachable(leak.point, feasible=False) for d in flow.defers):
        return None
    others = [
        p
        for o in leak.locks.operations
        if o.acquires and o is not lock and o.access == lock.access
        if (p := flow.point_of(o.call))
    ]
    mine = {p for p in leak.releases if _reaches(flow, leak.point, p, leak)}
    for other in others:
        if any(_reaches(flow, other, p, leak) for p in mine):
            return None
        if other in flow.reachable(leak.point, feasible=False):
            return None  # it is taken again further down
    if not all(_leads_out(flow, p, leak.releases[p]) for p in mine):
        return None
    gone = []
    for point in mine:
        release = leak.releases[point].call.parent
        if release is None or release.kind != "expression_statement":
            return None
        gone.append(release)
    edits = (
        *insert_after(statement, f"defer {leak.unlock}"),
        *delete_calls(gone, leak.unlock),
    )
    return Fix(f"Defer {leak.unlock.removesuffix('()')} right after the Lock", edits)


def _reaches(flow: Flow, start: Point, end: Point, leak: _Leak) -> bool:
    """Return whether a release gives back what was locked at `start`."""
    stops = set(leak.releases) - {end}
    return end in flow.reachable(start, stop=lambda p: p in stops, feasible=False)


def _leads_out(flow: Flow, point: Point, release: LockOperation) -> bool:
    """Return whether nothing but a plain return, or the function's end, follows a release."""
    following = point.successors
    if len(following) != 1:
        return False
    after = following[0]
    if after is flow.end:
        return True
    statement = release.call.statement
    directly = statement.next if statement is not None else None
    return after.node.kind == "return_statement" and directly is after.node and is_plain(after.node)


def _before_exits(file: GoFile, leak: _Leak) -> tuple[Fix | None, str]:
    """Release right before each exit that lacks it; values are read while it is held.

    Sound: the lock is certainly held at the exit, on every path that leads there, so the
    new release runs exactly once on the paths that had none and on no other.
    """
    edits: list[Edit] = []
    stops = set(leak.stops)
    for jump in _held_jumps(leak):
        if jump.node.kind == "continue_statement" and _releases_after(leak, jump):
            return released_in_rounds(leak.locks, leak.lock, leak.unlock), ""
        stops.add(jump)
        edits.extend(insert_before(jump.node, leak.unlock))
    if leak.point in leak.flow.reachable(leak.point, stop=stops.__contains__):
        turn = _held_turn(leak, stops)
        if turn is None:
            return None, "how the loop starts over with the lock held is not one single path"
        edits.extend(insert_at_end(turn["body"], leak.unlock))
        stops |= {p for p in leak.flow.points if _head_of(p, turn)}
    for exit_ in leak.flow.exits_from(leak.point, stop=stops.__contains__):
        if exit_.kind == "end":
            block = leak.locks.function.get("body")
            if block is None or not _held_at_end(leak):
                return None, "the lock is held at the end of the function on some paths only"
            edits.extend(insert_at_end(block, leak.unlock))
        elif exit_.kind == "return":
            if not _is_held(leak, exit_.node):
                return None, "the lock is held at the return on some paths only"
            edits.extend(release_at(file, exit_.node, leak.unlock))
    title = f"Call {leak.unlock.removesuffix('()')} on the paths that lack it"
    return Fix(title, tuple(edits)), ""


def _is_held(leak: _Leak, node: Node) -> bool:
    return any(h.access == leak.lock.access for h in leak.locks.held_before(node))


def _held_jumps(leak: _Leak) -> list[Point]:
    """Return the jumps out of a round of the loop, with the lock held, that end in the leak."""
    flow = leak.flow
    loop = innermost_loop(leak.lock.call)
    if loop is None:
        return []
    found = []
    for point in flow.reachable(leak.point, stop=leak.stops.__contains__):
        if point.node.kind in {"continue_statement", "break_statement", "goto_statement"}:
            if not loop.contains(point.node) or not _is_held(leak, point.node):
                continue
            after = flow.reachable(point, stop=leak.stops.__contains__)
            exits = flow.exits_from(point, stop=leak.stops.__contains__)
            leaves = point.node.kind == "continue_statement" or not any(
                loop["body"].contains(s.node) for s in point.successors
            )
            if leaves and (leak.point in after or exits):
                found.append(point)
    return sorted(found, key=lambda p: p.node.start)


def _releases_after(leak: _Leak, jump: Point) -> bool:
    """Return whether a release is reached from a jump without another acquisition."""
    taken = {
        p
        for o in leak.locks.operations
        if o.acquires and o.access == leak.lock.access
        if (p := leak.flow.point_of(o.call))
    }
    after = leak.flow.reachable(jump, stop=taken.__contains__)
    return any(p in after for p in leak.releases)


def _head_of(point: Point, loop: Node) -> bool:
    """Return whether a point belongs to the head of a loop, not to its body."""
    return loop.contains(point.node) and not loop["body"].contains(point.node)


def _held_turn(leak: _Leak, stops: set[Point]) -> Node | None:
    """Return the loop whose body ends, on every path that ends it, with the lock held."""
    loop = innermost_loop(leak.lock.call)
    if loop is None:
        return None
    body = loop["body"]
    for point in leak.flow.points:
        if not point.live or not body.contains(point.node) or point in stops:
            continue
        if point.node.kind == "continue_statement":
            continue
        turns = any(_head_of(s, loop) or s.node is loop for s in point.successors)
        if turns and point is not leak.point and not _is_held(leak, point.node):
            return None
    return loop if loop.get("body") is not None and len(loop.children) > 2 else None


def _held_at_end(leak: _Leak) -> bool:
    ends = [p for p in leak.flow.points if leak.flow.end in p.successors and p.live]
    access = leak.lock.access
    for point in ends:
        if point in leak.stops or point.node.kind == "return_statement":
            return False
        held = leak.locks.held_before(point.node)
        if point is not leak.point and not any(h.access == access for h in held):
            return False
    return bool(ends)
