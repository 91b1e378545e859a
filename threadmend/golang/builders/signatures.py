"""Edits of signatures and calls: parameters, results, receivers, arguments, pointers.

A function is any node with a signature: a declaration, method, literal, function type or
interface method. Call sites are the caller's business: one edit per site, all in one fix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from threadmend.golang.builders.lines import BuilderError
from threadmend.golang.builders.lists import Items, inserted, removed
from threadmend.golang.builders.spacing import depth_of, respaced
from threadmend.golang.node import bare
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = [
    "Parameter",
    "add_argument",
    "add_parameter",
    "address",
    "arguments",
    "parameters",
    "remove_argument",
    "remove_parameter",
]


class Parameter(NamedTuple):
    """One parameter; `a, b T` are two that share a declaration."""

    name: Node | None
    type: Node
    declaration: Node
    variadic: bool


def parameters(function: Node) -> list[Parameter]:
    """Return the parameters of a function, in order, groups taken apart."""
    found: list[Parameter] = []
    for declaration in _declarations(function):
        variadic = declaration.kind == "variadic_parameter_declaration"
        names: Sequence[Node | None] = declaration.all("name") or [None]
        found += [Parameter(name, declaration["type"], declaration, variadic) for name in names]
    return found


def _declarations(function: Node) -> list[Node]:
    return [c for c in function["parameters"].children if c.kind.endswith("declaration")]


def _parameter_items(function: Node) -> Items:
    listed = function["parameters"]
    return Items(function.tree, listed.start + 1, _declarations(function), listed.end - 1)


def add_parameter(
    function: Node, name: str, type_: str, *, index: int | None = None
) -> tuple[Edit, ...]:
    """Add a parameter at an index, at the end without one (but before a variadic one).

    Go names all parameters or none: where the others have no names and there is a body,
    they are named `_`; without a body (an interface, a function type) the new one goes
    without its name.

    >>> add_parameter(function, "ctx", "context.Context", index=0)  # doctest: +SKIP
    """
    listed = parameters(function)
    at = len(listed) if index is None else index
    if at == len(listed) and listed and listed[-1].variadic:
        at -= 1
    unnamed = [p for p in listed if p.name is None]
    edits: list[Edit] = []
    text = f"{name} {type_}"
    if unnamed and function.get("body") is None:
        text = type_
    elif unnamed:
        edits = [
            Edit(function.path, p.declaration.start, p.declaration.start, b"_ ") for p in unnamed
        ]
    declarations = _declarations(function)
    if at < len(listed) and at and listed[at].declaration is listed[at - 1].declaration:
        return (_split(listed, at, [text], keep=True),)
    place = len(declarations)
    if at < len(listed):
        place = next(i for i, d in enumerate(declarations) if d is listed[at].declaration)
    edit = inserted(_parameter_items(function), place, text)
    same = [e for e in edits if e.start == edit.start]
    if same:  # two insertions at one place: their order would be lost
        edits = [e for e in edits if e.start != edit.start]
        edit = Edit(edit.path, edit.start, edit.end, edit.new + same[0].new)
    return tuple(sorted([*edits, edit]))


def _split(listed: Sequence[Parameter], index: int, middle: Sequence[str], *, keep: bool) -> Edit:
    """Rewrite a group `a, b, c T` around one of its names.

    `middle` is put before the name; the name itself stays with its type when `keep`.
    """
    chosen = listed[index]
    declaration = chosen.declaration
    if declaration.tree.comments_in(declaration.start, declaration.end):
        raise BuilderError("a comment in the parameter group is in the way")
    group = [i for i, p in enumerate(listed) if p.declaration is declaration]
    before = [n.name for i in group if i < index and (n := listed[i].name)]
    after = [n.name for i in group if i >= index + (not keep) and (n := listed[i].name)]
    type_ = chosen.type.name
    parts = [f"{', '.join(names)} {type_}" for names in (before,) if names]
    parts += middle
    parts += [f"{', '.join(names)} {type_}" for names in (after,) if names]
    return Edit(declaration.path, declaration.start, declaration.end, ", ".join(parts).encode())


def remove_parameter(function: Node, index: int) -> tuple[Edit, ...]:
    """Remove one parameter."""
    listed = parameters(function)
    chosen = listed[index]
    if len(chosen.declaration.all("name")) > 1:
        return (_split(listed, index, [], keep=False),)
    items = _parameter_items(function)
    place = next(i for i, d in enumerate(items.nodes) if d is chosen.declaration)
    return (removed(items, place),)


def arguments(call: Node) -> list[Node]:
    """Return the arguments of a call, in order."""
    return list(_argument_items(call).nodes)


def _argument_items(call: Node) -> Items:
    listed = call.get("arguments")
    if listed is None:
        raise BuilderError(f"a {call.kind} is no call")
    return Items(call.tree, listed.start + 1, listed.children, listed.end - 1)


def add_argument(call: Node, text: str, *, index: int = 0) -> tuple[Edit, ...]:
    """Add an argument at an index, the first by default."""
    items = _argument_items(call)
    if index > len(items.nodes):
        raise BuilderError(f"the call has {len(items.nodes)} arguments")
    if index == len(items.nodes) and index and items.nodes[-1].kind == "variadic_argument":
        raise BuilderError("nothing can follow a variadic argument")
    return (*_spaced(call, items, items.nodes, 1), inserted(items, index, text))


def remove_argument(call: Node, index: int) -> tuple[Edit, ...]:
    """Remove an argument."""
    items = _argument_items(call)
    left = [node for i, node in enumerate(items.nodes) if i != index]
    return (*_spaced(call, items, left, -1), removed(items, index))


def _spaced(call: Node, items: Items, left: Sequence[Node], change: int) -> Iterator[Edit]:
    """Yield what becomes of operators when a call gets a second argument, or loses it."""
    count = len(items.nodes)
    if call.kind != "call_expression" or (count > 1) == (count + change > 1):
        return
    depth = depth_of(call) + (count + change > 1)
    for node in (call["function"], *left):
        yield from respaced(node, depth)


_ADDRESSABLE = frozenset({"identifier", "selector_expression", "index_expression"})


def address(expression: Node) -> tuple[Edit, ...]:
    """Take the address of an expression: `x` becomes `&x`, `*p` and `(*p)` become `p`.

    Raises BuilderError for what has no address (a call's result, an operation).
    """
    inner = bare(expression)
    path = expression.path
    if inner.kind == "unary_expression" and inner["operator"].kind == "*":
        operand = inner["operand"]
        head = Edit(path, expression.start, operand.start, b"")
        if expression.end == operand.end:
            return (head,)
        return (head, Edit(path, operand.end, expression.end, b""))
    if inner.kind in _ADDRESSABLE or inner.kind == "composite_literal":
        return (Edit(path, expression.start, expression.start, b"&"),)
    raise BuilderError(f"a {inner.kind} has no address")
