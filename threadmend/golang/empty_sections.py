"""Critical sections that end where they begin, with what the lock guards used below.

c.mu.Lock()
c.mu.Unlock()       what was meant is `defer c.mu.Unlock()`: all that follows belongs under it
c.n++
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from threadmend.golang.access import access_of, classify, lock_class
from threadmend.golang.guards import guarded_places
from threadmend.golang.locks import LockOperation, held_at, lock_operation
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["EmptySection", "empty_sections", "is_behind_empty_section"]

_SECTION = {"Lock": "Unlock", "RLock": "RUnlock"}


class EmptySection(NamedTuple):
    """A Lock and the Unlock right behind it; `used` is guarded, and stands below."""

    lock: LockOperation
    unlock: Node
    used: Node


def empty_sections(file: GoFile) -> list[EmptySection]:
    """Return the critical sections with nothing in them and guarded state below."""
    known: dict[str, list[EmptySection]] = file.package.facts.setdefault("empty sections", {})
    if file.path not in known:
        known[file.path] = list(_found(file))
    return known[file.path]


def is_behind_empty_section(file: GoFile, node: Node, guard: str) -> bool:
    """Return whether a place follows an empty section of a lock of this class in its function."""
    return any(
        section.lock.lock_class == guard
        and section.lock.call.function is node.function
        and section.unlock.end <= node.start
        and _block(section.unlock).contains(node)
        for section in empty_sections(file)
    )


def _block(call: Node) -> Node:
    statement = call.parent
    assert statement is not None
    return statement.parent or statement


def _found(file: GoFile) -> Iterator[EmptySection]:
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
        if _is_behind_wait(statement):
            continue  # what it was told of is written; it waits until who told has left
        lock = lock_operation(file, call)
        if lock is None or lock.access is None:
            continue
        used = _guarded_below(file, lock, after)
        if used is not None:
            yield EmptySection(lock, unlock, used)


def _is_behind_wait(statement: Node) -> bool:
    """Return whether a statement comes right behind a receive: `case <-f.done: f.mu.Lock()`."""
    above = statement.previous
    if above is not None and above.kind == "expression_statement":
        return above.text.startswith(b"<-")
    case = statement.parent
    if case is None or case.kind != "communication_case" or case.statements[0] is not statement:
        return False
    return case["communication"].kind != "send_statement"


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
