"""Expressions: operators, literals, indexing, assertions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.infer_names import is_decl
from threadmend.golang.scope import Binding
from threadmend.golang.types import (
    Array,
    Chan,
    Map,
    Named,
    Pointer,
    Slice,
    Type,
    deref,
    substitute,
)

if TYPE_CHECKING:
    from threadmend.golang.infer import Inference
    from threadmend.golang.syntax import Node

__all__ = ["Expressions"]

_BOOL = Named("", "bool")
_INT = Named("", "int")
_STRING = Named("", "string")
_RUNE = Named("", "rune")
_LITERALS: dict[str, Type] = {
    "int_literal": Named("", "untyped int"),
    "float_literal": Named("", "untyped float"),
    "imaginary_literal": Named("", "untyped complex"),
    "rune_literal": Named("", "untyped rune"),
    "interpreted_string_literal": Named("", "untyped string"),
    "raw_string_literal": Named("", "untyped string"),
    "true": Named("", "untyped bool"),
    "false": Named("", "untyped bool"),
    "nil": Named("", "untyped nil"),
    "iota": Named("", "untyped int"),
}
_DEFAULTS: dict[str, Type] = {
    "untyped int": _INT,
    "untyped float": Named("", "float64"),
    "untyped complex": Named("", "complex128"),
    "untyped rune": _RUNE,
    "untyped string": _STRING,
    "untyped bool": _BOOL,
}
_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "&&", "||"})


class Expressions:
    """Types of expressions, remembered."""

    def __init__(self, inference: Inference) -> None:
        self.inference = inference
        self._types: dict[Node, Type | None] = {}

    def type_of(self, node: Node | None) -> Type | None:
        """Return the type of an expression; a `Tuple` for a call with several results."""
        if node is None:
            return None
        known = self._types
        if node in known:
            return known[node]
        known[node] = None  # an expression that needs its own type has none
        found = known[node] = self._expression(node)
        return found

    def value_type(self, node: Node | None) -> Type | None:
        """Return the type that a variable gets when it is initialised with `node`."""
        type_ = self.type_of(node)
        if isinstance(type_, Named) and not type_.package:
            return _DEFAULTS.get(type_.name, type_)
        return type_

    def _expression(self, node: Node) -> Type | None:
        kind = node.kind
        if kind == "identifier":
            return self._identifier(node)
        if kind in _LITERALS:
            return _LITERALS[kind]
        method = _EXPRESSIONS.get(kind)
        return method(self, node) if method else None

    def _identifier(self, node: Node) -> Type | None:
        meant = self.inference.resolve(node)
        if isinstance(meant, Binding):
            return self.inference.binding_type(meant)
        return self.inference.decl_type(meant) if is_decl(meant) else None

    def _parenthesized(self, node: Node) -> Type | None:
        return self.type_of(node.children[0]) if node.children else None

    def _selector(self, node: Node) -> Type | None:
        selection = self.inference.selection(node)
        return selection.type if selection else None

    def _unary(self, node: Node) -> Type | None:
        operator = node["operator"].kind
        operand = node["operand"]
        if operator == "&":
            inner = self.type_of(operand)
            return Pointer(inner) if inner is not None else None
        if operator == "<-":
            channel = self.inference.underlying(self.type_of(operand))
            return channel.elem if isinstance(channel, Chan) else None
        if operator == "*":
            pointer = self.inference.underlying(self.type_of(operand))
            return pointer.elem if isinstance(pointer, Pointer) else None
        return self.type_of(operand)

    def _binary(self, node: Node) -> Type | None:
        if node["operator"].kind in _COMPARISONS:
            return Named("", "untyped bool")
        left = self.type_of(node["left"])
        if node["operator"].kind in {"<<", ">>"}:
            return left
        if isinstance(left, Named) and left.name.startswith("untyped "):
            return self.type_of(node["right"]) or left
        return left or self.type_of(node["right"])

    def _composite(self, node: Node) -> Type | None:
        type_node = node["type"]
        if type_node.kind == "implicit_length_array_type":
            return Array(self.inference.type_from(type_node.get("element")), "...")
        return self.inference.type_from(type_node)

    def _literal_value(self, node: Node) -> Type | None:
        return self.literal_type(node)

    def literal_type(self, literal: Node) -> Type | None:
        """Return the type of a `{…}`, elided inside another composite literal or not."""
        parent = literal.parent
        if parent is None:
            return None
        if parent.kind == "composite_literal":
            return self.type_of(parent)
        if parent.kind != "literal_element" or parent.parent is None:
            return None
        role = parent.field
        outer = parent.parent if parent.parent.kind == "literal_value" else parent.parent.parent
        if outer is None:
            return None
        under = self.inference.underlying(self.literal_type(outer))
        if isinstance(under, Pointer):
            under = self.inference.underlying(under.elem)
        if isinstance(under, Map):
            return under.key if role == "key" else under.elem
        if isinstance(under, Slice | Array):
            return under.elem
        return None

    def _literal(self, node: Node) -> Type | None:
        return self.inference.types.signature(node)

    def _assertion(self, node: Node) -> Type | None:
        return self.inference.type_from(node.get("type"))

    def _conversion(self, node: Node) -> Type | None:
        return self.inference.type_from(node.get("type"))

    def _slice(self, node: Node) -> Type | None:
        operand = self.type_of(node["operand"])
        under = self.inference.underlying(deref(operand))
        if isinstance(under, Array):
            return Slice(under.elem)
        if isinstance(operand, Named) and operand.name == "untyped string":
            return _STRING
        return operand

    def _index(self, node: Node) -> Type | None:
        operand = node["operand"]
        generic = self.instantiated(operand, [c for c in node.children if c.field == "index"])
        if generic is not None:
            return generic
        type_ = self.type_of(operand)
        under = self.inference.underlying(type_)
        if isinstance(under, Pointer):
            under = self.inference.underlying(under.elem)
        if isinstance(under, Slice | Array | Map):
            return under.elem
        if isinstance(under, Named) and under.name in {"string", "untyped string"}:
            return Named("", "byte")
        return None

    def _instantiation(self, node: Node) -> Type | None:
        operand = node.get("type") or (node.children[0] if node.children else None)
        if operand is None:
            return None
        arguments = [c for c in node.children if c is not operand]
        return self.instantiated(operand, arguments) or self.inference.type_from(node)

    def instantiated(self, operand: Node, arguments: list[Node]) -> Type | None:
        """Return the type of a generic function whose type arguments are written out."""
        decl = self.inference.function_decl(operand)
        if decl is None:
            return None
        params = self.inference.types.type_params(decl.header, decl.file)
        if not params:
            return None
        given = [self.inference.type_from(a) for a in arguments]
        return substitute(self.inference.decl_type(decl), dict(zip(params, given, strict=False)))

    def _call(self, node: Node) -> Type | None:
        return self.inference.calls.call(node)


_EXPRESSIONS = {
    "parenthesized_expression": Expressions._parenthesized,
    "selector_expression": Expressions._selector,
    "unary_expression": Expressions._unary,
    "binary_expression": Expressions._binary,
    "composite_literal": Expressions._composite,
    "literal_value": Expressions._literal_value,
    "func_literal": Expressions._literal,
    "type_assertion_expression": Expressions._assertion,
    "type_conversion_expression": Expressions._conversion,
    "slice_expression": Expressions._slice,
    "index_expression": Expressions._index,
    "type_instantiation_expression": Expressions._instantiation,
    "call_expression": Expressions._call,
}
