"""Copies: the places in a file where a value that contains a lock is copied.

The places are those of `go vet` (copylocks) and sends on channels. A call or a composite
literal makes a fresh value, so passing it on copies nothing in use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from threadmend.golang.copy_suspects import suspects
from threadmend.golang.nocopy import nocopy
from threadmend.golang.node import bare
from threadmend.golang.syntax import FUNCTIONS, Declaration, Node
from threadmend.golang.types import (
    Array,
    Chan,
    Func,
    Interface,
    Map,
    Named,
    Slice,
    Struct,
    Type,
    TypeParam,
)

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = [
    "Copy",
    "Kind",
    "copies",
    "is_interface",
    "target_type",
    "values",
]

Kind = Literal[
    "receiver", "parameter", "argument", "result", "assignment", "range", "element", "send"
]


@dataclass(frozen=True, slots=True)
class Copy:
    """One place where a lock is copied.

    `node` is the copied expression, or the type of a receiver or parameter, or the variable
    of a range clause. `holder` is the parameter declaration, argument list, return statement,
    assignment, range clause, element or send around it; `index` the place in it. `locks` is
    the way to the lock, outermost type first.
    """

    kind: Kind
    node: Node
    holder: Node
    index: int
    type: Type
    locks: tuple[str, ...]


def copies(file: GoFile) -> Iterator[Copy]:
    """Yield the copies in a file, in source order of their functions."""
    workspace = file.package.workspace
    known: dict[str, list[Copy]] = workspace.facts.setdefault("copies", {})
    if file.path not in known:
        known[file.path] = found = []
        for declaration in suspects(file):
            found.extend(sorted(_in_declaration(file, declaration), key=lambda c: c.node.start))
    yield from known[file.path]


def _in_declaration(file: GoFile, declaration: Declaration) -> Iterator[Copy]:
    index = declaration.index
    for node in index.get("parameter_declaration", ()):
        yield from _signature(file, node)
    for clause in index.get("range_clause", ()):
        yield from _range(file, clause)
    for kind, holder, position, node in values(declaration):
        yield from _value(file, kind, holder, position, node)


def _signature(file: GoFile, declaration: Node) -> Iterator[Copy]:
    group = declaration.parent
    function = group.parent if group is not None else None
    if group is None or function is None or function.kind not in FUNCTIONS:
        return
    if group.field not in {"parameters", "receiver"} or function.get("body") is None:
        return
    type_node = declaration["type"]
    if type_node.kind in _NEVER:
        return
    type_ = file.type_from(type_node)
    locks = nocopy(file.package.workspace).path(type_)
    if type_ is not None and locks:
        kind: Kind = "receiver" if group.field == "receiver" else "parameter"
        yield Copy(kind, type_node, declaration, _position(declaration), type_, locks)


_NEVER = frozenset(
    {"pointer_type", "slice_type", "map_type", "channel_type", "function_type", "interface_type"}
)


def _position(declaration: Node) -> int:
    """Return the index of a parameter declaration's first parameter."""
    assert declaration.parent is not None
    at = 0
    for other in declaration.parent.children:
        if other is declaration:
            break
        at += max(1, len(other.all("name")))
    return at


def _range(file: GoFile, clause: Node) -> Iterator[Copy]:
    left = clause.get("left")
    for position, variable in enumerate(left.children if left else ()):
        if variable.kind == "blank_identifier" or variable.text == b"_":
            continue
        type_ = file.type_of(variable)
        locks = nocopy(file.package.workspace).path(type_)
        if type_ is not None and locks:
            yield Copy("range", variable, clause, position, type_, locks)


def values(declaration: Declaration) -> Iterator[tuple[Kind, Node, int, Node]]:
    """Yield (kind, holder, position, expression) where a value goes somewhere."""
    index = declaration.index
    for kind in ("short_var_declaration", "assignment_statement"):
        for statement in index.get(kind, ()):
            operator = statement.get("operator")
            if operator is None or operator.kind == "=":
                for position, node in enumerate(statement["right"].children):
                    if not _blank(statement["left"], position):
                        yield "assignment", statement, position, node
    for spec in index.get("var_spec", ()):
        value = spec.get("value")
        for position, node in enumerate(value.children if value else ()):
            names = spec.all("name")
            if position >= len(names) or names[position].text != b"_":
                yield "assignment", spec, position, node
    for statement in index.get("return_statement", ()):
        for values in statement.children:
            if values.kind == "expression_list":
                for position, node in enumerate(values.children):
                    yield "result", statement, position, node
    for arguments in index.get("argument_list", ()):
        for position, node in enumerate(arguments.children):
            yield "argument", arguments, position, node
    for element in index.get("literal_element", ()):
        if element.field != "key" and element.children:
            yield "element", element, 0, element.children[0]
    for statement in index.get("send_statement", ()):
        yield "send", statement, 0, statement["value"]


def _blank(left: Node, position: int) -> bool:
    return position < len(left.children) and left.children[position].text == b"_"


