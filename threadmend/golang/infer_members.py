"""Fields and methods: what a selector means, through pointers and embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.infer_names import is_decl
from threadmend.golang.node import bare
from threadmend.golang.scope import Binding
from threadmend.golang.types import (
    Func,
    Interface,
    Named,
    Pointer,
    Struct,
    Type,
    TypeParam,
    deref,
    substitute,
)

if TYPE_CHECKING:
    from threadmend.golang.infer import Inference
    from threadmend.golang.package import Decl
    from threadmend.golang.syntax import Node

__all__ = ["FOREIGN_LOCKS", "Members", "Selection"]

_STRING = Named("", "string")
_ERROR_METHOD = Func((), (_STRING,))
_LIMIT = 40
FOREIGN_LOCKS = frozenset({"Mutex", "RWMutex"})
"""Names of lock types whose package is not at hand: all that there are have sync's methods."""
_TRIES = Func((), (Named("", "bool"),))
_LOCK_METHODS = {
    **dict.fromkeys(("Lock", "Unlock", "RLock", "RUnlock"), Func((), ())),
    **dict.fromkeys(("TryLock", "TryRLock"), _TRIES),
}


@dataclass(slots=True)
class Selection:
    """What `x.name` means.

    `kind` is `field`, `method` or `package`; `owner` the named type that declares the field
    or method; `via` the names of the embedded fields on the way; `decl` the package-level
    declaration or method, `node` the field's declaration.
    """

    kind: str
    name: str
    type: Type | None
    owner: Named | None = None
    via: tuple[str, ...] = ()
    decl: Decl | None = None
    node: Node | None = None


