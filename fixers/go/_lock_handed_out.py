"""Locks that are handed out under another lock, which their release needs.

    func (k *keyed) lock(key string) {          func (k *keyed) unlock(key string) {
        k.mu.Lock()                                 k.mu.Lock()
        k.locks[key].Lock()    // waits             defer k.mu.Unlock()
        k.mu.Unlock()                               k.locks[key].Unlock()
    }                                           }

Who waits for the inner lock has the outer one, and who has the inner one cannot give it back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import (
    BuilderError,
    delete,
    free_name,
    insert_after,
    replace,
    taken_names,
)
from threadmend.golang.calls import code_files
from threadmend.golang.effects import Pair, pairs_of
from threadmend.golang.file import GoFile
from threadmend.golang.lockorder import is_new
from threadmend.golang.locks import (
    LOCK_CALLS,
    LockOperation,
    held_at,
    lock_name,
    lock_operation,
    locks_of,
    may_leave,
)
from threadmend.golang.meant_locks import meant_class
from threadmend.golang.syntax import Node
from threadmend.golang.types import Pointer
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._after_unlock import after_unlock
from ._taken_here import taken_here

__all__ = ["handed_out"]

_RELEASES = re.compile(rb"\.R?Unlock\(\)")


def handed_out(file: GoFile) -> Iterator[Finding]:
    """Yield the waits for a lock that the function keeps, under one that its release needs."""
    for function in file.functions(LOCK_CALLS):
        left = may_leave(file, function) - {None}
        for pair in pairs_of(file, function) if left else ():
            event = pair.event
            if event.kind != "acquire" or not event.sure or len(event.path) > 1:
                continue
            if event.lock_class not in left or pair.held.lock_class in left:
                continue
            if is_new(file, pair):
                continue  # nobody else has it yet
            taken = lock_operation(file, event.operation)
            class_ = meant_class(file, taken.lock) if taken is not None else None
            release = _given_back(pair, class_) if class_ is not None else None
            if taken is not None and release is not None:
                yield _finding(file, pair, taken, release)


def _given_back(pair: Pair, class_: str) -> LockOperation | None:
    """Return where the inner lock is released, when that is always under the outer one."""
    found = None
    for file in code_files(pair.file.package):
        for function in file.functions(_RELEASES) if file.holds(_RELEASES) else ():
            if function is pair.function:
                continue
            operations = [
                o
                for o in locks_of(file, function).operations
                if meant_class(file, o.lock) == class_
            ]
            if not operations or any(o.acquires for o in operations):
                continue
            for operation in operations:
                if operation.deferred is not None or not _is_under(file, operation, pair):
                    return None
                found = found or operation
    return found


def _is_under(file: GoFile, release: LockOperation, pair: Pair) -> bool:
    return any(
        held.lock_class == pair.held.lock_class and "write" in {held.mode, pair.held.mode}
        for held in held_at(file, release.call)
    )


def _finding(file: GoFile, pair: Pair, taken: LockOperation, release: LockOperation) -> Finding:
    inner, outer = taken.lock.name, lock_name(file, pair.held)
    node, fix, reason = pair.node, None, ""
    try:
        fix = _fix(file, pair, taken, outer)
    except BuilderError as error:
        reason = str(error)
    related = taken_here(pair.taken_at, outer)
    at = release.call
    related.append(Related(at.path, at.start, at.end, f"released here, under {outer}"))
    return Finding(
        path=node.path,
        start=node.start,
        end=node.end,
        message=f"{inner} is waited for while {outer} is held, and who has it needs {outer} first",
        fixes=(fix,) if fix else (),
        related=tuple(related),
        reason=reason,
    )


def _fix(file: GoFile, pair: Pair, taken: LockOperation, outer: str) -> Fix:
    """Take the inner lock when the outer one has been released.

    Unsafe: what the outer lock guards may change before the inner one is there.
    """
    statement = pair.node.parent
    if statement is None or statement.kind != "expression_statement":
        raise BuilderError("the lock operation is part of another statement")
    if _is_dropped(file, meant_class(file, taken.lock) or ""):
        raise BuilderError("the lock may be dropped from its list before one has it")
    if taken.lock.kind == "index_expression":
        edits = _element_after(file, pair, taken, statement)
    else:
        edits = after_unlock(file, pair.held.access, statement)
    reason = f"others may take {outer} before the lock is there"
    return Fix(f"Take {taken.lock.name} after {outer} is released", edits, Safety.UNSAFE, reason)


def _element_after(
    file: GoFile, pair: Pair, taken: LockOperation, statement: Node
) -> tuple[Edit, ...]:
    """Look the inner lock up under the outer one, and take it behind the release."""
    if not isinstance(file.type_of(taken.lock), Pointer):
        raise BuilderError("the lock stands in the list itself")
    name = free_name("mu", taken_names(pair.function))
    lines = f"{name} := {taken.lock.name}", f"{name}.{taken.method}()"
    following = statement.next
    for operation in locks_of(file, pair.function).operations:
        if not operation.releases or operation.access != pair.held.access:
            continue
        release = operation.deferred or operation.call.parent
        if operation.deferred is None and release is not None and release is following:
            return (*replace(statement, lines[0]), *insert_after(release, lines[1]))
        if operation.deferred is not None and following is None and _ends(pair, statement):
            unlock = operation.call.name
            code = "\n".join([lines[0], unlock, lines[1]])
            return (*delete(operation.deferred), *replace(statement, code))
    raise BuilderError("the critical section goes on after it")


def _ends(pair: Pair, statement: Node) -> bool:
    """Return whether a statement ends the function, and nothing leaves it before."""
    returns = any(n.kind == "return_statement" for n in pair.function.own())
    return statement.parent is pair.function.get("body") and not returns


def _is_dropped(file: GoFile, class_: str) -> bool:
    """Return whether the package deletes from the map that has the lock, if not from any map."""
    of = class_.removesuffix("[]").rpartition(".")[2] if class_.endswith("[]") else ""
    deletes = re.compile(rb"\bdelete\([\w.]*\b" + re.escape(of.encode()))
    return any(f.holds(deletes) for f in code_files(file.package))
