"""Locks that some path keeps: a deferred release, or one before each way out."""

from __future__ import annotations

from dataclasses import dataclass, field

from threadmend.golang.builders import (
    BuilderError,
    delete_calls,
    insert_after,
    insert_at_end,
    insert_before,
)
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Exit, Flow, Point
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import LockOperation, Locks
from threadmend.golang.plain import is_plain
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Fix

from ._kept_on_failure import released_before
from ._release_edits import release_at
from ._released_in_rounds import released_in_rounds

__all__ = ["Leak", "release_on_every_path"]


@dataclass(slots=True)
class Leak:
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


def release_on_every_path(file: GoFile, leak: Leak) -> tuple[Fix | None, str]:
    """Return the fix that releases on every way out, or None and why there is none."""
    if leak.on_failure:
        return released_before(file, leak.locks, leak.lock, leak.exits, leak.unlock)
    try:
        deferred = _defer(leak)
        if deferred is not None:
            return deferred, ""
        return _before_exits(file, leak)
    except BuilderError as error:
        return None, str(error)


def _defer(leak: Leak) -> Fix | None:
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


def _reaches(flow: Flow, start: Point, end: Point, leak: Leak) -> bool:
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


def _before_exits(file: GoFile, leak: Leak) -> tuple[Fix | None, str]:
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


def _is_held(leak: Leak, node: Node) -> bool:
    return any(h.access == leak.lock.access for h in leak.locks.held_before(node))


def _held_jumps(leak: Leak) -> list[Point]:
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


def _releases_after(leak: Leak, jump: Point) -> bool:
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


def _held_turn(leak: Leak, stops: set[Point]) -> Node | None:
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


def _held_at_end(leak: Leak) -> bool:
    ends = [p for p in leak.flow.points if leak.flow.end in p.successors and p.live]
    access = leak.lock.access
    for point in ends:
        if point in leak.stops or point.node.kind == "return_statement":
            return False
        held = leak.locks.held_before(point.node)
        if point is not leak.point and not any(h.access == access for h in held):
            return False
    return bool(ends)
