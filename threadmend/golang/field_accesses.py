"""Field accesses: where a field or package variable is read, written or called, and under what.

for access in accesses_like(package, file, selector):
    if access.writes and not access.held: ...
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of, classify, lock_class
from threadmend.golang.calls import code_files, leaf_at, occurrences
from threadmend.golang.locks import Held, held_at, held_inside
from threadmend.golang.map_methods import stores_through
from threadmend.golang.scope import Binding
from threadmend.golang.setup import (
    is_local_value,
    is_made_here,
    is_setup,
    makes,
    tears_down_early,
)
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, Pointer, Struct, Type

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package

__all__ = ["FieldAccess", "access_kind", "accesses_like", "sources"]

_WRITES = frozenset({"write", "update", "store"})
_CODE = frozenset({"function_declaration", "method_declaration", "var_declaration"})


class FieldAccess:
    """One access of a field or package variable.

    `node` is the selector or identifier, `kind` that of `Use` (a write through a pointer in
    the field is a `read` of the field; `call` is a method call on it that may change it),
    `base` the object that the field belongs to, None for a package variable; `place` is the
    class of the field or variable.
    """

    def __init__(self, file: GoFile, node: Node, kind: str, base: Access | None) -> None:
        self.place = lock_class(file, node)
        self.file = file
        self.node = node
        self.kind = kind
        self.base = base

    @classmethod
    def at(cls, file: GoFile, node: Node) -> FieldAccess:
        """Return the access that a selector, or the name of a package variable, is."""
        base = None
        if node.kind == "selector_expression":
            selection = file.selection(node)
            base = access_of(file, node["operand"], selection.via if selection is not None else ())
        return cls(file, node, access_kind(file, node), base)

    def __repr__(self) -> str:
        line = self.file.source.line_of(self.node.start)
        return f"<{self.kind} {self.node.name} {self.file.path}:{line}>"

    @property
    def writes(self) -> bool:
        """Return whether the access changes the field or what it holds."""
        return self.kind in _WRITES

    @cached_property
    def held(self) -> frozenset[Held]:
        """Return the locks that are certainly held."""
        return held_at(self.file, self.node)

    @cached_property
    def held_here(self) -> frozenset[Held]:
        """Return the locks that the function itself holds, callers aside."""
        return held_inside(self.file, self.node)

    @cached_property
    def fresh(self) -> bool:
        """Return whether nobody else knows the object: it was made here, or is a copy."""
        if self.base is None:
            operand = self.node.get("operand")
            return operand is not None and operand.kind == "call_expression" and makes(operand)
        if is_made_here(self.file, self.node, self.base):
            return True
        return is_local_value(self.file, self.node["operand"])

    @cached_property
    def setup(self) -> bool:
        """Return whether the code only sets up or tears down.

        Who takes a lock to write while it tears down has others beside it.
        """
        if not is_setup(self.file, self.node):
            return False
        return not (self.writes and self.held_here and tears_down_early(self.file, self.node))

    def holds(self, lock: str, *, here: bool = False) -> bool:
        """Return whether a lock of this class, of the same object, is held."""
        held = self.held_here if here else self.held
        return any(h.lock_class == lock and self.belongs(h) for h in held)

    def belongs(self, held: Held) -> bool:
        """Return whether a held lock lives in the same object as the field, or globally."""
        if not isinstance(held.access.root, Binding) or self.base is None:
            return True
        if held.access.root != self.base.root:
            return False
        if _owner(held.lock_class) == _owner(self.place):
            # Two objects of one type: each has its own lock.
            return held.access.owner == self.base
        return True


def _owner(class_: str | None) -> str:
    return (class_ or "").rpartition(".")[0]


def sources(package: Package) -> list[GoFile]:
    """Return the files whose accesses count: tests and generated files left out."""
    return [f for f in code_files(package) if not f.generated]


def accesses_like(package: Package, file: GoFile, target: Node) -> list[FieldAccess]:
    """Return the accesses of the field or package variable that an expression names.

    `target` is a selector or identifier in `file`, of this package or one that this one imports.
    Test files are left out.
    """
    place = lock_class(file, target)
    known: dict[str | None, list[FieldAccess]] = package.facts.setdefault("alike", {})
    if place not in known:
        name = target["field"] if target.kind == "selector_expression" else target
        files = sources(package) if place is not None else []
        kind = target.kind if file.package is package else "selector_expression"
        known[place] = [a for f in files for a in _alike(f, name.text, kind, place)]
    return known[place]


def _alike(file: GoFile, name: bytes, kind: str, place: str | None) -> Iterator[FieldAccess]:
    for at in occurrences(file.data, name):
        declaration = file.tree.declaration_at(at)
        if declaration is None or declaration.kind not in _CODE or declaration.has_error:
            continue
        leaf = leaf_at(declaration, at)
        node = leaf.parent if leaf is not None and leaf.field == "field" else leaf
        if node is None or node.kind != kind or node.function is None:
            continue
        if lock_class(file, node) == place:
            yield FieldAccess.at(file, node)


def access_kind(file: GoFile, node: Node) -> str:
    """Return how a field or variable is used: like `Use.kind`, but a pointer ends the path.

    `s.p.x = 1` reads `s.p`. Whoever takes a lock inside of a struct (`s.mu.Lock()`, where `mu`
    embeds the lock among what it guards) does not read the struct: that is a `call`. A method
    of a map type that writes elements is a `store`.
    """
    kind = classify(node).kind
    if kind in {"store", "read"}:
        target = node
        parent = target.parent
        while parent is not None and _continues(parent, target):
            type_ = file.type_of(target)
            if isinstance(file.underlying(type_), Pointer):
                return "read"
            if parent.field == "function":
                if _is_lock_itself(type_):
                    return "call"
                return "store" if stores_through(file, parent) else kind
            target, parent = parent, parent.parent
    return kind


def _continues(parent: Node, target: Node) -> bool:
    if parent.kind == "parenthesized_expression":
        return True
    if parent.kind == "unary_expression":
        return parent["operator"].kind == "*"
    return target.field == "operand" and parent.kind in {
        "selector_expression",
        "index_expression",
        "slice_expression",
    }


def _is_lock_itself(type_: Type | None) -> bool:
    """Return whether a method of what has the type is one of a lock: embedded, or the type."""
    return isinstance(type_, Struct) or (isinstance(type_, Named) and type_.package == "sync")
