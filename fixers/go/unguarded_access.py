"""Hold the lock that guards a field wherever the field is used

The field (or package variable) is accessed under one and the same lock nearly everywhere,
and here without it; or goroutines whose launch is visible write it at the same time, and
others take the lock. The lock protects only those who take it: this access may see a value
half written, or lose an update that another goroutine makes at the same moment. The Go
memory model promises nothing about such a program.

Not reported:
- constructors, set-up and tear-down code (`new…`, `init…`, `start…`, `close…` and what only
  they call), objects made in the function, local copies, tests;
- functions that some caller enters with the lock held, or whose name or comment speaks of
  locks, goroutines or races (`…Locked`, "the caller must hold mu");
- code that holds another lock; the one function that writes, when it reads;
- functions passed on as values, whose caller may hold the lock.

Unsafe: when the function takes another lock too, or when something else runs under the new
lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from threadmend.golang.belief import Suspect, suspects
from threadmend.golang.builders import BuilderError
from threadmend.golang.calls import code_files
from threadmend.golang.file import GoFile
from threadmend.golang.guards import FieldAccess, accesses_like, guard_of
from threadmend.golang.locks import LOCK_CALLS, LockOperation, locks_of
from threadmend.golang.package import Package
from threadmend.golang.races import shared_writes
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Finding, Fix, Related, Safety

from ._guard_edits import LockForm, put_under_lock

CATEGORY = "shared-state"
GATE = rb"\.R?Lock\(\)"


def check(package: Package) -> Iterator[Finding]:
    """Yield the accesses that lack the lock under which the others are made."""
    believed = suspects(package)
    known = {s.access.node for s in believed}
    shown = [s for s in _shown(package) if s.access.node not in known]
    for _, group in groupby(sorted([*believed, *shown], key=_place), key=_place):
        found = list(group)
        yield _finding(found[0].access.file, found)


def _shown(package: Package) -> Iterator[Suspect]:
    """Yield the unlocked writes that goroutines are seen to make where a lock is at hand.

    With them goes what else the same function does to the place.
    """
    for write in shared_writes(package):
        accesses = accesses_like(package, write.access.file, write.access.node)
        guard = guard_of(accesses, written=False)
        if guard is None or not guard.locked:
            continue
        function = write.access.node.function
        for access in guard.unlocked:
            if access.node.function is function and not access.held_here:
                yield Suspect(write.place, access, guard, Confidence.HIGH)


def _place(suspect: Suspect) -> tuple[str, str, int]:
    return (suspect.place, suspect.access.file.path, _function(suspect).start)


def _function(suspect: Suspect) -> Node:
    function = suspect.access.node.function
    assert function is not None
    return function


def _finding(file: GoFile, group: list[Suspect]) -> Finding:
    first = group[0]
    guard, node = first.guard, first.access.node
    witness = _witness(guard.locked)
    operation = _operation(witness, guard.lock_class)
    lock = _lock_form(group, operation) if operation is not None else None
    fix, reason = None, "the lock has no name here"
    if lock is not None:
        fix, reason = _fix(file, group, lock)
    count = len(guard.locked)
    name = lock.name if lock is not None else guard.lock_class.rpartition(".")[2]
    if operation is not None and operation.via:
        name = f"the lock of {name}"
    verb = "written" if any(s.access.writes for s in group) else "read"
    others = f"{count} other accesses hold" if count > 1 else "the other access holds"
    return Finding(
        path=file.path,
        start=node.start,
        end=node.end,
        message=f"{node.name} is {verb} without {name}, which {others}",
        fixes=(fix,) if fix is not None else (),
        related=(
            Related(
                witness.file.path,
                witness.node.start,
                witness.node.end,
                f"{'written' if witness.writes else 'read'} under the lock here",
            ),
        ),
        reason=reason,
        confidence=first.confidence,
    )


def _witness(locked: list[FieldAccess]) -> FieldAccess:
    """Return the access that shows the belief best: a write under the lock."""
    writes = [a for a in locked if a.writes and not a.setup]
    direct = [a for a in writes if a.held_here]
    return (direct or writes or [a for a in locked if a.held_here] or locked)[0]


def _operation(witness: FieldAccess, lock_class: str) -> LockOperation | None:
    """Return an operation that takes the guard, in the witness's function or in a caller's."""
    function = witness.node.function
    if function is None:
        return None
    for operation in locks_of(witness.file, function).operations:
        if operation.acquires and operation.lock_class == lock_class:
            return operation
    for file in code_files(witness.file.package):
        for declaration in file.declarations(LOCK_CALLS):
            if declaration.kind != "method_declaration":
                continue
            for operation in locks_of(file, declaration.node).operations:
                if operation.acquires and operation.lock_class == lock_class:
                    return operation
    return None


def _lock_form(group: list[Suspect], operation: LockOperation) -> LockForm | None:
    """Return the lock in the words of the function that lacks it: its receiver's name."""
    access, base = operation.access, group[0].access.base
    if access is None or group[0].guard.lock_class is None:
        return None
    text = operation.lock.name
    if isinstance(access.root, Binding):
        if base is None or not isinstance(base.root, Binding):
            return None
        first, dot, rest = text.partition(".")
        if first != access.root.name:
            return None
        text = base.root.name + dot + rest
    reads = not any(s.access.writes for s in group)
    return LockForm(text, group[0].guard.lock_class, reads and operation.type.endswith("RWMutex"))


def _fix(file: GoFile, group: list[Suspect], lock: LockForm) -> tuple[Fix | None, str]:
    nodes = [s.access.node for s in group]
    together = len(nodes) > 1 and any(s.access.writes for s in group)
    try:
        edits, reason = put_under_lock(file, _function(group[0]), nodes, lock, together=together)
    except BuilderError as error:
        return None, str(error)
    safety = Safety.UNSAFE if reason else Safety.SAFE
    return Fix(f"Call {lock.take.removesuffix('()')} around the access", edits, safety, reason), ""
