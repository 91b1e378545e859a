"""Take two locks in the same order everywhere

One function takes A and then B, another one B and then A. When both are half way, each waits
for the lock that the other holds, for ever. The two are usually far apart: the second lock
is taken in a method of another type, several calls down.

Likewise two objects of one type that an exported function locks in the order in which its caller
names them.

Not reported: two objects of one type that the function chooses or compares, or that hold others
of their type; orders that a common third lock keeps apart; code that
runs while the program starts, and tests; objects that nobody else knows yet; locks that all
sides only read; a call that may run one of several functions.

Unsafe: the second lock is held for longer, or the call runs after the critical section; that only
where nobody compares what the two locks guard, and acts upon it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from threadmend.golang.builders import BuilderError, delete, insert_before
from threadmend.golang.lock_operations import is_wrapped
from threadmend.golang.lockorder import Cycle, LockOrder, Witness, lock_order_graph
from threadmend.golang.locks import LockOperation, lock_operation, locks_of
from threadmend.golang.syntax import Node
from threadmend.golang.workspace import Module
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._after_unlock import after_unlock, call_after_unlock
from ._compared_under import compared_by
from ._lock_between import waited_without
from ._lock_first import hoisted, means_the_same, taken_first
from ._lock_runs import in_common_order
from ._two_of_one_type import two_of_one_type

CATEGORY = "mutex"
GATE = rb"\.R?Lock\(\)"

_MOST = 4  # places that one fix changes
_FEW = 2  # the same, of an order that is not the rarest, where that cannot be turned


def check(module: Module) -> Iterator[Finding]:
    """Yield a finding for each circle of locks, where its rarest order is taken."""
    graph = lock_order_graph(module.workspace)
    told: set[tuple[str, str]] = set()
    turned: set[tuple[str, str]] = set()
    for cycle in sorted(graph.cycles, key=lambda c: (len(c.classes), c.classes)):
        steps = _steps(graph, cycle)
        if any(edge in told for edge, _ in steps[:1]):
            continue  # the same odd place out, in a longer circle
        if any(edge in turned for edge, _ in steps):
            continue  # the fix of a shorter circle opens this one, too
        fix, index, reason = _first_fix(graph, steps)
        edge, witness = steps[index]
        told.add(steps[0][0])
        told.add(edge)
        if fix is not None:
            turned.add(edge)
        if witness.pair.file.package.module is module:
            yield _finding(cycle, witness, fix, reason)
    yield from two_of_one_type(module)


Step = tuple[tuple[str, str], Witness]


def _steps(graph: LockOrder, cycle: Cycle) -> list[Step]:
    """Return the steps of a circle, the order that fewest places take first."""
    following = (*cycle.classes[1:], cycle.classes[0])
    edges = list(zip(cycle.classes, following, strict=True))
    steps = list(zip(edges, cycle.witnesses, strict=True))
    return sorted(steps, key=lambda s: (len(graph.edges[s[0]]), len(s[1].pair.event.path)))


def _first_fix(graph: LockOrder, steps: list[Step]) -> tuple[Fix | None, int, str]:
    """Return a fix for the rarest order that can be turned round in all of its places."""
    reason = ""
    rarest = len(graph.edges[steps[0][0]])
    few = [graph.edges[edge] for edge, _ in steps]
    few = [f for f in few if len(f) <= min(max(rarest, 1), _MOST)]
    others = [w for edge, _ in steps for w in graph.edges[edge]]
    deep = any(compared_by(w, others) for w in others)
    for index, witnesses in enumerate(few):
        try:
            found = in_common_order(graph, witnesses)
            return _whole(found or _fix(witnesses, others, deep=deep)), index, ""
        except BuilderError as error:
            reason = reason or str(error)
    for index, witnesses in enumerate(few):
        try:
            return _whole(_without(witnesses)), index, ""
        except BuilderError:
            continue
    for index, (edge, _) in enumerate(steps):
        if not rarest < len(graph.edges[edge]) <= _FEW:
            continue
        try:
            return _whole(_fix(graph.edges[edge], others)), index, ""
        except BuilderError:
            continue
    for index, witnesses in enumerate(few):
        try:
            return _whole(_fix(witnesses, others, deep=True)), index, ""
        except BuilderError:
            continue
    return None, 0, reason or "the order is taken in too many places"


def _whole(fix: Fix) -> Fix:
    """Return a fix whose edits can be made together; raises BuilderError for others."""
    if any(a.path == b.path and b.start < a.end for a, b in pairwise(sorted(set(fix.edits)))):
        raise BuilderError("the statements to change share a line")
    return fix


def _short(lock_class: str) -> str:
    if is_wrapped(lock_class) and lock_class.rpartition("/")[2].count(".") > 2:
        lock_class = lock_class.rpartition(".")[0]  # `s.mtx.Mutex`: a lock by another name
    if ":" in lock_class:
        return lock_class.rpartition(".")[2]
    return lock_class.rpartition("/")[2].partition(".")[2] or lock_class


def _finding(cycle: Cycle, witness: Witness, fix: Fix | None, reason: str) -> Finding:
    pair = witness.pair
    held, taken = pair.held.lock_class or "", pair.event.lock_class or ""
    node = pair.node
    others = [w for w in cycle.witnesses if w.pair is not pair]
    names = " and ".join(dict.fromkeys(f"{w.name}" for w in others))
    message = (
        f"{_short(taken)} is taken while {_short(held)} is held, in {names} the other way round"
    )
    if len(cycle.classes) > 2:
        circle = " → ".join(_short(c) for c in (*cycle.classes, cycle.classes[0]))
        message = f"{_short(taken)} is taken while {_short(held)} is held: {circle}"
    related = list(_path(witness)) + [r for w in others for r in _path(w, whole=True)]
    return Finding(
        path=node.path,
        start=node.start,
        end=node.end,
        message=message,
        fixes=(fix,) if fix else (),
        related=tuple(related),
        reason=reason,
        confidence=_confidence(cycle),
    )


def _confidence(cycle: Cycle) -> Confidence:
    if cycle.loose:
        return Confidence.LOW
    return Confidence.HIGH if cycle.certain else Confidence.MEDIUM


def _path(witness: Witness, *, whole: bool = False) -> Iterator[Related]:
    """Yield the places of one order: where the first lock is taken, the calls, the second."""
    pair = witness.pair
    held, taken = pair.held.lock_class or "", pair.event.lock_class or ""
    first = pair.taken_at
    if first is not None:
        text = f"{witness.name} takes {_short(held)}"
        yield Related(first.path, first.start, first.end, text)
    path = pair.event.path if whole else pair.event.path[1:]
    for index, node in enumerate(path):
        last = index == len(path) - 1
        text = f"and then {_short(taken)}" if last else "on the way"
        yield Related(node.path, node.start, node.end, text)


# --- the fixes ---------------------------------------------------------------------------


def _fix(witnesses: list[Witness], others: list[Witness], *, deep: bool = False) -> Fix:
    """Return the fix that takes an order away, in all places that have it.

    `others` are the places of all orders of the circle. `deep`: also with a lock that is taken
    several calls further down, which is held for longest.
    """
    edits: set[Edit] = set()
    held = _short(witnesses[0].pair.held.lock_class or "")
    taken = _short(witnesses[0].pair.event.lock_class or "")
    direct = all(len(witness.pair.event.path) == 1 for witness in witnesses)
    if direct:
        try:
            edits.update(edit for witness in witnesses for edit in _swapped(witness))
        except BuilderError:
            try:
                edits = {edit for witness in witnesses for edit in hoisted(witness.pair)}
            except BuilderError:
                return _given_back(witnesses, held, taken)
    if not direct:
        try:
            for witness in witnesses:
                swap = len(witness.pair.event.path) == 1
                edits.update(_swapped(witness) if swap else _released(witness, others))
        except BuilderError as error:
            first = _all_taken_first(witnesses, deep)
            if first is None:
                raise error from None
            direct, edits = True, first
    if direct:
        title = f"Take {taken} before {held}"
        return Fix(title, tuple(edits), Safety.UNSAFE, f"{taken} is held for longer")
    title = f"Release {held} before the call"
    reason = "the call runs after the critical section, and others may come in between"
    return Fix(title, tuple(edits), Safety.UNSAFE, reason)


def _all_taken_first(witnesses: list[Witness], deep: bool) -> set[Edit] | None:
    """Return the edits by which all places take the callee's lock before their own."""
    try:
        return {edit for witness in witnesses for edit in taken_first(witness.pair, deep)}
    except BuilderError:
        return None


