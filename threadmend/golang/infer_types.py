"""Type expressions: the type that syntax denotes, and the type behind a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.infer_names import is_decl
from threadmend.golang.scope import resolve_local
from threadmend.golang.types import (
    Array,
    Bindings,
    Chan,
    Func,
    Interface,
    Map,
    Named,
    Pointer,
    Slice,
    Struct,
    Type,
    TypeParam,
    substitute,
)

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.infer import Inference
    from threadmend.golang.package import Decl, Package
    from threadmend.golang.syntax import Node

__all__ = ["TYPE_KINDS", "Denotations"]

_PREDECLARED = frozenset(
    {
        *("bool", "string", "byte", "rune", "error", "any", "comparable", "uintptr"),
        *("int", "int8", "int16", "int32", "int64"),
        *("uint", "uint8", "uint16", "uint32", "uint64"),
        *("float32", "float64", "complex64", "complex128"),
    }
)
_LIMIT = 40
TYPE_KINDS = frozenset(
    {
        "slice_type",
        "array_type",
        "map_type",
        "channel_type",
        "function_type",
        "struct_type",
        "interface_type",
        "pointer_type",
        "generic_type",
        "qualified_type",
        "type_identifier",
        "parenthesized_type",
    }
)


class Denotations:
    """Types that type expressions denote, and what is behind names; remembered."""

    def __init__(self, inference: Inference) -> None:
        self.inference = inference
        self._type_nodes: dict[Node, Type | None] = {}
        self._underlying: dict[Named, Type | None] = {}

    def core(self, param: TypeParam) -> Type | None:
        """Return the core type of a type parameter's constraint (`~[]E`), if it has one."""
        file = self.inference.workspace.file(param.path)
        declaration = file.tree.declaration_at(param.offset)
        if declaration is None:
            return None
        for node in declaration.header.find("type_parameter_declaration"):
            if any(name.start == param.offset for name in node.all("name")):
                constraint = node.get("type")
                if constraint is None:
                    return None
                elems = [c for c in constraint.children if c.kind != "|"]
                if constraint.kind == "type_constraint" and len(elems) == 1:
                    inner = elems[0]
                    if inner.kind == "negated_type":
                        inner = inner.children[-1]
                    if inner.kind in TYPE_KINDS:
                        return self.type_from(inner)
                    return self.type_from(inner)
        return None

    def package_of(self, type_: Named) -> Package | None:
        """Return the package that declares a type."""
        return self.inference.workspace.package_by_key(type_.package)

    def type_from(self, node: Node | None) -> Type | None:
        """Return the type that a type expression denotes, aliases resolved."""
        if node is None:
            return None
        known = self._type_nodes
        if node in known:
            return known[node]
        known[node] = None
        found = known[node] = self._denoted(node)
        return found

    def _denoted(self, node: Node) -> Type | None:
        kind = node.kind
        if kind in {"type_identifier", "identifier"}:
            return self._named(node)
        if kind in {"qualified_type", "selector_expression"}:
            return self._qualified(node)
        if kind in {"pointer_type", "unary_expression"}:
            return Pointer(self.type_from(node.children[-1]))
        if kind in {
            "parenthesized_type",
            "parenthesized_expression",
            "type_elem",
            "type_constraint",
        }:
            return self.type_from(node.children[0]) if len(node.children) == 1 else None
        if kind == "slice_type":
            return Slice(self.type_from(node.get("element")))
        if kind == "array_type":
            length = node.get("length")
            return Array(self.type_from(node.get("element")), length.name if length else "")
        if kind == "map_type":
            return Map(self.type_from(node.get("key")), self.type_from(node.get("value")))
        if kind == "channel_type":
            return self._channel(node)
        if kind == "function_type":
            return self.signature(node)
        if kind == "struct_type":
            return Struct(node)
        if kind == "interface_type":
            return Interface(node)
        if kind in {"generic_type", "index_expression", "type_instantiation_expression"}:
            return self._generic(node)
        return None

    def _named(self, node: Node) -> Type | None:
        local = resolve_local(node)
        if local is not None:
            if local.kind != "type":
                return None
            declaration = local.declaration
            if declaration.kind == "type_spec":
                package = self.inference.workspace.file_of(node).package
                return Named(package.key, local.name, (), declaration.start)
            if declaration.kind == "type_alias":
                return self.type_from(declaration.get("type"))
            return TypeParam(local.name, local.node.path, local.node.start)
        file = self.inference.workspace.file_of(node)
        meant = self.inference.names.package_level(node.name, file)
        if meant is None:
            return self.predeclared(node.name)
        return self.declared(meant) if is_decl(meant, "type") else None

    def predeclared(self, name: str) -> Type | None:
        """Return the predeclared type of a name."""
        return Named("", name) if name in _PREDECLARED else None

    def declared(self, decl: Decl) -> Type | None:
        """Return the type that a package-level type declaration names."""
        node = decl.node
        if node.kind == "type_alias" and node.get("type_parameters") is None:
            return self.type_from(node.get("type"))
        return Named(decl.file.package.key, decl.name)

    def _qualified(self, node: Node) -> Type | None:
        package_node = node.get("package") or node.get("operand")
        name = node.get("name") or node.get("field")
        if package_node is None or name is None:
            return None
        file = self.inference.workspace.file_of(node)
        path = file.imported(package_node.name)
        if path is None:
            return None
        package = self.inference.workspace.package(path)
        decl = package.lookup(name.name) if package else None
        if decl is not None and decl.kind == "type":
            return self.declared(decl)
        # The package is not here (a dependency): the name alone identifies the type.
        if package is None or package.directory == "":
            return Named(path, name.name)
        return None

    def _generic(self, node: Node) -> Type | None:
        operand = node.get("type") or node.get("operand") or node.children[0]
        base = self.type_from(operand)
        if not isinstance(base, Named):
            return base
        holder = node.get("type_arguments")
        given = holder.children if holder else [c for c in node.children if c is not operand]
        args = tuple(self.type_from(a) for a in given)
        decl = self._type_decl(base)
        if decl is not None and decl.node.kind == "type_alias":
            params = self.type_params(decl.node, decl.file)
            target = self.type_from(decl.node.get("type"))
            return substitute(target, dict(zip(params, args, strict=False)))
        return Named(base.package, base.name, args, base.local)

    def _type_decl(self, type_: Named) -> Decl | None:
        if type_.local:
            return None
        package = self.package_of(type_)
        decl = package.lookup(type_.name) if package else None
        return decl if decl is not None and decl.kind == "type" else None

    def _channel(self, node: Node) -> Type | None:
        head = node.text.split(b"(")[0]
        if head.startswith(b"<-"):
            direction = "receive"
        elif any(c.kind == "<-" for c in node.children):
            direction = "send"
        else:
            direction = "both"
        return Chan(self.type_from(node.get("value")), direction)

    def signature(self, node: Node) -> Type | None:
        """Return the type of a function, method, literal or function type."""
        params: list[Type | None] = []
        variadic = False
        group = node.get("parameters")
        for parameter in group.children if group else ():
            type_ = self.type_from(parameter.get("type"))
            if parameter.kind == "variadic_parameter_declaration":
                variadic = True
                type_ = Slice(type_)
            params.extend([type_] * max(1, len(parameter.all("name"))))
        return Func(tuple(params), tuple(self._results(node.get("result"))), variadic)

    def _results(self, node: Node | None) -> list[Type | None]:
        if node is None:
            return []
        if node.kind != "parameter_list":
            return [self.type_from(node)]
        results: list[Type | None] = []
        for result in node.children:
            type_ = self.type_from(result.get("type"))
            results.extend([type_] * max(1, len(result.all("name"))))
        return results

    def type_params(self, node: Node, file: GoFile) -> list[TypeParam]:
        """Return the type parameters that a declaration has."""
        group = node.get("type_parameters")
        if group is None:
            return []
        return [
            TypeParam(name.name, file.path, name.start)
            for parameter in group.children
            for name in parameter.all("name")
        ]

    def underlying(self, type_: Type | None) -> Type | None:
        """Return the type behind a name; a predeclared type is its own."""
        for _ in range(_LIMIT):
            if not isinstance(type_, Named):
                return type_
            if not type_.package and not type_.local:
                return type_
            if type_ not in self._underlying:
                self._underlying[type_] = None
                self._underlying[type_] = self._behind(type_)
            found = self._underlying[type_]
            if found is type_:
                return found
            type_ = found
        return None

    def _behind(self, type_: Named) -> Type | None:
        if type_.local:
            package = self.package_of(type_)
            spec = package.local_type(type_.name, type_.local) if package else None
            file = self.inference.workspace.file_of(spec) if spec is not None else None
        else:
            decl = self._type_decl(type_)
            if decl is None or not decl.sound:
                return None
            spec, file = decl.node, decl.file
        if spec is None or file is None:
            return None
        found = self.type_from(spec.get("type"))
        params = self.type_params(spec, file)
        if not params:
            return found
        bindings: Bindings = dict(zip(params, type_.args, strict=False))
        if isinstance(found, Struct):
            return Struct(found.node, tuple(bindings.items()))
        if isinstance(found, Interface):
            return Interface(found.node, tuple(bindings.items()))
        return substitute(found, bindings)
