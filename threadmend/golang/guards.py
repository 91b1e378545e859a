"""Guards: which lock protects which field, believed from how the package uses it.

A field is guarded by a lock when nearly all of its accesses are made under that one lock of
the same object (or of the package), one of them a write. Constructors, code on an object
that has not escaped yet, and start-up or shut-down methods are no witnesses.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of, classify
from threadmend.golang.locks import Held, held_at
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package

__all__ = ["FieldAccess", "Guard", "field_accesses", "guard_of", "is_fresh", "is_made_here"]

_QUIET = re.compile(
    r"(?i)^(?:new|init|make|create|start|open|setup|close|stop|shutdown|reset|test)"
)
_WRITES = frozenset({"write", "update", "store"})


@dataclass(slots=True)
class FieldAccess:
    """One access of a field: the selector, how it is used, the locks held there.

    `kind` is that of `Use`; `base` the object that the field belongs to. `fresh`: the object
    was made in this very function and nothing else can know it, or the function only sets up
    or tears down.
    """

    file: GoFile
    node: Node
    kind: str
    base: Access | None
    held: frozenset[Held]
    fresh: bool

    @property
    def writes(self) -> bool:
        """Return whether the access changes the field or what it holds."""
        return self.kind in _WRITES

    def holds(self, lock_class: str) -> bool:
        """Return whether a lock of this class, of the same object, is held."""
        return any(h.lock_class == lock_class and self._belongs(h) for h in self.held)

    def _belongs(self, held: Held) -> bool:
        """Return whether a held lock lives in the same object as the field, or globally."""
        if not isinstance(held.access.root, Binding) or self.base is None:
            return True
        return held.access.root == self.base.root


@dataclass(slots=True)
class Guard:
    """The lock that guards a field: its class, and the accesses with and without it."""

    lock_class: str
    locked: list[FieldAccess]
    unlocked: list[FieldAccess]


def field_accesses(package: Package, owner: Named, name: str) -> list[FieldAccess]:
    """Return the accesses of a field in a package, test files left out."""
    known: dict[tuple[str, str], list[FieldAccess]] = package.facts.setdefault("fields", {})
    key = (str(owner), name)
    found = known.get(key)
    if found is None:
        found = known[key] = list(_accesses(package, owner, name))
    return found


def _accesses(package: Package, owner: Named, name: str) -> Iterator[FieldAccess]:
    pattern = re.compile(rb"\." + re.escape(name.encode()) + rb"\b")
    for file in package.files:
        if file.is_test or file.generated:
            continue
        for node in file.find("selector_expression", pattern):
            if node["field"].name != name:
                continue
            selection = file.selection(node)
            if selection is None or selection.kind != "field" or selection.owner is None:
                continue
            if (selection.owner.package, selection.owner.name) != (owner.package, owner.name):
                continue
            base = access_of(file, node["operand"], selection.via)
            kind = _kind_of(node)
            yield FieldAccess(
                file, node, kind, base, held_at(file, node), is_fresh(file, node, base)
            )


def _kind_of(selector: Node) -> str:
    """Return how a field is used: the selector takes the place of the identifier."""
    use = classify(selector)
    return use.kind


def guard_of(package: Package, owner: Named, name: str) -> Guard | None:
    """Return the lock that guards a field, by belief, with the counts behind it.

    At least two locked accesses, a write among them outside of set-up code, and more locked
    than unlocked ones: callers set their own, stricter bar with the lists.
    """
    accesses = [a for a in field_accesses(package, owner, name) if not a.fresh]
    classes: Counter[str] = Counter()
    for access in accesses:
        classes.update({h.lock_class for h in access.held if h.lock_class})
    best: Guard | None = None
    for lock_class, _ in sorted(classes.items(), key=lambda item: (-item[1], item[0])):
        locked = [a for a in accesses if a.holds(lock_class)]
        if best is None or len(locked) > len(best.locked):
            best = Guard(lock_class, locked, [a for a in accesses if not a.holds(lock_class)])
    if best is None or not any(a.writes for a in best.locked):
        return None
    if len(best.locked) < 2 or len(best.locked) <= len(best.unlocked):
        return None
    return best


def is_fresh(file: GoFile, node: Node, base: Access | None) -> bool:
    """Return whether an object at an access cannot be known to another goroutine yet.

    It was made in this function (`x := &T{…}`, `new(T)`, `var x T`), or the function's name
    says that it sets up or tears down.
    """
    function = node.function
    outer = function
    while outer is not None and outer.kind == "func_literal":
        outer = outer.function
    if outer is not None and outer.kind != "func_literal":
        name = outer.get("name")
        if name is not None and _QUIET.match(name.name):
            return True
    return is_made_here(node, base)


def is_made_here(node: Node, base: Access | None) -> bool:
    """Return whether the object at an access was made in this very function."""
    if base is None or not isinstance(base.root, Binding):
        return False
    binding = base.root
    if binding.function is not node.function:
        return False
    declaration = binding.declaration
    if declaration.kind == "var_spec" and declaration.get("value") is None:
        return declaration.get("type") is not None and declaration["type"].kind != "pointer_type"
    values = declaration.get("right") or declaration.get("value")
    if declaration.kind not in {"short_var_declaration", "var_spec"} or values is None:
        return False
    if binding.index >= len(values.children):
        return False
    return _makes(values.children[binding.index])


def _makes(value: Node) -> bool:
    if value.kind == "unary_expression" and value["operator"].kind == "&":
        value = value["operand"]
    if value.kind == "composite_literal":
        return True
    function = value.get("function") if value.kind == "call_expression" else None
    return function is not None and function.kind == "identifier" and function.name == "new"