def _without(witnesses: list[Witness]) -> Fix:
    """Release the first lock while the second is waited for, in all places that have the order."""
    held = _short(witnesses[0].pair.held.lock_class or "")
    taken = _short(witnesses[0].pair.event.lock_class or "")
    if any(len(witness.pair.event.path) > 1 for witness in witnesses):
        raise BuilderError("the second lock is taken in a function further down")
    edits = {edit for witness in witnesses for edit in waited_without(witness.pair)}
    reason = f"what {held} guards may change before {taken} is there"
    return Fix(f"Wait for {taken} without {held}", tuple(edits), Safety.UNSAFE, reason)


def _given_back(witnesses: list[Witness], held: str, taken: str) -> Fix:
    """Release the first lock before the second is taken, where nothing needs it any more."""
    edits: set[Edit] = set()
    for witness in witnesses:
        statement = witness.pair.node.parent
        if statement is None or statement.kind != "expression_statement":
            raise BuilderError("a lock operation is part of another statement")
        edits.update(
            after_unlock(witness.pair.file, witness.pair.held.access, statement, move=False)
        )
    reason = f"{held} is held for shorter"
    return Fix(f"Release {held} before {taken} is taken", tuple(edits), Safety.UNSAFE, reason)


def _released(witness: Witness, others: list[Witness]) -> tuple[Edit, ...]:
    pair = witness.pair
    one = compared_by(witness, (w for w in others if w.pair is not pair))
    if one is not None:
        raise BuilderError(f"{one.name} compares what the two locks guard: it changes in one step")
    return call_after_unlock(pair.file, pair.held.access, pair.node)


