"""Release a lock in the mode in which it was taken

`RLock` given back by `Unlock`, or `Lock` by `RUnlock`, is a fatal error that no recover
catches, or corrupts the lock's counters for everybody. `defer mu.Lock()` right below
`mu.Lock()` is a slip of the pen for Unlock: the function waits for itself at its end. A
function may also return the method that unlocks, for who calls it to defer.

Not reported: a release where the lock may be held in either mode, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import with_reason
from threadmend.golang.file import GoFile
from threadmend.golang.lock_calls import helped_locks, is_helped, spelled
from threadmend.golang.lock_helpers import taking
from threadmend.golang.locks import LockOperation, Locks, lock_name
from threadmend.model import Edit, Finding, Fix, Related

from ._returned_release import RELEASE, Returned, returned_mismatches, right_edits

CATEGORY = "mutex"
GATE = rb"\.R?(?:Unlock|Lock)\(\)|\.\w*[lL]ock\w*\(|\.(?:enter|begin|acquire|hold)\w*\("


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the releases in the wrong mode, and the acquisitions meant as releases."""
    for function in file.functions(taking(file.package)):
        locks = helped_locks(file, function)
        for operation in locks.operations:
            taken = _taken(locks, operation)
            if taken is None:
                continue
            if operation.releases and operation.mode != taken.mode:
                yield _mismatch(file, operation, taken)
            elif operation.acquires and operation.deferred is not None:
                yield _deferred_lock(file, operation, taken)
        for returned in returned_mismatches(file, function):
            yield _returned(file, returned)


def _taken(locks: Locks, operation: LockOperation) -> LockOperation | None:
    """Return the acquisition that a release gives back, or that a deferred Lock repeats.

    The lock is certainly held there, in one mode, and nothing else in the function could be
    what was taken. What is deferred runs at the end: it counts only right below the Lock, or as
    the only other operation on it.
    """
    access = operation.access
    if access is None:
        return None
    held = {h.mode for h in locks.held_before(operation.call) if h.access == access}
    if len(held) != 1:
        return None
    same = [o for o in locks.operations if o.access == access and o is not operation]
    before = [o for o in same if o.acquires and o.call.start < operation.call.start]
    if not before or before[-1].mode not in held:
        return None
    if operation.deferred is not None:
        above = operation.deferred.previous
        if above is None or (len(same) > 1 and not above.contains(before[-1].call)):
            return None
        # A later release of that mode would make the deferred operation right.
        if any(o.call.start > operation.call.start for o in same):
            return None
    return before[-1]


def _name(file: GoFile, operation: LockOperation) -> str:
    if is_helped(operation) and operation.held is not None:
        return lock_name(file, operation.held)
    return operation.lock.name


def _mismatch(file: GoFile, operation: LockOperation, taken: LockOperation) -> Finding:
    name = _name(file, operation)
    message = f"{name} is taken by {taken.method} and released by {operation.method}"
    return _finding(file, operation, taken, message)


def _deferred_lock(file: GoFile, operation: LockOperation, taken: LockOperation) -> Finding:
    name = _name(file, operation)
    message = f"{name} is locked a second time by the defer that should release it"
    return _finding(file, operation, taken, message)


def _finding(file: GoFile, operation: LockOperation, taken: LockOperation, message: str) -> Finding:
    """Build the finding; its fix is another method name.

    Sound: the call as it stands ends the process or waits for ever; there is no right
    execution to keep.
    """
    call, right = operation.call, RELEASE[taken.mode]
    edit = Edit(file.path, call.start, call.end, spelled(file, operation, right).encode())
    return Finding(
        path=file.path,
        start=operation.call.start,
        end=operation.call.end,
        message=message,
        fixes=(Fix(f"Call {right}", (edit,)),),
        related=(
            Related(file.path, taken.call.start, taken.call.end, f"taken by {taken.method} here"),
        ),
    )


def _returned(file: GoFile, returned: Returned) -> Finding:
    """Build the finding of a function that returns what unlocks in the other mode.

    Sound: on each path that gets another method, the old one ended the process or waited.
    """
    taken, field = returned.wrong[0], returned.field
    right = RELEASE[taken.mode]
    fix, reason = _return_right(returned, right)
    on_some = " on some paths" if returned.right else ""
    name = taken.lock.name
    return Finding(
        path=file.path,
        start=field.start,
        end=field.end,
        message=f"{name} is taken by {taken.method}{on_some}, and {field.name} is returned for it",
        fixes=(fix,) if fix else (),
        reason=reason,
        related=(
            Related(file.path, taken.call.start, taken.call.end, f"taken by {taken.method} here"),
        ),
    )


@with_reason
def _return_right(returned: Returned, right: str) -> Fix:
    where = " on the paths that need it" if returned.right else ""
    return Fix(f"Return {right}{where}", right_edits(returned))
