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
    "change_argument",
    "change_parameter_type",
    "change_results",
    "parameters",
    "pointer_receiver",
    "remove_argument",
    "remove_parameter",
    "through_pointer",
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


def change_parameter_type(function: Node, index: int, type_: str) -> tuple[Edit, ...]:
    """Replace the type of one parameter; a group `a, b T` is taken apart for it.

    A variadic parameter is changed with its `...`: give `"...T"` to keep it.
    """
    listed = parameters(function)
    chosen = listed[index]
    if len(chosen.declaration.all("name")) > 1 and chosen.name is not None:
        return (_split(listed, index, [f"{chosen.name.name} {type_}"], keep=False),)
    dots = next((c for c in chosen.declaration.children if c.kind == "..."), None)
    start = (dots or chosen.type).start
    return (Edit(function.path, start, chosen.type.end, type_.encode()),)


def remove_parameter(function: Node, index: int) -> tuple[Edit, ...]:
    """Remove one parameter."""
    listed = parameters(function)
    chosen = listed[index]
    if len(chosen.declaration.all("name")) > 1:
        return (_split(listed, index, [], keep=False),)
    items = _parameter_items(function)
    place = next(i for i, d in enumerate(items.nodes) if d is chosen.declaration)
    return (removed(items, place),)


def change_results(function: Node, results: Sequence[str]) -> tuple[Edit, ...]:
    """Replace the results, each given as a type or as `name type`.

    >>> change_results(function, ["int", "error"])  # doctest: +SKIP
    """
    old = function.get("result")
    plain = len(results) == 1 and " " not in results[0].strip().partition("(")[0]
    bare = plain or (len(results) == 1 and results[0].startswith(_TYPE_WORDS))
    text = (results[0] if bare else f"({', '.join(results)})") if results else ""
    start = function["parameters"].end
    if old is not None and old.tree.comments_in(old.start, old.end):
        raise BuilderError("a comment in the results would be lost")
    end = start if old is None else old.end
    return (Edit(function.path, start, end, f" {text}".rstrip().encode()),)


_TYPE_WORDS = ("chan ", "chan<- ", "<-chan ", "func(", "struct", "interface", "map[", "[]", "*")


def pointer_receiver(method: Node) -> tuple[Edit, ...]:
    """Make a method's receiver a pointer: `(s T)` becomes `(s *T)`; nothing when it is one."""
    declaration = next(c for c in method["receiver"].children if c.kind == "parameter_declaration")
    type_ = declaration["type"]
    while type_.kind == "parenthesized_type" and type_.children:
        type_ = type_.children[0]
    if type_.kind == "pointer_type":
        return ()
    return (Edit(method.path, type_.start, type_.start, b"*"),)


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


def change_argument(call: Node, index: int, text: str) -> tuple[Edit, ...]:
    """Replace an argument by an expression."""
    node = _argument_items(call).nodes[index]
    if node.tree.comments_in(node.start, node.end):
        raise BuilderError("a comment in the argument would be lost")
    return (Edit(node.path, node.start, node.end, text.encode()),)


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


_POSTFIX = {
    "index_expression": "operand",
    "slice_expression": "operand",
    "call_expression": "function",
    "type_assertion_expression": "operand",
}
_TIGHT = frozenset({"*", "/", "%", "<<", ">>", "&", "&^"})


def through_pointer(use: Node) -> tuple[Edit, ...]:
    """Rewrite one use of a variable that became a pointer to what it was.

    `x.f` stays, `&x` becomes `x`, a value `x` becomes `*x`, or `(*x)` where `*` would bind
    to more: `(*x)[i]`. Calling a method that needs no address stays right too: `x.m()`.
    """
    outer = use.parent if use.parent and use.parent.kind == "parenthesized_expression" else use
    above = outer.parent
    if above is None:
        raise BuilderError("a use outside an expression")
    if above.kind == "selector_expression" and outer.field == "operand":
        return ()
    if above.kind == "unary_expression" and above["operator"].kind == "&":
        return (Edit(use.path, above.start, above["operand"].start, b""),)
    if outer is use and _binds_tighter(use, above):
        return (
            Edit(use.path, use.start, use.start, b"(*"),
            Edit(use.path, use.end, use.end, b")"),
        )
    return (Edit(use.path, use.start, use.start, b"*"),)


def _binds_tighter(use: Node, above: Node) -> bool:
    if _POSTFIX.get(above.kind) == use.field and use.field:
        return True
    if above.kind == "binary_expression":
        return above["operator"].kind in _TIGHT
    return False