_JUMPS = frozenset({"return_statement", "break_statement", "continue_statement", "goto_statement"})


def _swapped(witness: Witness) -> tuple[Edit, ...]:
    """Move the second Lock, with a defer right behind it, above the first one.

    Nothing between them may leave, call the lock, or decide which object it belongs to.
    """
    pair = witness.pair
    first, second = _operation(witness, pair.taken_at), _operation(witness, pair.node)
    outer, inner = first.call.parent, second.call.parent
    if outer is None or inner is None or outer.parent is not inner.parent:
        raise BuilderError("the second lock is taken in an inner block")
    if {outer.kind, inner.kind} != {"expression_statement"} or outer.parent is None:
        raise BuilderError("a lock operation is part of another statement")
    behind = inner.next
    moved = [inner]
    if behind is not None and behind.kind == "defer_statement":
        release = lock_operation(pair.file, behind.children[-1])
        if release is not None and release.releases and release.access == second.access:
            moved.append(behind)
    between = [s for s in outer.parent.statements if outer.end <= s.start and s.end <= inner.start]
    for statement in between:
        _check_between(statement, len(moved) > 1)
    access = second.access
    if access is None or not means_the_same(access, outer, between):
        raise BuilderError("which object the second lock belongs to is decided in between")
    same = [o for o in locks_of(pair.file, pair.function).operations if o.access == access]
    if sum(o.acquires for o in same) > 1:
        raise BuilderError("the second lock is taken more than once")
    code = "\n".join(s.name for s in moved)
    edits = [*insert_before(outer, code)]
    for statement in moved:
        edits += delete(statement)
    return tuple(edits)


def _operation(witness: Witness, call: Node | None) -> LockOperation:
    found = lock_operation(witness.pair.file, call) if call is not None else None
    if found is None:
        raise BuilderError("a lock is taken through a helper")
    return found


def _check_between(statement: Node, deferred: bool) -> None:
    for node in statement.own():
        if node.kind in _JUMPS and not deferred:
            raise BuilderError("a path leaves between the two locks")
