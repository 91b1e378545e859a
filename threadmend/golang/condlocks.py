"""Condition variables' locks: `c.cond.L` is the lock that `sync.NewCond` was given.

    c.cond = sync.NewCond(&c.mu)          // c.cond.L is c.mu
    c.cond = sync.NewCond(c.mu.RLocker()) // c.cond.L.Lock() read-locks c.mu

Certain when every condition variable that the package stores in the field is made from the
same lock of the same object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of, is_assigned_once, lock_class, stored_in
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, deref

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["Behind", "lock_behind"]


@dataclass(frozen=True, slots=True)
class Behind:
    """The lock that a `Cond.L` stands for; `reads`: through its RLocker."""

    access: Access
    lock_class: str | None
    type: str
    reads: bool


@dataclass(frozen=True, slots=True)
class _Made:
    """What a field's condition variable is made from: steps from the object to its lock."""

    steps: tuple[str, ...]
    lock_class: str | None
    type: str
    reads: bool


def lock_behind(file: GoFile, lock: Node) -> Behind | None:
    """Return the lock that an expression `x.cond.L` means, None when it is not certain."""
    if lock.kind != "selector_expression" or lock["field"].name != "L":
        return None
    selection = file.selection(lock)
    if selection is None or str(selection.owner) != "sync.Cond":
        return None
    cond = lock["operand"]
    if cond.kind == "identifier":
        return _of_variable(file, cond)
    if cond.kind != "selector_expression":
        return None
    selection = file.selection(cond)
    base = access_of(file, cond["operand"], selection.via if selection is not None else ())
    if selection is None or base is None or not isinstance(selection.owner, Named):
        return None
    made = _of_field(file, selection.owner, selection.name)
    if made is None:
        return None
    return Behind(
        Access(base.root, base.steps + made.steps), made.lock_class, made.type, made.reads
    )


def _of_variable(file: GoFile, name: Node) -> Behind | None:
    """`cond := sync.NewCond(&mu)`."""
    binding = file.binding(name)
    if binding is None or binding.kind != "variable" or not is_assigned_once(binding):
        return None
    found = _argument(file, binding.value) if binding.value is not None else None
    if found is None:
        return None
    lock, reads = found
    access = access_of(file, lock)
    if access is None:
        return None
    return Behind(access, lock_class(file, lock), str(deref(file.type_of(lock))), reads)


def _of_field(file: GoFile, owner: Named, name: str) -> _Made | None:
    package = file.package.workspace.package_by_key(owner.package)
    if package is None or owner.local or name[:1].isupper():
        return None
    known: dict[tuple[str, str], _Made | None] = package.facts.setdefault("cond_locks", {})
    key = (owner.name, name)
    if key not in known:
        known[key] = None
        known[key] = _made(file, owner, name)
    return known[key]


def _made(file: GoFile, owner: Named, name: str) -> _Made | None:
    from threadmend.golang.targets import stored_values

    package = file.package.workspace.package_by_key(owner.package)
    assert package is not None
    found: set[_Made] = set()
    for storing, value in stored_values(package, owner, name):
        argument = _argument(storing, value)
        base = _base(storing, value)
        lock = access_of(storing, argument[0]) if argument is not None else None
        if argument is None or base is None or lock is None or not lock.under(base):
            return None
        type_ = str(deref(storing.type_of(argument[0])))
        class_ = lock_class(storing, argument[0])
        found.add(_Made(lock.steps[len(base.steps) :], class_, type_, argument[1]))
    made = found.pop() if len(found) == 1 else None
    return made if made is not None and made.steps else None


def _base(file: GoFile, value: Node) -> Access | None:
    """Return the object of `object.field = value`."""
    target = stored_in(value)
    if target is None:
        return None
    selection = file.selection(target)
    base = access_of(file, target["operand"], selection.via if selection is not None else ())
    return base if base is not None and isinstance(base.root, Binding) else None


def _argument(file: GoFile, value: Node) -> tuple[Node, bool] | None:
    """Return the lock of `sync.NewCond(&lock)`, and whether it is its RLocker."""
    if value.kind != "call_expression" or value["function"].text != b"sync.NewCond":
        return None
    arguments = value["arguments"].children
    if len(arguments) != 1:
        return None
    argument = arguments[0]
    if argument.kind == "call_expression":
        function = argument["function"]
        if function.kind != "selector_expression" or function["field"].name != "RLocker":
            return None
        selection = file.selection(function)
        if selection is None or str(selection.owner) != "sync.RWMutex" or selection.via:
            return None
        return function["operand"], True
    if argument.kind == "unary_expression" and argument["operator"].kind == "&":
        return argument["operand"], False
    return (argument, False) if argument.kind == "selector_expression" else None