class Members:
    """Fields and methods of types, remembered."""

    def __init__(self, inference: Inference) -> None:
        self.inference = inference
        self._selections: dict[Node, Selection | None] = {}
        self._members: dict[tuple[Type, str], Selection | None] = {}

    def selection(self, node: Node) -> Selection | None:
        """Return which package member, field or method a selector means."""
        known = self._selections
        if node not in known:
            known[node] = None
            known[node] = self._select(node)
        return known[node]

    def _select(self, node: Node) -> Selection | None:
        operand = node.get("operand")
        field = node.get("field")
        if operand is None or field is None:
            return None
        name = field.name
        if operand.kind == "identifier":
            meant = self.inference.resolve(operand)
            if meant is not None and not isinstance(meant, Binding) and not is_decl(meant):
                return self._member_of_package(meant.path, name)  # type: ignore[union-attr]
        inner = bare(operand)
        type_ = self.inference.type_of(operand)
        if type_ is None:
            # a method expression: T.Method, (*T).Method
            type_ = self.inference.calls.type_named_by(inner)
            if type_ is None:
                return None
            found = self.member(type_, name)
            if found is not None and isinstance(found.type, Func):
                signature = Func((type_, *found.type.params), found.type.results)
                return Selection("method", name, signature, found.owner, found.via, found.decl)
            return None
        return self.member(type_, name)

    def _member_of_package(self, path: str, name: str) -> Selection | None:
        package = self.inference.workspace.package(path)
        decl = package.lookup(name) if package else None
        if decl is None:
            return Selection("package", name, None)
        type_ = (
            self.inference.types.declared(decl)
            if decl.kind == "type"
            else self.inference.decl_type(decl)
        )
        return Selection("package", name, type_, decl=decl)

    def member(self, type_: Type, name: str) -> Selection | None:
        """Return the field or method of a type, found through embedding breadth first."""
        key = (type_, name)
        if key in self._members:
            return self._members[key]
        self._members[key] = None
        level: list[tuple[Type, tuple[str, ...]]] = [(type_, ())]
        seen: set[Type] = set()
        found: Selection | None = None
        while level and found is None and len(seen) < _LIMIT * 4:
            following: list[tuple[Type, tuple[str, ...]]] = []
            for candidate, via in level:
                base = deref(candidate)
                if base is None or base in seen:
                    continue
                seen.add(base)
                found = self._own_member(base, name, via)
                if found is not None:
                    break
                following.extend(self._embedded(base, via))
            level = following
        self._members[key] = found
        return found

    def is_complete(self, type_: Type) -> bool:
        """Return whether all that a type declares or embeds is at hand.

        Only then does a member that was not found not exist.
        """
        return self._complete(type_, set())

    def _complete(self, type_: Type, seen: set[Type]) -> bool:
        base = deref(type_)
        if base is None or isinstance(base, TypeParam) or len(seen) > _LIMIT:
            return False
        if base in seen:
            return True
        seen.add(base)
        under = self.inference.underlying(base)
        if under is None:
            return False
        if isinstance(under, Struct):
            members = [
                self._embedded_type(f) for f in _struct_fields(under.node) if not f.all("name")
            ]
        elif isinstance(under, Interface):
            members = [
                self.inference.type_from(elem.children[0]) if len(elem.children) == 1 else None
                for elem in under.node.children
                if elem.kind == "type_elem"
            ]
        else:
            return True
        return all(member is not None and self._complete(member, seen) for member in members)

    def _own_member(self, type_: Type, name: str, via: tuple[str, ...]) -> Selection | None:
        if isinstance(type_, Named):
            if not type_.package and type_.name == "error":
                if name == "Error":
                    return Selection("method", name, _ERROR_METHOD, type_, via)
                return None
            decl = self._method(type_, name)
            if decl is not None:
                return Selection("method", name, self._method_type(decl, type_), type_, via, decl)
            if type_.name in FOREIGN_LOCKS and name in _LOCK_METHODS:
                if self.inference.types.package_of(type_) is None:
                    return Selection("method", name, _LOCK_METHODS[name], type_, via)
        under = (
            self.inference.core(type_)
            if isinstance(type_, TypeParam)
            else self.inference.underlying(type_)
        )
        owner = type_ if isinstance(type_, Named) else None
        if isinstance(under, Struct):
            for field in _struct_fields(under.node):
                for field_name in field.all("name"):
                    if field_name.name == name:
                        found = substitute(
                            self.inference.type_from(field.get("type")), dict(under.args)
                        )
                        return Selection("field", name, found, owner, via, node=field)
                if not field.all("name") and _embedded_name(field) == name:
                    found = substitute(self._embedded_type(field), dict(under.args))
                    return Selection("field", name, found, owner, via, node=field)
        if isinstance(under, Interface):
            for method in under.node.children:
                if method.kind == "method_elem" and method["name"].name == name:
                    signature = substitute(self.inference.types.signature(method), dict(under.args))
                    return Selection("method", name, signature, owner, via, node=method)
        if isinstance(under, Named) and under is not type_ and isinstance(type_, TypeParam):
            return self.member(under, name)
        return None

    def _embedded(self, type_: Type, via: tuple[str, ...]) -> list[tuple[Type, tuple[str, ...]]]:
        under = (
            self.inference.core(type_)
            if isinstance(type_, TypeParam)
            else self.inference.underlying(type_)
        )
        found: list[tuple[Type, tuple[str, ...]]] = []
        if isinstance(under, Struct):
            for field in _struct_fields(under.node):
                if not field.all("name"):
                    inner = substitute(self._embedded_type(field), dict(under.args))
                    if inner is not None:
                        found.append((inner, (*via, _embedded_name(field))))
        elif isinstance(under, Interface):
            for elem in under.node.children:
                if elem.kind == "type_elem" and len(elem.children) == 1:
                    inner = substitute(self.inference.type_from(elem.children[0]), dict(under.args))
                    if inner is not None:
                        found.append((inner, via))
        return found

    def _embedded_type(self, field: Node) -> Type | None:
        inner = self.inference.type_from(field.get("type"))
        if inner is not None and any(c.kind == "*" for c in field.children):
            return Pointer(inner)
        return inner

    def _method(self, type_: Named, name: str) -> Decl | None:
        if type_.local:
            return None
        package = self.inference.types.package_of(type_)
        found = package.methods(type_.name).get(name) if package else None
        return found[0] if found else None

    def _method_type(self, decl: Decl, owner: Named) -> Type | None:
        signature = self.inference.decl_type(decl)
        if not owner.args:
            return signature
        receiver = decl.header.get("receiver")
        if receiver is None:
            return signature
        params: list[TypeParam] = []
        for node in receiver.find("type_arguments"):
            params = [TypeParam(n.name, n.path, n.start) for n in node.find("type_identifier")]
            break
        return substitute(signature, dict(zip(params, owner.args, strict=False)))


def _struct_fields(struct: Node) -> list[Node]:
    return [
        field
        for group in struct.children
        if group.kind == "field_declaration_list"
        for field in group.children
        if field.kind == "field_declaration"
    ]


def _embedded_name(field: Node) -> str:
    node = field.get("type")
    while node is not None:
        if node.kind in {"type_identifier", "identifier"}:
            return node.name
        if node.kind == "qualified_type":
            return node["name"].name
        node = node.get("type") or (node.children[-1] if node.children else None)
    return ""
