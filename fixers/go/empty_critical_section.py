"""Keep a lock until what it guards has been used

`mu.Lock()` followed by `mu.Unlock()` guards nothing: the statements below, which were meant to
be guarded, run without the lock. A `defer` was probably forgotten.

Not reported: a Lock and Unlock as a barrier, with nothing guarded after them; statements that
take the lock again.

Unsafe: the lock is held until the function returns.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import access_of, classify, lock_class
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.guards import guarded_places
from threadmend.golang.locks import LockOperation, held_at, lock_operation, locks_of
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Finding, Fix, Related, Safety

CATEGORY = "mutex"
ALSO = "staticcheck SA2001"
GATE = rb"\.R?Lock\(\)\s*;?\s*\w[\w.\[\]]*\.R?Unlock\(\)"

_SECTION = {"Lock": "Unlock", "RLock": "RUnlock"}


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the critical sections with nothing in them and guarded state below."""
    for call in file.calls("Lock", "RLock"):
        statement = call.parent
        after = statement.next if statement is not None else None
        if statement is None or after is None or after.kind != "expression_statement":
            continue
        if statement.kind != "expression_statement":
            continue
        unlock = after.children[0]
        if unlock.kind != "call_expression" or not _closes(call, unlock):
            continue
        lock = lock_operation(file, call)
        if lock is None or lock.access is None:
            continue
        used = _guarded_below(file, lock, after)
        if used is not None:
            yield _finding(file, lock, unlock, used)


def _closes(call: Node, unlock: Node) -> bool:
    """Return whether an Unlock names the very lock that a Lock does."""
    taken, released = call["function"], unlock["function"]
    if released.kind != "selector_expression" or taken.kind != "selector_expression":
        return False
    if released["operand"].text != taken["operand"].text:
        return False
    return released["field"].name == _SECTION[taken["field"].name]


def _guarded_below(file: GoFile, lock: LockOperation, unlock: Node) -> Node | None:
    """Return the first use, below the section, of something that the lock guards elsewhere."""
    node: Node | None = unlock.next
    while node is not None:
        for inner in node.own():
            if inner.kind == "call_expression":
                again = lock_operation(file, inner)
                if again is not None and again.access == lock.access:
                    return None
        for inner in node.own():
            if inner.kind in {"selector_expression", "identifier"}:
                if _is_guarded(file, lock, inner):
                    return inner
        node = node.next
    return None


def _is_guarded(file: GoFile, lock: LockOperation, node: Node) -> bool:
    if node.kind == "identifier":
        binding = file.binding(node)
        if binding is not None:
            return binding.is_variable and _local_guarded(file, lock, binding, node)
        if node.field == "field" or lock.lock_class is None:
            return False
    elif not _beside(file, lock, node):
        return False
    class_ = lock_class(file, node)
    if class_ is None or lock.lock_class is None or class_ == lock.lock_class:
        return False
    accesses = guarded_places(file.package).get(class_, [])
    locked = [a for a in accesses if a.holds(lock.lock_class)]
    return bool(locked) and any(a.writes for a in accesses)


def _beside(file: GoFile, lock: LockOperation, node: Node) -> bool:
    """Return whether a field belongs to the object that the lock belongs to."""
    access = access_of(file, node)
    if access is None or lock.access is None or access == lock.access:
        return False
    return access.owner is not None and access.owner == lock.access.owner


def _local_guarded(file: GoFile, lock: LockOperation, binding: Binding, node: Node) -> bool:
    """Return whether a local variable is used under the lock elsewhere, in a closure or not."""
    if lock.access is None or not isinstance(lock.access.root, Binding):
        return False
    if binding is lock.access.root or binding.kind == "parameter":
        return False
    elsewhere = [u for u in binding.uses if u is not binding.node and u is not node]
    locked = [u for u in elsewhere if any(h.access == lock.access for h in held_at(file, u))]
    writes = any(classify(u).kind in {"write", "update", "store"} for u in binding.uses)
    return writes and (bool(locked) or _is_only_use(lock, binding, node))


def _is_only_use(lock: LockOperation, binding: Binding, node: Node) -> bool:
    """Return whether a lock is used here only, and a captured variable is changed below."""
    root = lock.access.root if lock.access is not None else None
    if not isinstance(root, Binding) or binding.function is lock.call.function:
        return False
    uses = [u for u in root.uses if u is not root.node]
    return len(uses) == 2 and classify(node).kind in {"write", "update", "store"}


def _finding(file: GoFile, lock: LockOperation, unlock: Node, used: Node) -> Finding:
    name = lock.lock.name
    fix, reason = _fix(file, lock, unlock)
    return Finding(
        path=lock.call.path,
        start=lock.call.start,
        end=unlock.end,
        message=f"{name} is released at once, and {used.name} is used without it",
        fixes=(fix,) if fix else (),
        related=(Related(used.path, used.start, used.end, "used here"),),
        reason=reason,
    )


def _fix(file: GoFile, lock: LockOperation, unlock: Node) -> tuple[Fix | None, str]:
    """Defer the Unlock."""
    if innermost_loop(lock.call) is not None:
        return None, "in a loop a deferred Unlock would come too late"
    function = lock.call.function
    if function is None:
        return None, "the lock is taken outside of a function"
    point = flow_of(function).point_of(lock.call)
    later = flow_of(function).reachable(point) if point is not None else set()
    for other in locks_of(file, function).operations:
        if other.acquires and other.access == lock.access and other.call is not lock.call:
            if flow_of(function).point_of(other.call) in later:
                return None, "the lock is taken again further down"
    edit = Edit(unlock.path, unlock.start, unlock.start, b"defer ")
    reason = "the lock is held until the function returns"
    return Fix(f"Defer {unlock['function'].name}", (edit,), Safety.UNSAFE, reason), ""
