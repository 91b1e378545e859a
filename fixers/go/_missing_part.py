"""Parts of a text that was split, of which there may be fewer.

fields := strings.Fields(line)
name := fields[0]               // of an empty line
"""

from __future__ import annotations

from threadmend.golang.access import uses_of
from threadmend.golang.file import GoFile
from threadmend.golang.functions import only_returned
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node

__all__ = ["missing_part"]

_SPLITS = {"Split": 1, "SplitN": 1, "Fields": 0, "FieldsFunc": 0, "SplitAfter": 1}


def missing_part(file: GoFile, function: Node, node: Node) -> str:
    """Say that `parts[1]` is missing, of `parts := strings.Split(text, sep)` that nobody counts."""
    operand, index = node["operand"], node.get("index")
    binding = file.binding(operand) if operand.kind == "identifier" else None
    if binding is None or index is None or index.kind != "int_literal":
        return ""
    least = _fewest(file, binding)
    if least is None:
        return ""
    counted = any(
        call["function"].text == b"len" and call["arguments"].children[0].name == binding.name
        for call in function.find("call_expression")
        if call["arguments"].children
    )
    return "" if counted or int(index.name, 0) < least else f"{node.name} is out of range"


def _fewest(file: GoFile, binding: Binding) -> int | None:
    """Return how many parts a variable has that is always a text that was split.

    What a cache holds is taken for the same: `parts, ok := seen[s]`.
    """
    known = []
    for use in uses_of(binding):
        if use.kind == "address":
            return None
        if use.kind not in {"declare", "write"}:
            continue
        targets = use.node.parent
        holder = targets.parent if targets is not None and targets.field == "left" else targets
        right = (holder.get("right") or holder.get("value")) if holder is not None else None
        if right is None or len(right.children) != 1:
            return None
        least = _least(file, right.children[0])
        if least is None and right.children[0].kind != "index_expression":
            return None
        known.append(least)
    return min((n for n in known if n is not None), default=None)


def _least(file: GoFile, value: Node, depth: int = 1) -> int | None:
    """Return how many parts a text that is split certainly has; None for another value.

    Also where a function of the package does nothing but split: `words := fields(line)`.
    """
    function = value["function"] if value.kind == "call_expression" else None
    if function is None:
        return None
    if function.kind == "selector_expression" and function["operand"].kind == "identifier":
        if file.imported(function["operand"].name) in {"strings", "bytes"}:
            return _SPLITS.get(function["field"].name)
    decl = file.callee(value) if depth else None
    if decl is None or not decl.has_body or decl.file.package is not file.package:
        return None
    returned = only_returned(decl.node)
    return _least(decl.file, returned, depth - 1) if returned is not None else None