def _value(file: GoFile, kind: Kind, holder: Node, position: int, node: Node) -> Iterator[Copy]:
    inner = bare(node)
    if not _copyable(inner):
        return
    if kind == "argument" and _type_only(file, holder):
        return
    type_ = file.type_of(inner)
    locks = nocopy(file.package.workspace).path(type_)
    if type_ is None or not locks or _names_type(file, inner):
        return
    yield Copy(kind, inner, holder, position, type_, locks)


def _copyable(node: Node) -> bool:
    """Return whether an expression reads an existing value: no call, no literal."""
    if node.kind == "unary_expression":
        operator = node["operator"].kind
        if operator == "*":
            # A call may return a pointer to a fresh value.
            return bare(node["operand"]).kind != "call_expression"
        return operator == "<-"
    return node.kind in {
        "identifier",
        "selector_expression",
        "index_expression",
        "type_assertion_expression",
    }


def _names_type(file: GoFile, node: Node) -> bool:
    if node.kind == "selector_expression":
        selection = file.selection(node)
        return bool(selection and selection.decl is not None and selection.decl.kind == "type")
    if node.kind == "identifier":
        meant = file.resolve(node)
        return getattr(meant, "kind", "") == "type"
    return False


_SIZES = frozenset({"len", "cap"})
_UNSAFE = frozenset({"Sizeof", "Offsetof", "Alignof"})


def _type_only(file: GoFile, arguments: Node) -> bool:
    """Return whether a call needs its argument's type only, or makes something of a type."""
    function = arguments.parent["function"] if arguments.parent is not None else None
    if function is None:
        return False
    if function.kind == "identifier":
        if file.resolve(function) is None:
            return function.name in _SIZES or (
                function.name in _UNSAFE and file.imports_path("unsafe")
            )
        return False
    if function.kind == "selector_expression" and function["field"].name in _UNSAFE:
        operand = function["operand"]
        return (
            operand.kind == "identifier"
            and file.binding(operand) is None
            and (file.imported(operand.name) == "unsafe")
        )
    return False


# -- where a value goes ---------------------------------------------------------------


def _parameter_of(file: GoFile, arguments: Node, position: int) -> Type | None:
    """Return the type of the parameter that an argument is passed to, None if unknown."""
    call = arguments.parent
    callee = file.underlying(file.type_of(call["function"])) if call is not None else None
    if not isinstance(callee, Func):
        return None
    if callee.variadic and position >= len(callee.params) - 1:
        last = callee.params[-1]
        return last.elem if isinstance(last, Slice) else None
    return callee.params[position] if position < len(callee.params) else None


def target_type(
    file: GoFile, kind: Kind, holder: Node, index: int, type_: Type | None
) -> Type | None:
    """Return the type of the place that a value of `type_` goes to, None if unknown."""
    if kind == "argument":
        return _parameter_of(file, holder, index)
    if kind == "result":
        function = holder.function
        signature = file.type_of(function) if function and function.kind == "func_literal" else None
        if function is not None and function.kind != "func_literal":
            signature = _declared(file, function)
        if isinstance(signature, Func) and index < len(signature.results):
            return signature.results[index]
        return None
    if kind == "send":
        channel = file.underlying(file.type_of(holder["channel"]))
        return channel.elem if isinstance(channel, Chan) else None
    if kind == "assignment":
        return _assigned(file, holder, index, type_)
    if kind == "element":
        return _element(file, holder)
    return type_


def _declared(file: GoFile, function: Node) -> Type | None:
    results: list[Type | None] = []
    node = function.get("result")
    if node is None:
        return None
    if node.kind != "parameter_list":
        results.append(file.type_from(node))
    else:
        for result in node.children:
            type_ = file.type_from(result.get("type"))
            results.extend([type_] * max(1, len(result.all("name"))))
    return Func((), tuple(results))


def _assigned(file: GoFile, holder: Node, index: int, type_: Type | None) -> Type | None:
    if holder.kind == "var_spec":
        given = holder.get("type")
        return file.type_from(given) if given is not None else type_
    left = holder["left"].children
    if index >= len(left):
        return None
    return type_ if holder.kind == "short_var_declaration" else file.type_of(left[index])


def _element(file: GoFile, element: Node) -> Type | None:
    parent = element.parent
    keyed = parent is not None and parent.kind == "keyed_element"
    literal = parent.parent if keyed and parent is not None else parent
    if literal is None or parent is None:
        return None
    whole = file.type_of(literal)
    under = file.underlying(whole)
    if isinstance(under, Slice | Array | Map):
        return under.elem
    if not isinstance(under, Struct) or whole is None:
        return None
    if not keyed:
        return None
    member = file.package.workspace.inference.member(whole, parent["key"].name)
    return member.type if member is not None else None


def is_interface(file: GoFile, type_: Type | None) -> bool:
    """Return whether a type is an interface or a type parameter: it takes any such value."""
    if isinstance(type_, Named) and not type_.package and type_.name in {"any", "error"}:
        return True
    return isinstance(type_, TypeParam) or isinstance(file.underlying(type_), Interface)
