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

from threadmend.golang.access import is_assigned_once
from threadmend.golang.calls import code_callers
from threadmend.golang.failing import fails
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Point
from threadmend.golang.locks import LOCK_CALLS, LockOperation, Locks, locks_of
from threadmend.golang.releases import (
    hands_over,
    net_releases,
    released_by_calls,
    returns_locked,
    says_locked,
)
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.model import Confidence, Finding, Related

from ._another_loop import in_another_loop, in_twin_loop
from ._kept_by_helper import kept_by_helpers
from ._kept_on_failure import returns_that_fail
from ._missing_release import Leak, release_on_every_path
from ._own_lock import is_own_lock
from ._returned_unlock import kept_returned
from ._told_apart import tells_apart

CATEGORY = "mutex"
GATE = rb"\.R?Lock\(\)|\.\w*[lL]ock\w*\(|\.(?:enter|begin|acquire|hold)\w*\("


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


def _leak(file: GoFile, locks: Locks, lock: LockOperation) -> Leak | None:
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
    return Leak(locks, lock, point, releases, exits, comes_back, stops)


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


def _is_contract(file: GoFile, leak: Leak) -> bool:
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


def _is_sent_along(file: GoFile, leak: Leak) -> bool:
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


def _is_released_by_callers(file: GoFile, leak: Leak) -> bool:
    """Return whether all callers release a lock of which they take none themselves."""
    decl = file.package.function_at(file.path, leak.locks.function.start)
    sites = code_callers(decl) if decl is not None else []
    gives = net_releases(file.package)
    return bool(sites) and all(
        site.call is not None
        and (function := site.call.function) is not None
        and leak.lock.lock_class in gives.get((site.file.path, function.start), ())
        for site in sites
    )


def _finding(file: GoFile, leak: Leak) -> Finding:
    lock = leak.lock
    name = lock.lock.name
    places = [
        Related(e.node.path, *_span(e.node), "still held here")
        for e in leak.exits
        if e.node is not None
    ]
    fix, reason = release_on_every_path(file, leak)
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


def _is_kept_in_test(file: GoFile, leak: Leak) -> bool:
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
