"""The lock that guards a place, as the functions that lack it would take it."""

from __future__ import annotations

from threadmend.golang.access import Access
from threadmend.golang.calls import code_files
from threadmend.golang.field_accesses import FieldAccess
from threadmend.golang.file import GoFile
from threadmend.golang.lock_operations import ordered
from threadmend.golang.locks import LOCK_CALLS, LockOperation, locks_of
from threadmend.golang.package import Package
from threadmend.golang.scope import Binding
from threadmend.golang.types import Named, deref

from ._guard_edits import LockForm

__all__ = ["form_of_helpers", "lock_form", "operation_of", "operation_of_class", "witness"]


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
    return operation_of_class(shown.file.package, lock_class)


def operation_of_class(package: Package, lock_class: str) -> LockOperation | None:
    """Return an operation of some method of the package that takes a lock of a class."""
    for file in code_files(package):
        for declaration in file.declarations(LOCK_CALLS):
            if declaration.kind != "method_declaration":
                continue
            for operation in locks_of(file, declaration.node).operations:
                if operation.acquires and operation.lock_class == lock_class:
                    return operation
    return None


def lock_form(
    file: GoFile, base: Access | None, lock_class: str, operation: LockOperation, *, reads: bool
) -> LockForm | None:
    """Return the lock in the words of a function that lacks it: its receiver's name."""
    access = operation.access
    if access is None:
        return None
    text: str | None = operation.lock.name
    if isinstance(access.root, Binding):
        text = _under(file, base, lock_class, access.steps, operation.via)
    if text is None:
        return None
    return LockForm(text, lock_class, reads and operation.type.endswith("RWMutex"))


def form_of_helpers(base: Access | None, shown: FieldAccess, lock_class: str) -> LockForm | None:
    """Return the lock that helpers take which get it as an argument: `enter(&s.mu)`."""
    for held in ordered(shown.held_here):
        if held.lock_class == lock_class and isinstance(held.access.root, Binding):
            text = _under(shown.file, base, lock_class, held.access.steps, ())
            return LockForm(text, lock_class, read=False) if text is not None else None
    return None


def _under(
    file: GoFile,
    base: Access | None,
    lock_class: str,
    steps: tuple[str, ...],
    via: tuple[str, ...],
) -> str | None:
    """Return a lock's path from the variable at the root of `base`, `via` left out.

    The function that takes the lock may have a name of its own for its receiver; one of the two
    may have the lock's owner in a field: `r.srv.mu`.
    """
    if base is None or not isinstance(base.root, Binding):
        return None
    rest = steps[: len(steps) - len(via)]
    owner = _owner_in(file, base.root, base.steps, lock_class)
    if owner is not None and (base.steps or len(owner[1]) < len(steps)):
        count, names = owner
        rest = (*base.steps[:count], *names[: len(names) - len(via)])
    elif base.steps:
        return None
    if any(step.startswith("[") for step in rest):
        return None
    return ".".join((base.root.name, *rest))


def _owner_in(
    file: GoFile, root: Binding, steps: tuple[str, ...], lock_class: str
) -> tuple[int, tuple[str, ...]] | None:
    """Return how many steps lead to the object that a lock belongs to, and the steps from there."""
    type_ = deref(file.type_of(root.node))
    found = None
    for count in range(len(steps) + 1):
        if isinstance(type_, Named):
            prefix = f"{type_.package}.{type_.name}."
            if lock_class.startswith(prefix):
                found = count, tuple(lock_class.removeprefix(prefix).split("."))
        if count < len(steps):
            member = file.package.workspace.inference.member(type_, steps[count]) if type_ else None
            type_ = deref(member.type) if member is not None else None
    return found
