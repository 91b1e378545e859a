"""Light Go types: what `type_of` answers. Unknown is `None`, never a guess."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from threadmend.golang.syntax import Node

__all__ = [
    "Array",
    "Chan",
    "Func",
    "Interface",
    "Map",
    "Named",
    "Pointer",
    "Slice",
    "Struct",
    "Tuple",
    "Type",
    "TypeParam",
    "deref",
    "is_named",
    "substitute",
]


@dataclass(slots=True, unsafe_hash=True)
class Named:
    """A declared or predeclared type; `package` is its import path, `""` for predeclared.

    `local` is the offset of the declaration for a type declared inside a function, 0 else.
    """

    package: str
    name: str
    args: tuple[Type | None, ...] = ()
    local: int = 0

    def __str__(self) -> str:
        text = f"{self.package}.{self.name}" if self.package else self.name
        if self.args:
            text += "[" + ",".join(str(a) if a else "?" for a in self.args) + "]"
        return text


@dataclass(slots=True, unsafe_hash=True)
class Pointer:
    """`*elem`."""

    elem: Type | None

    def __str__(self) -> str:
        return f"*{self.elem or '?'}"


@dataclass(slots=True, unsafe_hash=True)
class Slice:
    """`[]elem`."""

    elem: Type | None

    def __str__(self) -> str:
        return f"[]{self.elem or '?'}"


@dataclass(slots=True, unsafe_hash=True)
class Array:
    """`[n]elem`; the length is kept as written."""

    elem: Type | None
    length: str = ""

    def __str__(self) -> str:
        return f"[{self.length}]{self.elem or '?'}"


@dataclass(slots=True, unsafe_hash=True)
class Map:
    """`map[key]elem`."""

    key: Type | None
    elem: Type | None

    def __str__(self) -> str:
        return f"map[{self.key or '?'}]{self.elem or '?'}"


@dataclass(slots=True, unsafe_hash=True)
class Chan:
    """`chan elem`; `direction` is `both`, `send` or `receive`."""

    elem: Type | None
    direction: str = "both"

    def __str__(self) -> str:
        word = {"both": "chan ", "send": "chan<- ", "receive": "<-chan "}[self.direction]
        return f"{word}{self.elem or '?'}"


@dataclass(slots=True, unsafe_hash=True)
class Func:
    """A function's parameter and result types, receiver left out."""

    params: tuple[Type | None, ...]
    results: tuple[Type | None, ...]
    variadic: bool = False

    def __str__(self) -> str:
        params = ", ".join(str(p or "?") for p in self.params)
        results = ", ".join(str(r or "?") for r in self.results)
        if len(self.results) > 1:
            results = f"({results})"
        return f"func({params}) {results}".rstrip()


@dataclass(slots=True, unsafe_hash=True)
class Tuple:
    """The results of a call that returns several values."""

    items: tuple[Type | None, ...]

    def __str__(self) -> str:
        return "(" + ", ".join(str(i or "?") for i in self.items) + ")"


@dataclass(slots=True, unsafe_hash=True)
class Struct:
    """A struct type as written: `node` is its `struct_type`, `args` what generics mean in it."""

    node: Node = field(repr=False)
    args: tuple[tuple[TypeParam, Type | None], ...] = ()

    def __str__(self) -> str:
        return "struct{}" if _is_empty(self.node) else "struct{...}"


@dataclass(slots=True, unsafe_hash=True)
class Interface:
    """An interface type as written: `node` is its `interface_type`."""

    node: Node = field(repr=False)
    args: tuple[tuple[TypeParam, Type | None], ...] = ()

    def __str__(self) -> str:
        return "interface{}" if _is_empty(self.node) else "interface{...}"


@dataclass(slots=True, unsafe_hash=True)
class TypeParam:
    """A type parameter: its name and where it is declared."""

    name: str
    path: str
    offset: int

    def __str__(self) -> str:
        return self.name


Type = Union[  # noqa: UP007 - a recursive alias
    Named,
    Pointer,
    Slice,
    Array,
    Map,
    Chan,
    Func,
    Tuple,
    Struct,
    Interface,
    TypeParam,
]

Bindings = Mapping[TypeParam, Type | None]


def _is_empty(node: Node) -> bool:
    return not any(
        child.children or child.kind in {"method_elem", "type_elem"} for child in node.children
    )


def deref(type_: Type | None) -> Type | None:
    """Return what a pointer points to, other types as they are."""
    return type_.elem if isinstance(type_, Pointer) else type_


def is_named(type_: Type | None, *names: str) -> bool:
    """Return whether the type (or what it points to) is one of `sync.Mutex`-like names."""
    type_ = deref(type_)
    return isinstance(type_, Named) and f"{type_.package}.{type_.name}" in names


def substitute(type_: Type | None, bindings: Bindings) -> Type | None:
    """Return the type with type parameters replaced by what they are bound to."""
    if type_ is None or not bindings:
        return type_

    def each(types: tuple[Type | None, ...]) -> tuple[Type | None, ...]:
        return tuple(substitute(t, bindings) for t in types)

    match type_:
        case TypeParam():
            return bindings.get(type_, type_)
        case Named(package, name, args, local):
            return Named(package, name, each(args), local) if args else type_
        case Pointer(elem):
            return Pointer(substitute(elem, bindings))
        case Slice(elem):
            return Slice(substitute(elem, bindings))
        case Array(elem, length):
            return Array(substitute(elem, bindings), length)
        case Map(key, elem):
            return Map(substitute(key, bindings), substitute(elem, bindings))
        case Chan(elem, direction):
            return Chan(substitute(elem, bindings), direction)
        case Func(params, results, variadic):
            return Func(each(params), each(results), variadic)
        case Tuple(items):
            return Tuple(each(items))
        case Struct(node, args):
            return Struct(node, _bind(args, bindings))
        case Interface(node, args):
            return Interface(node, _bind(args, bindings))
    return type_


def _bind(
    args: tuple[tuple[TypeParam, Type | None], ...], bindings: Bindings
) -> tuple[tuple[TypeParam, Type | None], ...]:
    known = {param: substitute(type_, bindings) for param, type_ in args}
    return tuple({**bindings, **known}.items())
