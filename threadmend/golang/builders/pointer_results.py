"""Turn a function's result into a pointer; every caller in the project follows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.builders.pointer_signatures import calls_of
from threadmend.golang.builders.pointers import (
    CannotFollow,
    Rewrite,
    follow,
    pointer_to,
    prefixed,
)
from threadmend.golang.calls import Site
from threadmend.golang.node import bare, parenthesized
from threadmend.golang.scope import Binding, declared_by
from threadmend.golang.syntax import Node
from threadmend.golang.uses import declaration_of, is_api, is_fixed_outside, variants

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["result_to_pointer"]

_SNAPSHOT = re.compile(r"(?i)copy|clone|snapshot|dup")
_LOCKING = re.compile(rb"\.R?Lock\(\)")


def result_to_pointer(file: GoFile, function: Node, index: int) -> Rewrite:
    """Return the change of a function's result at an index from `T` to `*T`."""
    if function.kind == "func_literal":
        raise CannotFollow("the function literal is handed on, and its type with it")
    decl = declaration_of(file, function)
    if decl is None or is_fixed_outside(decl) or len(variants(decl)) > 1:
        raise CannotFollow("the function has variants, or is known outside of Go")
    rewrite = Rewrite()
    type_node, count = _result(function, index)
    rewrite.edits.append(prefixed(type_node, b"*"))
    for values in _returned(function, count):
        _point_result(file, function, values[index], rewrite)
    sites = list(calls_of(decl, any_receiver=True))
    followed: set[Binding] = set()
    calls = {site.call for site in sites}
    for site in sites:
        binding = _new_variable(site, index, count)
        if binding is not None:
            followed.add(binding)
            follow(site.file, binding, rewrite, lambda use: _reassigned(use, calls, index))
    for site in sites:
        _follow_call(site, index, count, followed, rewrite)
    if is_api(decl):
        rewrite.reasons.append(f"{decl.name} is exported; callers elsewhere have to follow")
    return rewrite


def _result(function: Node, index: int) -> tuple[Node, int]:
    """Return the type of a result, and how many results there are."""
    result = function.get("result")
    if result is None:
        raise CannotFollow("the function has no result")
    if result.kind != "parameter_list":
        return result, 1
    if any(declaration.all("name") for declaration in result.children):
        raise CannotFollow("the result has a name, and a zero value at the start")
    return result.children[index]["type"], len(result.children)


def _returned(function: Node, count: int) -> Iterator[list[Node]]:
    for node in function["body"].own():
        if node.kind == "return_statement":
            values = node.children[-1].children if len(node.children) > 1 else []
            if len(values) != count:
                raise CannotFollow("a return hands on the results of another call")
            yield values


def _point_result(file: GoFile, function: Node, value: Node, rewrite: Rewrite) -> None:
    inner = bare(value)
    rewrite.edits.append(pointer_to(file, inner))
    if inner.kind == "composite_literal" or _is_local(file, inner, function):
        return
    name = function["name"].name
    if _SNAPSHOT.search(name) or _LOCKING.search(function.text):
        raise CannotFollow(
            "the result is a snapshot; a type of the data without the lock would be its type"
        )
    rewrite.reasons.append(f"callers of {name} get the value itself, no longer a copy")


def _is_local(file: GoFile, node: Node, function: Node) -> bool:
    """Return whether a value is a variable of the function, or what a fresh pointer means."""
    starred = node.kind == "unary_expression"
    if starred:
        node = bare(node["operand"])
    binding = file.binding(node)
    if binding is None or binding.function is not function:
        return False
    if not starred:
        return binding.kind in {"variable", "parameter", "receiver", "range"}
    declaration = binding.declaration
    if declaration.kind != "short_var_declaration":
        return False
    values = declaration["right"].children
    if len(values) != len(declaration["left"].children):
        return False
    value = bare(values[binding.index])
    if value.kind == "call_expression":
        return value["function"].name == "new"
    if value.kind != "unary_expression" or value["operator"].kind != "&":
        return False
    return value["operand"].kind == "composite_literal"


# -- callers ----------------------------------------------------------------------------


def _holder(call: Node) -> tuple[list[Node], Node] | None:
    """Return the names, and the statement, that take the results of a call."""
    place = parenthesized(call)
    values = place.parent
    statement = values.parent if values is not None else None
    if values is None or statement is None or len(values.children) != 1:
        return None
    if values.field == "right" and values.kind == "expression_list":
        left = statement.get("left")
        return (left.children, statement) if left is not None else None
    if values.field == "value" and statement.kind == "var_spec":
        return statement.all("name"), statement
    return None


def _new_variable(site: Site, index: int, count: int) -> Binding | None:
    """Return the variable that a call's result declares, if it declares a new one."""
    assert site.call is not None
    held = _holder(site.call)
    if held is None or len(held[0]) != count or held[1].function is None:
        return None
    names, statement = held
    if statement.kind not in {"short_var_declaration", "var_spec"} or statement.get("type"):
        return None
    return declared_by(names[index])


def _reassigned(use: Node, calls: set[Node | None], index: int) -> bool:
    """Return whether a use is the target of another call of the same function."""
    targets = use.parent
    statement = targets.parent if targets is not None else None
    if targets is None or statement is None or targets.field != "left":
        return False
    right = statement.get("right")
    if right is None or len(right.children) != 1 or targets.children[index] is not use:
        return False
    return bare(right.children[0]) in calls


def _follow_call(
    site: Site, index: int, count: int, followed: set[Binding], rewrite: Rewrite
) -> None:
    call = site.call
    assert call is not None
    place = parenthesized(call)
    parent = place.parent
    assert parent is not None
    if parent.kind in {"expression_statement", "go_statement", "defer_statement"}:
        return
    if parent.kind in {"selector_expression", "index_expression"} and place.field == "operand":
        return
    held = _holder(call)
    if held is not None and len(held[0]) == count:
        target = held[0][index]
        if target.text == b"_":
            return
        binding = site.file.binding(target)
        if binding is not None and binding in followed:
            return
    if count > 1:
        where = f"{site.file.path}:{site.file.source.line_of(call.start)}"
        raise CannotFollow(f"a caller hands the results on as they are ({where})")
    rewrite.edits.append(prefixed(place, b"*"))
