"""What a function does with a context that it is given: read its values, or work under it.

    func Info(ctx context.Context, text string) { print(IDFromContext(ctx), text) }

Whoever only reads values is not cut off by another context, and nothing of it can be cancelled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.scope import Binding, bindings_in, resolve_local
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl

__all__ = ["is_unsent", "only_reads_values"]

_DEPTH = 4
_SENDS = frozenset({"Do", "RoundTrip", "Send"})


def only_reads_values(file: GoFile, call: Node, argument: Node, depth: int = _DEPTH) -> bool:
    """Return whether the callee asks a context that it is given for values, and nothing else."""
    decl = file.callee(call)
    position = _position(call, argument)
    if decl is None or not decl.has_body or decl.file.package.module is None or position is None:
        return False
    parameter = _parameter(decl, position)
    if parameter is None:
        return False
    return all(_reads(decl.file, use, depth) for use in _uses(parameter))


def _reads(file: GoFile, use: Node, depth: int) -> bool:
    parent = use.parent
    if parent is None:
        return False
    if parent.kind == "selector_expression":
        return parent["field"].name == "Value"
    if parent.kind == "binary_expression":
        return True  # ctx == nil
    call = parent.parent
    if parent.kind != "argument_list" or call is None or depth == 0:
        return False
    if call.parent is not None and call.parent.kind in {"go_statement", "defer_statement"}:
        return False
    return only_reads_values(file, call, use, depth - 1)


def is_unsent(file: GoFile, call: Node) -> bool:
    """Return whether a request that is made stays with code that never sends it.

    It is made for its address or its header, or written to a connection by hand.
    """
    statement = call.parent.parent if call.parent is not None else None
    if statement is None or statement.kind not in {"short_var_declaration", "assignment_statement"}:
        return False
    name = statement["left"].children[0]
    if name.name == "_":
        return True  # it is made to see whether it can be
    binding = resolve_local(name) if name.kind == "identifier" else None
    if binding is None or binding.kind != "variable" or binding.function is not call.function:
        return False
    return all(_stays(file, use, _DEPTH) for use in _uses(binding))


# They look at a request to make sense of its answer, or write it down.
_READS = frozenset({"ReadResponse", "DumpRequest", "DumpRequestOut"})


def _comes_with_context(file: GoFile, call: Node) -> bool:
    """Return whether who is handed a request gets a context as well: `c.fetch(ctx, req)`."""
    return any(is_named(file.type_of(a), "context.Context") for a in call["arguments"].children)


def _stays(file: GoFile, use: Node, depth: int) -> bool:
    parent = use.parent
    if parent is None:
        return False
    if parent.kind == "selector_expression":
        return parent["field"].name not in {"Context", "WithContext", "Clone"}
    if parent.kind == "expression_list":
        return parent.field == "left"
    if parent.kind == "binary_expression":
        return True
    outer = parent.parent
    if parent.kind != "argument_list" or outer is None or depth == 0:
        return False
    function = outer["function"]
    last = function["field"] if function.kind == "selector_expression" else function
    if last.name in _READS or _comes_with_context(file, outer):
        return True
    decl = file.callee(outer)
    position = _position(outer, use)
    if decl is None or not decl.has_body or position is None or last.name in _SENDS:
        return False
    parameter = _parameter(decl, position)
    return parameter is not None and all(
        _stays(decl.file, each, depth - 1) for each in _uses(parameter)
    )


def _position(call: Node, argument: Node) -> int | None:
    arguments = call["arguments"].children
    return arguments.index(argument) if argument in arguments else None


def _parameter(decl: Decl, position: int) -> Binding | None:
    """Return a function's parameter by its place, None where it has no name of its own."""
    declared = decl.node.get("parameters")
    names: list[Node | None] = []
    for parameter in declared.children if declared is not None else ():
        names += [*parameter.all("name")] or [None]
    name = names[position] if position < len(names) else None
    if name is None:
        return None
    for group in bindings_in(decl.node).values():
        for binding in group:
            if binding.node is name:
                return binding
    return None


def _uses(binding: Binding) -> list[Node]:
    return [use for use in binding.uses if use is not binding.node]
