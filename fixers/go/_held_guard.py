"""The lock that guards a place, as the functions that lack it would take it."""

from __future__ import annotations

from threadmend.golang.access import Access
from threadmend.golang.calls import code_files
from threadmend.golang.guards import FieldAccess
from threadmend.golang.locks import LOCK_CALLS, LockOperation, locks_of
from threadmend.golang.scope import Binding

from ._guard_edits import LockForm

__all__ = ["lock_form", "operation_of", "witness"]


def witness(locked: list[FieldAccess]) -> FieldAccess:
    """Return the access that shows the belief best: a write under the lock."""
    writes = [a for a in locked if a.writes and not a.setup]
    direct = [a for a in writes if a.held_here]
    return (direct or writes or [a for a in locked if a.held_here] or locked)[0]


def operation_of(shown: FieldAccess, lock_class: str) -> LockOperation | None:
    """Return an operation that takes the guard, in the witness's function or in a caller's."""
    function = shown.node.function
    if function is None:
        return None
    for operation in locks_of(shown.file, function).operations:
        if operation.acquires and operation.lock_class == lock_class:
            return operation
    for file in code_files(shown.file.package):
        for declaration in file.declarations(LOCK_CALLS):
            if declaration.kind != "method_declaration":
                continue
            for operation in locks_of(file, declaration.node).operations:
                if operation.acquires and operation.lock_class == lock_class:
                    return operation
    return None


def lock_form(
    base: Access | None, lock_class: str, operation: LockOperation, *, reads: bool
) -> LockForm | None:
    """Return the lock in the words of a function that lacks it: its receiver's name."""
    access = operation.access
    if access is None:
        return None
    text = operation.lock.name
    if isinstance(access.root, Binding):
        if base is None or not isinstance(base.root, Binding):
            return None
        first, dot, rest = text.partition(".")
        if first != access.root.name:
            return None
        text = base.root.name + dot + rest
    return LockForm(text, lock_class, reads and operation.type.endswith("RWMutex"))
