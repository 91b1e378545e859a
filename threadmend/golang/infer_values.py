"""The types of declared things: functions, variables, parameters, range variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.node import bare
from threadmend.golang.types import (
    Array,
    Chan,
    Func,
    Map,
    Named,
    Pointer,
    Slice,
    Tuple,
    Type,
    TypeParam,
)

if TYPE_CHECKING:
    from threadmend.golang.infer import Inference
    from threadmend.golang.package import Decl
    from threadmend.golang.scope import Binding
    from threadmend.golang.syntax import Node

__all__ = ["Values"]

_BOOL = Named("", "bool")
_INT = Named("", "int")
_RUNE = Named("", "rune")


class Values:
    """Types of variables, parameters and declarations, remembered."""

    def __init__(self, inference: Inference) -> None:
        self.inference = inference
        self._decls: dict[tuple[str, int, int], Type | None] = {}
        self._bindings: dict[Binding, Type | None] = {}

    def decl_type(self, decl: Decl) -> Type | None:
        """Return the type of a package-level function, method, variable or constant."""
        key = (*decl.key, decl.index)
        known = self._decls
        if key not in known:
            known[key] = None
            if not decl.sound:
                return None
            if decl.kind in {"func", "method"}:
                known[key] = self.inference.types.signature(decl.header)
            elif decl.kind in {"var", "const"}:
                known[key] = self._spec_type(decl.node, decl.index)
        return known[key]

    def binding_type(self, binding: Binding) -> Type | None:
        """Return the type of a local variable, parameter or constant."""
        known = self._bindings
        if binding not in known:
            known[binding] = None
            known[binding] = self._bound(binding)
        return known[binding]

    def _bound(self, binding: Binding) -> Type | None:
        declaration = binding.declaration
        kind = declaration.kind
        if kind == "parameter_declaration":
            return self.inference.type_from(declaration.get("type"))
        if kind == "variadic_parameter_declaration":
            return Slice(self.inference.type_from(declaration.get("type")))
        if kind in {"var_spec", "const_spec"}:
            return self._spec_type(declaration, binding.index)
        if kind == "short_var_declaration":
            return self._assigned(
                declaration["right"], binding.index, len(declaration["left"].children)
            )
        if kind == "range_clause":
            return self._ranged(declaration, binding.index)
        if kind == "receive_statement":
            if binding.index == 1:
                return _BOOL
            return self.inference.type_of(declaration["right"])
        if kind == "type_case":
            types = declaration.all("type")
            if len(types) == 1 and types[0].kind != "nil":
                return self.inference.type_from(types[0])
        if kind in {"type_case", "default_case"} and declaration.parent is not None:
            return self.inference.type_of(declaration.parent.get("value"))
        return None

    def _spec_type(self, spec: Node, index: int) -> Type | None:
        type_node = spec.get("type")
        if type_node is not None:
            return self.inference.type_from(type_node)
        value = spec.get("value")
        if value is None:
            return None
        count = sum(1 for c in spec.all("name"))
        if spec.kind == "const_spec":
            return (
                self.inference.type_of(value.children[index])
                if index < len(value.children)
                else None
            )
        return self._assigned(value, index, count)

    def _assigned(self, right: Node, index: int, count: int) -> Type | None:
        values = right.children if right.kind == "expression_list" else [right]
        if len(values) == count:
            return self.inference.value_type(values[index])
        if len(values) != 1:
            return None
        value = bare(values[0])
        type_ = self.inference.type_of(value)
        if isinstance(type_, Tuple):
            return type_.items[index] if index < len(type_.items) else None
        if value.kind == "call_expression":
            return None  # a call whose results are not known
        # v, ok := m[k], x.(T), <-ch
        return type_ if index == 0 else _BOOL

    def _ranged(self, clause: Node, index: int) -> Type | None:
        operand = self.inference.value_type(clause.get("right"))
        under = self.inference.underlying(operand)
        if isinstance(under, Pointer):
            under = self.inference.underlying(under.elem)
        if isinstance(under, TypeParam):
            under = self.inference.core(under)
        match under:
            case Slice() | Array():
                return _INT if index == 0 else under.elem
            case Map():
                return under.key if index == 0 else under.elem
            case Chan():
                return under.elem
            case Func(params) if len(params) == 1:
                body = self.inference.underlying(params[0])
                if isinstance(body, Func) and index < len(body.params):
                    return body.params[index]
                return None
            case Named(package="", name="string"):
                return _INT if index == 0 else _RUNE
            case Named(package=""):
                return operand
        return None
