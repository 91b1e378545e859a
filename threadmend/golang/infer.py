"""Type inference: what an expression's type is, which field or method a selector means.

Works on syntax alone, lazily and with memory; whatever it cannot tell is None. It follows
the Go specification as far as receivers of concurrency operations need it: no constant
evaluation, no assignability, inference of type arguments by unification only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

from threadmend.golang.scope import Binding, resolve_local
from threadmend.golang.syntax import Node
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
    Tuple,
    Type,
    TypeParam,
    deref,
    substitute,
)

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile, Import
    from threadmend.golang.package import Decl, Package, Workspace

__all__ = ["Inference", "Selection"]

_PREDECLARED = frozenset(
    {
        *("bool", "string", "byte", "rune", "error", "any", "comparable", "uintptr"),
        *("int", "int8", "int16", "int32", "int64"),
        *("uint", "uint8", "uint16", "uint32", "uint64"),
        *("float32", "float64", "complex64", "complex128"),
    }
)
_BOOL = Named("", "bool")
_INT = Named("", "int")
_STRING = Named("", "string")
_RUNE = Named("", "rune")
_ERROR_METHOD = Func((), (_STRING,))
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
_LIMIT = 40


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


class Inference:
    """Answers for one workspace, remembered."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._types: dict[Node, Type | None] = {}
        self._type_nodes: dict[Node, Type | None] = {}
        self._selections: dict[Node, Selection | None] = {}
        self._bindings: dict[Binding, Type | None] = {}
        self._decls: dict[tuple[str, int, int], Type | None] = {}
        self._underlying: dict[Named, Type | None] = {}
        self._members: dict[tuple[Type, str], Selection | None] = {}

    # -- names ----------------------------------------------------------------------

    def resolve(self, node: Node) -> Binding | Decl | Import | None:
        """Return what an identifier means; None for predeclared, fields and unknown names."""
        if self.is_field_key(node):
            return None
        local = resolve_local(node)
        if local is not None:
            return local
        return self._package_level(node.name, self.workspace.file_of(node))

    def _package_level(self, name: str, file: GoFile) -> Decl | Import | None:
        decl = file.package.lookup(name)
        if decl is not None:
            if not file.is_test and decl.file.is_test:
                return None
            return decl
        for imported in file.imports:
            if imported.name == name:
                return imported
            if imported.name == ".":
                package = self.workspace.package(imported.path)
                found = package.lookup(name) if package else None
                if found is not None and found.exported:
                    return found
        return None

    def is_field_key(self, node: Node) -> bool:
        """Return whether an identifier is the field name in `T{name: value}`."""
        element = node.parent
        if element is None or element.kind != "literal_element" or element.field != "key":
            return False
        literal = element.parent.parent if element.parent else None
        if literal is None or literal.kind != "literal_value":
            return False
        under = self.underlying(deref(self._literal_type(literal)))
        return not isinstance(under, Map | Slice | Array)

    # -- expressions ----------------------------------------------------------------

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
        meant = self.resolve(node)
        if isinstance(meant, Binding):
            return self.binding_type(meant)
        return self.decl_type(meant) if is_decl(meant) else None

    def _parenthesized(self, node: Node) -> Type | None:
        return self.type_of(node.children[0]) if node.children else None

    def _selector(self, node: Node) -> Type | None:
        selection = self.selection(node)
        return selection.type if selection else None

    def _unary(self, node: Node) -> Type | None:
        operator = node["operator"].kind
        operand = node["operand"]
        if operator == "&":
            inner = self.type_of(operand)
            return Pointer(inner) if inner is not None else None
        if operator == "<-":
            channel = self.underlying(self.type_of(operand))
            return channel.elem if isinstance(channel, Chan) else None
        if operator == "*":
            pointer = self.underlying(self.type_of(operand))
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
            return Array(self.type_from(type_node.get("element")), "...")
        return self.type_from(type_node)

    def _literal_value(self, node: Node) -> Type | None:
        return self._literal_type(node)

    def _literal_type(self, literal: Node) -> Type | None:
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
        under = self.underlying(self._literal_type(outer))
        if isinstance(under, Pointer):
            under = self.underlying(under.elem)
        if isinstance(under, Map):
            return under.key if role == "key" else under.elem
        if isinstance(under, Slice | Array):
            return under.elem
        return None

    def _literal(self, node: Node) -> Type | None:
        return self._signature(node)

    def _assertion(self, node: Node) -> Type | None:
        return self.type_from(node.get("type"))

    def _conversion(self, node: Node) -> Type | None:
        return self.type_from(node.get("type"))

    def _slice(self, node: Node) -> Type | None:
        operand = self.type_of(node["operand"])
        under = self.underlying(deref(operand))
        if isinstance(under, Array):
            return Slice(under.elem)
        if isinstance(operand, Named) and operand.name == "untyped string":
            return _STRING
        return operand

    def _index(self, node: Node) -> Type | None:
        operand = node["operand"]
        generic = self._instantiated(operand, [c for c in node.children if c.field == "index"])
        if generic is not None:
            return generic
        type_ = self.type_of(operand)
        under = self.underlying(type_)
        if isinstance(under, Pointer):
            under = self.underlying(under.elem)
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
        return self._instantiated(operand, arguments) or self.type_from(node)

    def _instantiated(self, operand: Node, arguments: list[Node]) -> Type | None:
        """Return the type of a generic function whose type arguments are written out."""
        decl = self.function_decl(operand)
        if decl is None:
            return None
        params = self._type_params(decl.node, decl.file)
        if not params:
            return None
        given = [self.type_from(a) for a in arguments]
        return substitute(self.decl_type(decl), dict(zip(params, given, strict=False)))

    def function_decl(self, node: Node) -> Decl | None:
        """Return the function or method declaration that a function expression names."""
        if node.kind == "identifier":
            meant = self.resolve(node)
        elif node.kind == "selector_expression":
            selection = self.selection(node)
            meant = selection.decl if selection else None
        else:
            return None
        return meant if is_decl(meant, "func", "method") else None

    # -- calls ----------------------------------------------------------------------

    def _call(self, node: Node) -> Type | None:
        function = node["function"]
        while function.kind == "parenthesized_expression" and function.children:
            function = function.children[0]
        arguments = node.get("arguments")
        args = arguments.children if arguments else []
        if function.kind == "identifier":
            name = function.name
            if name in _BUILTINS and self.resolve(function) is None:
                return self._builtin(name, args)
        converted = self._type_named_by(function)
        if converted is not None:
            return converted
        callee = self.underlying(self.type_of(function))
        if not isinstance(callee, Func):
            return None
        if any(_has_params(r) for r in callee.results):
            callee = self._infer(callee, args)
        if len(callee.results) == 1:
            return callee.results[0]
        return Tuple(callee.results)

    def _type_named_by(self, node: Node) -> Type | None:
        """Return the type that a call's function names when the call is a conversion."""
        if node.kind == "identifier":
            meant = self.resolve(node)
            if meant is None:
                return self._predeclared(node.name)
            if is_decl(meant, "type") or (isinstance(meant, Binding) and meant.kind == "type"):
                return self.type_from(node)
        elif node.kind == "selector_expression":
            selection = self.selection(node)
            if selection and selection.decl is not None and selection.decl.kind == "type":
                return selection.type
        elif node.kind in _TYPE_KINDS:
            return self.type_from(node)
        elif node.kind == "index_expression":
            inner = self._type_named_by(node["operand"])
            if isinstance(inner, Named):
                args = tuple(self.type_from(c) for c in node.all("index"))
                return Named(inner.package, inner.name, args, inner.local)
        elif node.kind == "unary_expression" and node["operator"].kind == "*":
            elem = self._type_named_by(node["operand"])
            return Pointer(elem) if elem is not None else None
        return None

    def _builtin(self, name: str, args: list[Node]) -> Type | None:
        if not args:
            return Named("", "any") if name == "recover" else None
        if name == "make":
            return self.type_from(args[0])
        if name == "new":
            type_ = self.type_from(args[0]) if self._is_type(args[0]) else self.value_type(args[0])
            return Pointer(type_) if type_ is not None else None
        if name == "append":
            return self.type_of(args[0])
        if name in {"len", "cap", "copy"}:
            return _INT
        if name in {"min", "max"}:
            return self.value_type(args[0])
        return None

    def _is_type(self, node: Node) -> bool:
        if node.kind in _TYPE_KINDS:
            return True
        if node.kind in {"identifier", "selector_expression", "index_expression"}:
            return self._type_named_by(node) is not None
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
            self._unify(param, self.value_type(arg), bound)
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
            core = self.core(param)
            if core is not None and _has_params(core):
                self._unify(core, self.underlying(arg), bound)
            return
        if isinstance(param, Named):
            if isinstance(arg, Named) and (param.package, param.name) == (arg.package, arg.name):
                for inner, given in zip(param.args, arg.args, strict=False):
                    self._unify(inner, given, bound)
            return
        if isinstance(arg, Named):
            arg = self.underlying(arg)
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

    def core(self, param: TypeParam) -> Type | None:
        """Return the core type of a type parameter's constraint (`~[]E`), if it has one."""
        file = self.workspace.file(param.path)
        declaration = file.tree.declaration_at(param.offset)
        if declaration is None:
            return None
        for node in declaration.node.find("type_parameter_declaration"):
            if any(name.start == param.offset for name in node.all("name")):
                constraint = node.get("type")
                if constraint is None:
                    return None
                elems = [c for c in constraint.children if c.kind != "|"]
                if constraint.kind == "type_constraint" and len(elems) == 1:
                    inner = elems[0]
                    if inner.kind == "negated_type":
                        inner = inner.children[-1]
                    if inner.kind in _TYPE_KINDS:
                        return self.type_from(inner)
                    return self.type_from(inner)
        return None

    def callee(self, call: Node) -> Decl | None:
        """Return the function or method declaration that a call certainly runs."""
        function = call.get("function")
        while function is not None and function.kind == "parenthesized_expression":
            function = function.children[0]
        if function is None:
            return None
        if function.kind in {"index_expression", "type_instantiation_expression"}:
            function = function.children[0]
        return self.function_decl(function)

    # -- selectors ------------------------------------------------------------------

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
            meant = self.resolve(operand)
            if meant is not None and not isinstance(meant, Binding) and not is_decl(meant):
                return self._member_of_package(meant.path, name)  # type: ignore[union-attr]
        inner = operand
        while inner.kind == "parenthesized_expression" and inner.children:
            inner = inner.children[0]
        type_ = self.type_of(operand)
        if type_ is None:
            # a method expression: T.Method, (*T).Method
            type_ = self._type_named_by(inner)
            if type_ is None:
                return None
            found = self.member(type_, name)
            if found is not None and isinstance(found.type, Func):
                signature = Func((type_, *found.type.params), found.type.results)
                return Selection("method", name, signature, found.owner, found.via, found.decl)
            return None
        return self.member(type_, name)

    def _member_of_package(self, path: str, name: str) -> Selection | None:
        package = self.workspace.package(path)
        decl = package.lookup(name) if package else None
        if decl is None:
            return Selection("package", name, None)
        type_ = self._declared(decl) if decl.kind == "type" else self.decl_type(decl)
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
        under = self.underlying(base)
        if under is None:
            return False
        if isinstance(under, Struct):
            members = [
                self._embedded_type(f) for f in _struct_fields(under.node) if not f.all("name")
            ]
        elif isinstance(under, Interface):
            members = [
                self.type_from(elem.children[0]) if len(elem.children) == 1 else None
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
        under = self.core(type_) if isinstance(type_, TypeParam) else self.underlying(type_)
        owner = type_ if isinstance(type_, Named) else None
        if isinstance(under, Struct):
            for field in _struct_fields(under.node):
                for field_name in field.all("name"):
                    if field_name.name == name:
                        found = substitute(self.type_from(field.get("type")), dict(under.args))
                        return Selection("field", name, found, owner, via, node=field)
                if not field.all("name") and _embedded_name(field) == name:
                    found = substitute(self._embedded_type(field), dict(under.args))
                    return Selection("field", name, found, owner, via, node=field)
        if isinstance(under, Interface):
            for method in under.node.children:
                if method.kind == "method_elem" and method["name"].name == name:
                    signature = substitute(self._signature(method), dict(under.args))
                    return Selection("method", name, signature, owner, via, node=method)
        if isinstance(under, Named) and under is not type_ and isinstance(type_, TypeParam):
            return self.member(under, name)
        return None

    def _embedded(self, type_: Type, via: tuple[str, ...]) -> list[tuple[Type, tuple[str, ...]]]:
        under = self.core(type_) if isinstance(type_, TypeParam) else self.underlying(type_)
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
                    inner = substitute(self.type_from(elem.children[0]), dict(under.args))
                    if inner is not None:
                        found.append((inner, via))
        return found

    def _embedded_type(self, field: Node) -> Type | None:
        inner = self.type_from(field.get("type"))
        if inner is not None and any(c.kind == "*" for c in field.children):
            return Pointer(inner)
        return inner

    def _method(self, type_: Named, name: str) -> Decl | None:
        if type_.local:
            return None
        package = self._package_of(type_)
        found = package.methods(type_.name).get(name) if package else None
        return found[0] if found else None

    def _method_type(self, decl: Decl, owner: Named) -> Type | None:
        signature = self.decl_type(decl)
        if not owner.args:
            return signature
        receiver = decl.node.get("receiver")
        if receiver is None:
            return signature
        params: list[TypeParam] = []
        for node in receiver.find("type_arguments"):
            params = [TypeParam(n.name, n.path, n.start) for n in node.find("type_identifier")]
            break
        return substitute(signature, dict(zip(params, owner.args, strict=False)))

    def _package_of(self, type_: Named) -> Package | None:
        return self.workspace.package_by_key(type_.package)

    # -- declarations ---------------------------------------------------------------

    def decl_type(self, decl: Decl) -> Type | None:
        """Return the type of a package-level function, method, variable or constant."""
        key = (*decl.key, decl.index)
        known = self._decls
        if key not in known:
            known[key] = None
            if not decl.sound:
                return None
            if decl.kind in {"func", "method"}:
                known[key] = self._signature(decl.node)
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
            return self.type_from(declaration.get("type"))
        if kind == "variadic_parameter_declaration":
            return Slice(self.type_from(declaration.get("type")))
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
            return self.type_of(declaration["right"])
        if kind == "type_case":
            types = declaration.all("type")
            if len(types) == 1 and types[0].kind != "nil":
                return self.type_from(types[0])
        if kind in {"type_case", "default_case"} and declaration.parent is not None:
            return self.type_of(declaration.parent.get("value"))
        return None

    def _spec_type(self, spec: Node, index: int) -> Type | None:
        type_node = spec.get("type")
        if type_node is not None:
            return self.type_from(type_node)
        value = spec.get("value")
        if value is None:
            return None
        count = sum(1 for c in spec.all("name"))
        if spec.kind == "const_spec":
            return self.type_of(value.children[index]) if index < len(value.children) else None
        return self._assigned(value, index, count)

    def _assigned(self, right: Node, index: int, count: int) -> Type | None:
        values = right.children if right.kind == "expression_list" else [right]
        if len(values) == count:
            return self.value_type(values[index])
        if len(values) != 1:
            return None
        value = values[0]
        while value.kind == "parenthesized_expression":
            value = value.children[0]
        type_ = self.type_of(value)
        if isinstance(type_, Tuple):
            return type_.items[index] if index < len(type_.items) else None
        # v, ok := m[k], x.(T), <-ch
        return type_ if index == 0 else _BOOL

    def _ranged(self, clause: Node, index: int) -> Type | None:
        operand = self.value_type(clause.get("right"))
        under = self.underlying(operand)
        if isinstance(under, Pointer):
            under = self.underlying(under.elem)
        if isinstance(under, TypeParam):
            under = self.core(under)
        match under:
            case Slice() | Array():
                return _INT if index == 0 else under.elem
            case Map():
                return under.key if index == 0 else under.elem
            case Chan():
                return under.elem
            case Func(params) if len(params) == 1:
                body = self.underlying(params[0])
                if isinstance(body, Func) and index < len(body.params):
                    return body.params[index]
                return None
            case Named(package="", name="string"):
                return _INT if index == 0 else _RUNE
            case Named(package=""):
                return operand
        return None

    # -- type expressions -----------------------------------------------------------

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
            return self._signature(node)
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
                package = self.workspace.file_of(node).package
                return Named(package.key, local.name, (), declaration.start)
            if declaration.kind == "type_alias":
                return self.type_from(declaration.get("type"))
            return TypeParam(local.name, local.node.path, local.node.start)
        file = self.workspace.file_of(node)
        meant = self._package_level(node.name, file)
        if meant is None:
            return self._predeclared(node.name)
        return self._declared(meant) if is_decl(meant, "type") else None

    def _predeclared(self, name: str) -> Type | None:
        return Named("", name) if name in _PREDECLARED else None

    def _declared(self, decl: Decl) -> Type | None:
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
        file = self.workspace.file_of(node)
        path = file.imported(package_node.name)
        if path is None:
            return None
        package = self.workspace.package(path)
        decl = package.lookup(name.name) if package else None
        if decl is not None and decl.kind == "type":
            return self._declared(decl)
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
            params = self._type_params(decl.node, decl.file)
            target = self.type_from(decl.node.get("type"))
            return substitute(target, dict(zip(params, args, strict=False)))
        return Named(base.package, base.name, args, base.local)

    def _type_decl(self, type_: Named) -> Decl | None:
        if type_.local:
            return None
        package = self._package_of(type_)
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

    def _signature(self, node: Node) -> Type | None:
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

    def _type_params(self, node: Node, file: GoFile) -> list[TypeParam]:
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
            package = self._package_of(type_)
            spec = package.local_type(type_.name, type_.local) if package else None
            file = self.workspace.file_of(spec) if spec is not None else None
        else:
            decl = self._type_decl(type_)
            if decl is None or not decl.sound:
                return None
            spec, file = decl.node, decl.file
        if spec is None or file is None:
            return None
        found = self.type_from(spec.get("type"))
        params = self._type_params(spec, file)
        if not params:
            return found
        bindings: Bindings = dict(zip(params, type_.args, strict=False))
        if isinstance(found, Struct):
            return Struct(found.node, tuple(bindings.items()))
        if isinstance(found, Interface):
            return Interface(found.node, tuple(bindings.items()))
        return substitute(found, bindings)


def is_decl(meant: Binding | Decl | Import | None, *kinds: str) -> TypeGuard[Decl]:
    """Return whether a name means a package-level declaration (of one of these kinds)."""
    # An Import is a tuple without a kind; `Decl` itself cannot be imported up here.
    if meant is None or isinstance(meant, Binding | tuple):
        return False
    return not kinds or meant.kind in kinds


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


_WRAPPED = frozenset(
    {"parenthesized_type", "parenthesized_expression", "type_elem", "type_constraint"}
)
_TYPE_KINDS = frozenset(
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
_BUILTINS = frozenset(
    {
        *("append", "cap", "clear", "close", "complex", "copy", "delete", "imag", "len"),
        *("make", "max", "min", "new", "panic", "print", "println", "real", "recover"),
    }
)
_EXPRESSIONS = {
    "parenthesized_expression": Inference._parenthesized,
    "selector_expression": Inference._selector,
    "unary_expression": Inference._unary,
    "binary_expression": Inference._binary,
    "composite_literal": Inference._composite,
    "literal_value": Inference._literal_value,
    "func_literal": Inference._literal,
    "type_assertion_expression": Inference._assertion,
    "type_conversion_expression": Inference._conversion,
    "slice_expression": Inference._slice,
    "index_expression": Inference._index,
    "type_instantiation_expression": Inference._instantiation,
    "call_expression": Inference._call,
}
