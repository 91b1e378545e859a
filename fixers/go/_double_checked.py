"""Double-checked locking: a plain look before the lock, and a second one under it.

    if c.conn == nil {             c.mu.Lock()
        c.mu.Lock()            →   defer c.mu.Unlock()
        defer c.mu.Unlock()        if c.conn == nil {
        if c.conn == nil {             c.conn = dial()
            c.conn = dial()        }

The first look races with the write under the lock: it may see a pointer to what is not
written yet. Shown by the second look: the function itself expects others in between.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import access_of
from threadmend.golang.builders import (
    BuilderError,
    delete,
    delete_all,
    insert_after,
    insert_before,
    with_reason,
)
from threadmend.golang.field_accesses import access_kind
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import LOCK_CALLS, LockOperation, held_at, locks_of
from threadmend.golang.package import Package
from threadmend.golang.races import explained
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._one_look import first_dropped, inner_alone, is_answered

__all__ = ["double_checked"]

_READS = frozenset({"selector_expression", "identifier"})
_THROUGH = frozenset({"selector_expression", "index_expression", "slice_expression"})
_WRITES = frozenset({"write", "update", "store"})


def double_checked(package: Package) -> Iterator[tuple[set[Node], Finding]]:
    """Yield the unlocked looks at what a later look under the lock decides; their nodes first."""
    for file in package.files:
        if file.generated or file.is_test or file.broken:
            continue
        for declaration in file.declarations(LOCK_CALLS):
            if declaration.kind not in {"function_declaration", "method_declaration"}:
                continue
            for outer in declaration.index.get("if_statement", ()):
                found = _looked_twice(file, outer)
                if found is not None:
                    yield found


def _looked_twice(file: GoFile, outer: Node) -> tuple[set[Node], Finding] | None:
    function = outer.function
    if function is None or outer.get("initializer") is not None:
        return None
    lock = _lock_after(file, function, outer)
    if lock is None:
        return None
    for read in _reads(file, outer["condition"]):
        if _is_own(file, read, lock):
            continue
        second, write = _second_look(file, function, read, lock)
        if explained(file, read) or held_at(file, read):
            continue
        if second is not None and write is not None:
            return _looks(file, outer, read), _finding(file, outer, read, second, lock)
    return None


def _lock_after(file: GoFile, function: Node, outer: Node) -> LockOperation | None:
    """Return the operation that takes a lock first of all in the branch, or right behind it."""
    first = outer["consequence"].statements[:1]
    behind = outer.next
    for operation in locks_of(file, function).operations:
        if operation.method == "Lock" and operation.access is not None:
            statement = operation.call.parent
            if statement in first or (statement is behind and _leaves(outer)):
                return operation
    return None


def _leaves(outer: Node) -> bool:
    inside = outer["consequence"].statements
    last = inside[-1].kind if inside else ""
    return outer.get("alternative") is None and last == "return_statement"


def _reads(file: GoFile, condition: Node) -> Iterator[Node]:
    """Yield the plain fields and variables that a condition looks at for themselves."""
    for node in condition.walk():
        if node.kind not in _READS or node.field in {"field", "function"}:
            continue
        if node.field == "operand" and node.parent is not None and node.parent.kind in _THROUGH:
            continue
        access = access_of(file, node)
        if access is None or access_kind(file, node) != "read":
            continue
        if not access.steps and node.function is not None and _is_local(file, node):
            continue
        yield node


def _is_local(file: GoFile, node: Node) -> bool:
    access = access_of(file, node)
    return access is not None and not isinstance(access.root, tuple)


def _is_own(file: GoFile, read: Node, lock: LockOperation) -> bool:
    """Return whether a place is in a variable of the function, and the lock in another object."""
    access = access_of(file, read)
    if access is None or not isinstance(access.root, Binding) or lock.access is None:
        return False
    return access.root.kind == "variable" and lock.access.root != access.root


def _second_look(
    file: GoFile, function: Node, read: Node, lock: LockOperation
) -> tuple[Node | None, Node | None]:
    """Return the look at the same place under the lock, in a condition, and a write after it."""
    wanted, second = access_of(file, read), None
    assert lock.held is not None
    for node in function.own():
        if node.kind not in _READS or node.start < lock.call.end or node.text != read.text:
            continue
        if access_of(file, node) != wanted:
            continue
        held = {h.access for h in locks_of(file, function).held_before(node)}
        if lock.access not in held:
            continue
        kind = access_kind(file, node)
        if second is None and kind == "read" and _in_condition(node):
            second = node
        elif second is not None and kind in _WRITES:
            return second, node
    return second, None


def _in_condition(node: Node) -> bool:
    inner = node
    for ancestor in node.ancestors():
        if ancestor.kind == "if_statement":
            return inner.field == "condition"
        if ancestor.kind.endswith("_statement"):
            return False
        inner = ancestor
    return False


def _looks(file: GoFile, outer: Node, read: Node) -> set[Node]:
    """Return the accesses of the place in the function: one finding is about all of them."""
    wanted, function = access_of(file, read), outer.function
    assert function is not None
    return {
        n
        for n in function.own()
        if n.kind in _READS and n.text == read.text and access_of(file, n) == wanted
    }


def _finding(file: GoFile, outer: Node, read: Node, second: Node, lock: LockOperation) -> Finding:
    fix, reason = _fix(file, outer, read, lock)
    return Finding(
        path=file.path,
        start=read.start,
        end=read.end,
        message=f"{read.name} is read without {lock.lock.name}, under which it is set",
        fixes=(fix,) if fix is not None else (),
        related=(Related(second.path, second.start, second.end, "read under the lock here"),),
        reason=reason,
    )


@with_reason
def _fix(file: GoFile, outer: Node, read: Node, lock: LockOperation) -> Fix:
    name, edits = lock.lock.name, _edits(file, outer, read, lock)
    reason = f"every call now takes {name}"
    statement = lock.call.parent
    if statement is not None and not outer.contains(statement):
        if dropped := first_dropped(outer, _behind(file, lock)):
            return Fix(f"Drop the look without {name}", dropped, Safety.UNSAFE, reason)
    return Fix(f"Take {name} before the first look", edits, Safety.UNSAFE, reason)


def _behind(file: GoFile, lock: LockOperation) -> Node | None:
    """Return the statement behind a Lock, and behind its deferred Unlock."""
    function, statement = lock.call.function, lock.call.parent
    behind = statement.next if statement is not None else None
    if function is None or behind is None:
        return None
    own = [o for o in locks_of(file, function).operations if o.access == lock.access]
    return behind.next if any(o.deferred is behind for o in own) else behind


def _edits(file: GoFile, outer: Node, read: Node, lock: LockOperation) -> tuple[Edit, ...]:
    """Move the Lock, and what releases it, so that the first look is in the same section.

    Sound when nothing else of the function touches the lock: what ran under it still does.
    """
    function = outer.function
    assert function is not None
    own = [o for o in locks_of(file, function).operations if o.access == lock.access]
    statement = lock.call.parent
    if statement is None or statement.kind != "expression_statement":
        raise BuilderError("the lock is taken inside of a larger statement")
    if sum(o.acquires for o in own) != 1 or innermost_loop(outer) is not None:
        raise BuilderError("the function takes the lock at several places")
    deferred = next((o.deferred for o in own if o.deferred is not None), None)
    name, second = lock.lock.name, _behind(file, lock)
    if outer.contains(statement):
        if alone := inner_alone(outer, second, name, deferred=deferred is not None):
            return alone
    if deferred is not None:
        if deferred is not statement.next:
            raise BuilderError("the lock is not released by the statement that follows")
        taken = insert_before(outer, f"{name}.Lock()\ndefer {name}.Unlock()")
        gone = [statement, deferred]
        if second is not None and outer.contains(second) and is_answered(outer, second):
            gone.append(second)
        return (*delete_all(gone), *taken)
    edits = list(delete(statement))
    edits += insert_before(outer, f"{name}.Lock()")
    if outer.contains(statement):
        edits += _released_behind(outer, own)
    else:
        edits += _released_in(outer, read, name)
    return tuple(edits)


def _released_behind(outer: Node, own: list[LockOperation]) -> list[Edit]:
    """Release behind the branch what its last statement releases."""
    last = outer["consequence"].statements[-1]
    release = next((o for o in own if o.call.parent is last), None)
    if release is None or outer.get("alternative") is not None:
        raise BuilderError("the lock is not released at the end of the branch")
    return [*delete(last), *insert_after(outer, f"{release.lock.name}.Unlock()")]


def _released_in(outer: Node, read: Node, name: str) -> list[Edit]:
    """Release before the return of the first look."""
    inside = outer["consequence"].statements
    if len(inside) != 1 or any(n.text == read.text for n in inside[0].walk()):
        raise BuilderError(f"{read.name} is returned where the lock would be released")
    if any(n.kind == "call_expression" for n in inside[0].walk()):
        raise BuilderError("something is called where the lock would be released")
    return list(insert_before(inside[0], f"{name}.Unlock()"))
