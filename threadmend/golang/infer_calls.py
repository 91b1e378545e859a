"""Calls: what they return, which declaration they run, what type arguments they imply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.infer_names import is_decl
from threadmend.golang.infer_types import TYPE_KINDS
from threadmend.golang.node import bare
from threadmend.golang.scope import Binding
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
    substitute,
)

if TYPE_CHECKING:
    from threadmend.golang.infer import Inference
    from threadmend.golang.package import Decl
    from threadmend.golang.syntax import Node

__all__ = ["Calls"]

_INT = Named("", "int")
_BUILTINS = frozenset(
    {
        *("append", "cap", "clear", "close", "complex", "copy", "delete", "imag", "len"),
        *("make", "max", "min", "new", "panic", "print", "println", "real", "recover"),
    }
)


class Calls:
    """Results of calls and conversions; type arguments found by unification."""

    def __init__(self, inference: Inference) -> None:
        self.inference = inference

    def function_decl(self, node: Node) -> Decl | None:
        """Return the function or method declaration that a function expression names."""
        if node.kind == "identifier":
            meant = self.inference.resolve(node)
            if isinstance(meant, Binding):
                return self._decl_behind(meant)
        elif node.kind == "selector_expression":
            selection = self.inference.selection(node)
            meant = selection.decl if selection else None
            if meant is None and selection is not None and selection.kind == "method":
                meant = self._method_behind(node)
        else:
            return None
        return meant if is_decl(meant, "func", "method") else None

    def _decl_behind(self, name: Binding) -> Decl | None:
        """Return the method or function of `f := s.run`, where `f` keeps it."""
        from threadmend.golang.access import is_assigned_once

        value = name.value if name.kind == "variable" else None
        if value is None or value.kind not in {"identifier", "selector_expression"}:
            return None
        if value.kind == "selector_expression":
            selection = self.inference.selection(value)
            if selection is None or selection.kind == "field":
                return None
            if selection.kind == "method" and self.inference.type_of(value["operand"]) is None:
                return None  # `T.run`: its first argument is the receiver
        decl = self.function_decl(value)
        return decl if decl is not None and is_assigned_once(name) else None

    def _method_behind(self, selector: Node) -> Decl | None:
        """Return the method that `l.Run` means after `var l runner = s`, where `l` keeps it."""
        from threadmend.golang.access import is_assigned_once

        operand = selector["operand"]
        name = self.inference.resolve(operand) if operand.kind == "identifier" else None
        value = name.value if isinstance(name, Binding) and name.kind == "variable" else None
        if value is None or not isinstance(name, Binding):
            return None
        type_ = self.inference.type_of(value)
        if not isinstance(type_, Named | Pointer) or not is_assigned_once(name):
            return None
        found = self.inference.member(type_, selector["field"].name)
        return found.decl if found is not None else None

    def call(self, node: Node) -> Type | None:
        """Return what a call returns: a type, or a Tuple of several; a conversion's type."""
        function = bare(node["function"])
        arguments = node.get("arguments")
        args = arguments.children if arguments else []
        if function.kind == "identifier":
            name = function.name
            if name in _BUILTINS and self.inference.resolve(function) is None:
                return self._builtin(name, args)
        given = node.get("type_arguments")
        converted = self.type_named_by(function)
        if converted is not None:
            if given is not None and isinstance(converted, Named):
                named = tuple(self.inference.type_from(e.children[0]) for e in given.children)
                return Named(converted.package, converted.name, named, converted.local)
            return converted
        type_ = self.inference.type_of(function)
        if given is not None:
            elements = [e.children[0] for e in given.children]
            type_ = self.inference.expressions.instantiated(function, elements) or type_
        callee = self.inference.underlying(type_)
        if not isinstance(callee, Func):
            return None
        if any(_has_params(r) for r in callee.results):
            callee = self._infer(callee, args)
        if len(callee.results) == 1:
            return callee.results[0]
        return Tuple(callee.results)

    def converted(self, call: Node) -> Node | None:
        """Return the operand of a call that is a conversion: x of `T(x)`."""
        arguments = call["arguments"].children
        if len(arguments) != 1 or self.type_named_by(call["function"]) is None:
            return None
        return arguments[0]

    def type_named_by(self, node: Node) -> Type | None:
        """Return the type that a call's function names when the call is a conversion."""
        if node.kind == "identifier":
            meant = self.inference.resolve(node)
            if meant is None:
                return self.inference.types.predeclared(node.name)
            if is_decl(meant, "type") or (isinstance(meant, Binding) and meant.kind == "type"):
                return self.inference.type_from(node)
        elif node.kind == "selector_expression":
            selection = self.inference.selection(node)
            if selection and selection.decl is not None and selection.decl.kind == "type":
                return selection.type
        elif node.kind in TYPE_KINDS:
            return self.inference.type_from(node)
        elif node.kind == "index_expression":
            inner = self.type_named_by(node["operand"])
            if isinstance(inner, Named):
                args = tuple(self.inference.type_from(c) for c in node.all("index"))
                return Named(inner.package, inner.name, args, inner.local)
        elif node.kind == "unary_expression" and node["operator"].kind == "*":
            elem = self.type_named_by(node["operand"])
            return Pointer(elem) if elem is not None else None
        return None

    def _builtin(self, name: str, args: list[Node]) -> Type | None:
        if not args:
            return Named("", "any") if name == "recover" else None
        if name == "make":
            return self.inference.type_from(args[0])
        if name == "new":
            type_ = (
                self.inference.type_from(args[0])
                if self._is_type(args[0])
                else self.inference.value_type(args[0])
            )
            return Pointer(type_) if type_ is not None else None
        if name == "append":
            return self.inference.type_of(args[0])
        if name in {"len", "cap", "copy"}:
            return _INT
        if name in {"min", "max"}:
            return self.inference.value_type(args[0])
        return None

    def _is_type(self, node: Node) -> bool:
        if node.kind in TYPE_KINDS:
            return True
        if node.kind in {"identifier", "selector_expression", "index_expression"}:
            return self.type_named_by(node) is not None
        return False

    def _infer(self, callee: Func, args: list[Node]) -> Func:
        """Bind a generic function's type parameters by its arguments' types."""
        bound: dict[TypeParam, Type | None] = {}
        for index, arg in enumerate(args):
            if index < len(callee.params):
                param = callee.params[index]
            elif callee.variadic and callee.params:
                param = callee.params[-1]
            else:
                break
            if callee.variadic and index >= len(callee.params) - 1 and isinstance(param, Slice):
                ellipsis = arg.next is not None and arg.next.kind == "..."
                if not ellipsis and arg.kind != "variadic_argument":
                    param = param.elem
            self._unify(param, self.inference.value_type(arg), bound)
        if not bound:
            return callee
        found = substitute(callee, bound)
        assert isinstance(found, Func)
        return found

    def _unify(
        self, param: Type | None, arg: Type | None, bound: dict[TypeParam, Type | None]
    ) -> None:
        if param is None or arg is None:
            return
        if isinstance(param, TypeParam):
            bound.setdefault(param, arg)
            core = self.inference.core(param)
            if core is not None and _has_params(core):
                self._unify(core, self.inference.underlying(arg), bound)
            return
        if isinstance(param, Named):
            if isinstance(arg, Named) and (param.package, param.name) == (arg.package, arg.name):
                for inner, given in zip(param.args, arg.args, strict=False):
                    self._unify(inner, given, bound)
            return
        if isinstance(arg, Named):
            arg = self.inference.underlying(arg)
        if type(param) is not type(arg) or arg is None:
            return
        match param, arg:
            case (Func(), Func()):
                for inner, given in zip(
                    param.params + param.results, arg.params + arg.results, strict=False
                ):
                    self._unify(inner, given, bound)
            case (Map(), Map()):
                self._unify(param.key, arg.key, bound)
                self._unify(param.elem, arg.elem, bound)
            case _ if hasattr(param, "elem"):
                self._unify(param.elem, getattr(arg, "elem", None), bound)

    def callee(self, call: Node) -> Decl | None:
        """Return the function or method declaration that a call certainly runs."""
        function = call.get("function")
        if function is None:
            return None
        function = bare(function)
        if function.kind in {"index_expression", "type_instantiation_expression"}:
            function = function.children[0]
        return self.function_decl(function)


def _has_params(type_: Type | None) -> bool:
    match type_:
        case TypeParam():
            return True
        case Named(args=args):
            return any(_has_params(a) for a in args)
        case Func(params, results):
            return any(_has_params(t) for t in params + results)
        case Map(key, elem):
            return _has_params(key) or _has_params(elem)
        case Tuple(items):
            return any(_has_params(t) for t in items)
        case Pointer(elem) | Slice(elem) | Array(elem) | Chan(elem):
            return _has_params(elem)
    return False
