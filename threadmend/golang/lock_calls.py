"""Lock calls: the operations of a function, calls of helpers that are one operation included.

func (s *T) lock() { s.mu.Lock() }   // s.lock() is s.mu.Lock(): for who moves or drops it
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from threadmend.golang.locks import (
    LOCK_CALLS,
    Held,
    LockOperation,
    Locks,
    lock_name,
    lock_operation,
    locks_of,
)
from threadmend.golang.one_liners import naming, one_liners, only_call
from threadmend.golang.scope import Binding, position_of
from threadmend.golang.syntax import Node
from threadmend.golang.wording import bind

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package

__all__ = ["helped_locks", "helped_releases", "is_helped", "lock_call", "lock_calls", "spelled"]

_LONGEST = 300


def lock_call(file: GoFile, call: Node) -> LockOperation | None:
    """Return the lock operation that a call is, or that the helper which it calls consists of."""
    direct = lock_operation(file, call)
    if direct is not None:
        return direct
    helpers = _helpers(file.package)
    callee = file.callee(call) if helpers else None
    inner = helpers.get(callee.key) if callee is not None else None
    if callee is None or inner is None or inner.access is None:
        return None
    held = Held(inner.access, inner.mode, inner.lock_class)
    for bound in bind(file, call, callee.node, frozenset({held})):
        function, arguments = call["function"], call["arguments"].children
        lock = function["operand"] if function.kind == "selector_expression" else function
        lock = arguments[0] if arguments and lock is function else lock
        return LockOperation(
            call, inner.method, inner.type, lock, (), bound.access, bound.lock_class, inner.reads
        )
    return None


def is_helped(operation: LockOperation) -> bool:
    """Return whether a helper does what the operation says."""
    function = operation.call["function"]
    return function.kind != "selector_expression" or function["field"].name != operation.method


def lock_calls(file: GoFile, function: Node) -> list[LockOperation]:
    """Return the operations of a function itself and its calls of helpers, in source order."""
    own = locks_of(file, function).operations
    pattern = _calls(file.package)
    if pattern is None or not pattern.search(file.data, function.start, function.end):
        return own
    known: dict[Node, list[LockOperation]] = vars(file).setdefault("_lock_calls", {})
    found = known.get(function)
    if found is None:
        direct = {o.call: o for o in own}
        calls = (n for n in function.own() if n.kind == "call_expression")
        every = (direct.get(call) or lock_call(file, call) for call in calls)
        found = known[function] = [operation for operation in every if operation is not None]
    return found


class HelpedLocks(Locks):
    """The locks of a function whose calls of helpers are operations."""

    @cached_property
    def operations(self) -> list[LockOperation]:
        """Return the operations and the calls of helpers, in source order."""
        return lock_calls(self.file, self.function)


def helped_locks(file: GoFile, function: Node) -> Locks:
    """Return the lock operations of a function and what is held, helpers looked through."""
    own = locks_of(file, function)
    if lock_calls(file, function) is own.operations:
        return own
    known: dict[Node, Locks] = vars(file).setdefault("_helped_locks", {})
    if function not in known:
        known[function] = HelpedLocks(file, function)
    return known[function]


def spelled(file: GoFile, operation: LockOperation, method: str) -> str:
    """Return the call that does something else to the lock of an operation: by a helper, too.

    `s.unlock()` for `s.lock()` and Unlock.
    """
    if not is_helped(operation):
        return f"{operation.lock.name}.{method}()"
    callee, function = file.callee(operation.call), operation.call["function"]
    helpers = _helpers(file.package)
    same = helpers.get(callee.key) if callee is not None else None
    for decl in file.package.functions():
        other = helpers.get(decl.key)
        if callee is None or same is None or other is None or other.method != method:
            continue
        if decl.receiver == callee.receiver and _place(decl, other) == _place(callee, same):
            word = function.get("field") or function
            text, start = operation.call.text, operation.call.start
            head, tail = text[: word.start - start], text[word.end - start :]
            return (head + decl.name.encode() + tail).decode()
    held = operation.held
    name = lock_name(file, held) if held is not None else operation.lock.name
    return f"{name}.{method}()"


def _place(decl: Decl, operation: LockOperation) -> tuple[object, ...]:
    """Return what two helpers have in common that are about the same lock."""
    root = operation.access.root if operation.access is not None else None
    steps = operation.access.steps if operation.access is not None else ()
    if isinstance(root, Binding) and root.kind == "parameter":
        return position_of(decl.node, root), operation.type, steps
    return operation.lock_class, steps


def _helpers(package: Package) -> dict[tuple[str, int], LockOperation]:
    """Return, by `Decl.key`, the functions whose body is one operation, and the operation."""
    return one_liners(package, "one_operation", _only_operation, _operation_behind)


def helped_releases(package: Package) -> Iterator[tuple[tuple[str, int], str]]:
    """Yield the functions that consist of one release, by `Decl.key`, with the lock's class."""
    for key, operation in _helpers(package).items():
        if operation.releases and operation.lock_class is not None:
            yield key, operation.lock_class


def _calls(package: Package) -> re.Pattern[bytes] | None:
    """Return what a call of a helper looks like, None where there is none."""
    helpers = _helpers(package)
    found: re.Pattern[bytes] | None = package.facts.get("one_operation_calls")
    if found is None and helpers:
        names = {decl.name for decl in package.functions() if decl.key in helpers}
        found = package.facts["one_operation_calls"] = re.compile(naming(names))
    return found


def _only_operation(decl: Decl) -> LockOperation | None:
    return _made_by(decl, LOCK_CALLS, lock_operation)


def _operation_behind(decl: Decl, calls: re.Pattern[bytes]) -> LockOperation | None:
    """Return the operation of a helper that consists of a call of another helper."""
    return _made_by(decl, calls, lock_call)


def _made_by(
    decl: Decl,
    calls: re.Pattern[bytes],
    read: Callable[[GoFile, Node], LockOperation | None],
) -> LockOperation | None:
    """Return what the only call of a function is, where it has the pattern."""
    call = only_call(decl, calls, _LONGEST)
    if call is None or decl.node.get("result") is not None:
        return None
    operation = read(decl.file, call)
    if operation is None or not (operation.acquires or operation.releases):
        return None
    return operation
