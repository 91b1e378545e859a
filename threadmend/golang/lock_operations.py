"""Lock operations: which calls take or release a lock, and which lock that is.

A lock's class is (type, field path) or the variable; its instance is the access path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of, lock_class, selector_called
from threadmend.golang.infer_members import FOREIGN_LOCKS, Selection
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Func, Interface, Named, TypeParam, deref

if TYPE_CHECKING:
    from threadmend.golang.condlocks import Behind
    from threadmend.golang.file import GoFile

__all__ = [
    "LOCK_CALLS",
    "LOCK_TYPES",
    "Held",
    "LockOperation",
    "is_wrapped",
    "lock_name",
    "lock_operation",
    "ordered",
]

LOCK_TYPES = frozenset(
    {
        "sync.Mutex",
        "sync.RWMutex",
        "sync.Locker",
    }
)
_ACQUIRES = {"Lock": "write", "RLock": "read", "TryLock": "write", "TryRLock": "read"}
_RELEASES = {"Unlock": "write", "RUnlock": "read"}
LOCK_CALLS = re.compile(rb"\.(?:Try)?R?(?:Lock|Unlock)\b")


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that is held: which object, in which mode (`write` or `read`), of which class."""

    access: Access
    mode: str
    lock_class: str | None


def ordered(held: Iterable[Held]) -> list[Held]:
    """Return held locks in an order that is the same in each run."""
    return sorted(held, key=lambda h: (str(h.access), h.mode, h.lock_class or ""))


def is_wrapped(lock_class: str | None) -> bool:
    """Return whether a lock is what a field embeds that is called a lock itself: `s.mtx.Mutex`.

    `type Mutex struct { sync.Mutex }`: it is known by the name of the field.
    """
    return _WRAPPED.search(lock_class or "") is not None


_WRAPPED = re.compile(r"(?i)(?:mu|mtx|mutex|lock)\d*\.(?:RW)?Mutex$")


def lock_name(file: GoFile, held: Held) -> str:
    """Return a held lock as a message names it: `s.mu`, or `mu` of the package."""
    root, access = held.access.root, held.access
    if is_wrapped(held.lock_class) and len(access.steps) > 1:
        access = Access(root, access.steps[:-1])
    if isinstance(root, Binding):
        return str(access)
    for decls in file.package.names.values():
        for decl in decls:
            if (*decl.key, decl.index) == root:
                return ".".join((decl.name, *access.steps))
    return (held.lock_class or "").rpartition("/")[2]


@dataclass(slots=True)
class LockOperation:
    """One call of Lock, Unlock, RLock, RUnlock, TryLock or TryRLock on a lock of `type`.

    `lock` is the expression before the method; `via` the embedded fields through which the
    method is promoted; `access` the object, None for a computed one. `cond.L` means the lock
    that the condition variable was made with; `reads`: with the RLocker of one.
    """

    call: Node
    method: str
    type: str
    lock: Node
    via: tuple[str, ...]
    access: Access | None
    lock_class: str | None
    reads: bool = False

    @property
    def mode(self) -> str:
        """Return `write` or `read`."""
        if self.reads:
            return "read"
        return _ACQUIRES.get(self.method) or _RELEASES[self.method]

    @property
    def acquires(self) -> bool:
        """Return whether the call takes the lock for sure (TryLock may not)."""
        return self.method in {"Lock", "RLock"}

    @property
    def tries(self) -> bool:
        """Return whether the call is TryLock or TryRLock."""
        return self.method in {"TryLock", "TryRLock"}

    @property
    def releases(self) -> bool:
        """Return whether the call gives the lock back."""
        return self.method in _RELEASES

    @property
    def deferred(self) -> Node | None:
        """Return the defer statement when the call itself is deferred."""
        parent = self.call.parent
        return parent if parent is not None and parent.kind == "defer_statement" else None

    @property
    def held(self) -> Held | None:
        """Return what is held after the call takes the lock."""
        return Held(self.access, self.mode, self.lock_class) if self.access else None


def lock_operation(file: GoFile, call: Node) -> LockOperation | None:
    """Return the lock operation that a call is, if its receiver is a lock."""
    function = selector_called(file, call)
    if function is None:
        return None
    method = function["field"].name
    if method not in _ACQUIRES and method not in _RELEASES:
        return None
    if call["arguments"].children:
        return None  # a lock for each key: `locker.Lock(name)`
    selection = file.selection(function)
    if selection is None:
        return None
    type_ = str(selection.owner) if selection.owner is not None else ""
    if type_ not in LOCK_TYPES and not (
        _is_own_lock_type(file, selection, method) or _is_foreign(selection, call)
    ):
        if not _is_any_lock(file, function["operand"], selection):
            return None
        type_ = "sync.Locker"
    lock = _chained(function["operand"]) if method in _RELEASES else function["operand"]
    if type_ == "sync.Locker" and (meant := _of_cond(file, lock)) is not None:
        return LockOperation(
            call, method, meant.type, lock, (), meant.access, meant.lock_class, meant.reads
        )
    return LockOperation(
        call,
        method,
        type_,
        lock,
        selection.via,
        access_of(file, lock, selection.via),
        lock_class(file, lock, selection.via),
    )


def _chained(operand: Node) -> Node:
    """Return the lock of `x.mu.Lock()` in `defer x.mu.Lock().Unlock()`: Lock returns its own."""
    inner = operand["function"] if operand.kind == "call_expression" else None
    if inner is None or inner.kind != "selector_expression" or operand["arguments"].children:
        return operand
    return inner["operand"] if inner["field"].name in {"Lock", "RLock"} else operand


_LOCKED = re.compile(rb"\.R?Lock\(\)|\bchan\b|<-")


def _is_any_lock(file: GoFile, operand: Node, selection: Selection) -> bool:
    """Return whether a parameter or variable is one of any locks: its type, an interface or a type
    parameter, is known by the method alone. `func hold[L sync.Locker](l L) { l.Lock() }`
    """
    if operand.kind != "identifier" or not isinstance(selection.type, Func):
        return False
    if selection.type.params or selection.type.results:
        return False
    binding, type_ = file.binding(operand), file.type_of(operand)
    if binding is None or not binding.is_variable or _is_no_lock(file, binding.value):
        return False
    return isinstance(type_, TypeParam) or isinstance(file.underlying(type_), Interface)


def _is_no_lock(file: GoFile, value: Node | None) -> bool:
    """Return whether a variable is given an object whose Lock is a method that takes no lock."""
    type_ = deref(file.type_of(value)) if value is not None else None
    if not isinstance(type_, Named):
        return False
    package = file.package.workspace.package_by_key(type_.package)
    methods = package.methods(type_.name).get("Lock", ()) if package is not None else ()
    return any(m.has_body and _LOCKED.search(m.file.data, *m.span) is None for m in methods)


def _is_own_lock_type(file: GoFile, selection: Selection, method: str) -> bool:
    """Return whether a type of another package of the project is a lock: it wraps one.

    In its own package a wrapper is looked through instead (`holding.net_acquires`).
    """
    owner = selection.owner
    package = file.package.workspace.package_by_key(owner.package) if owner is not None else None
    if owner is None or package is None or package is file.package:
        return False
    methods = package.methods(owner.name)
    pair = {"Lock", "Unlock"} if method in {"Lock", "Unlock", "TryLock"} else {"RLock", "RUnlock"}
    if not pair.issubset(methods):
        return False
    takes = methods["Lock" if "Lock" in pair else "RLock"][0]
    gives = methods["Unlock" if "Unlock" in pair else "RUnlock"][0]
    if gives.node["parameters"].children:
        return False  # a gate: `g.Unlock(ready)`
    start, end = takes.span
    return takes.has_body and _LOCKED.search(takes.file.data, start, end) is not None


def _is_foreign(selection: Selection, call: Node) -> bool:
    """Return whether a type's package is not at hand, and it is used as sync's locks are.

    Locks of several machines say whether they were taken.
    """
    owner = selection.owner
    if selection.decl is not None or owner is None or owner.name not in FOREIGN_LOCKS:
        return False
    alone = call.parent is not None and call.parent.kind in _STATEMENTS
    return alone or selection.name.startswith("Try")


_STATEMENTS = frozenset({"expression_statement", "defer_statement", "go_statement"})


def _of_cond(file: GoFile, lock: Node) -> Behind | None:
    from threadmend.golang.condlocks import lock_behind

    return lock_behind(file, lock)
