"""Counts: how often a loop runs, or a goroutine sends, as Go text that holds elsewhere too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.access import is_assigned_once, uses_of
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.types import Array, Map, Named, Pointer, Slice

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["Count", "iterations", "product", "rounds", "valid_at"]


@dataclass(frozen=True, slots=True)
class Count:
    """An upper bound: a constant factor times Go expressions; `nodes` are where they stand."""

    factor: int = 1
    terms: tuple[str, ...] = ()
    nodes: tuple[Node, ...] = ()

    @property
    def is_constant(self) -> bool:
        """Return whether the bound is a plain number."""
        return not self.terms

    def __str__(self) -> str:
        parts = list(self.terms)
        if self.factor != 1 or not parts:
            parts.insert(0, str(self.factor))
        return "*".join(parts)


def product(left: Count, right: Count) -> Count:
    """Return the count of something that happens `left` times `right` times."""
    return Count(left.factor * right.factor, left.terms + right.terms, left.nodes + right.nodes)


def iterations(file: GoFile, loop: Node) -> Count | None:
    """Return an upper bound for the iterations of a `for`, None when it has none to name.

    `for range xs` (slice, array, map or integer) and `for i := 0; i < n; i++` with an `i`
    that only the loop changes.
    """
    clause = next((c for c in loop.children if c.kind in {"range_clause", "for_clause"}), None)
    if clause is None:
        return None
    if clause.kind == "range_clause":
        return _ranged(file, clause["right"])
    return _counted(file, clause, loop)


def rounds(file: GoFile, loop: Node | None, made: Node, count: Count | None = None) -> Count | None:
    """Return how often a loop and those around it run, up to what makes a channel or the like.

    `loop` is the innermost one, `count` what happens in one of its rounds (once, if not given).
    The bound holds where `made` stands too; None where it has no name there.
    """
    count = count or Count()
    while loop is not None and not loop.contains(made):
        times = iterations(file, loop)
        if times is None:
            return None
        count = product(count, times)
        loop = innermost_loop(loop)
    return count if valid_at(file, count, made) else None


def _ranged(file: GoFile, operand: Node) -> Count | None:
    under = file.underlying(file.type_of(operand))
    if isinstance(under, Pointer):
        under = file.underlying(under.elem)
    if operand.kind == "int_literal":
        return _literal(operand)
    if operand.kind not in {"identifier", "selector_expression"}:
        return None
    if isinstance(under, Slice | Array | Map):
        return Count(1, (f"len({operand.name})",), (operand,))
    if isinstance(under, Named) and under.name in {"int", "untyped int"}:
        return Count(1, (operand.name,), (operand,))
    return None


def _literal(node: Node) -> Count | None:
    return Count(int(node.name)) if node.name.isdigit() else None


def _counted(file: GoFile, clause: Node, loop: Node) -> Count | None:
    start, condition, update = (clause.get(f) for f in ("initializer", "condition", "update"))
    if start is None or condition is None or update is None:
        return None
    if start.kind != "short_var_declaration" or update.kind != "inc_statement":
        return None
    names, values = start["left"].children, start["right"].children
    if len(names) != 1 or len(values) != 1 or not values[0].name.isdigit():
        return None
    binding = file.binding(names[0])
    if binding is None or condition.kind != "binary_expression":
        return None
    changes = [u for u in uses_of(binding) if u.kind in {"write", "update", "address"}]
    if [u.node.start for u in changes] != [update.children[0].start]:
        return None
    if condition["left"].text != names[0].text or condition["operator"].kind not in {"<", "<="}:
        return None
    extra = 1 if condition["operator"].kind == "<=" else 0
    first = int(values[0].name)
    return _bound(file, condition["right"], extra - first)


def _bound(file: GoFile, limit: Node, more: int) -> Count | None:
    if limit.kind == "int_literal":
        known = _literal(limit)
        return Count(max(known.factor + more, 0)) if known else None
    text = limit.name
    if limit.kind == "call_expression":
        function = limit["function"]
        arguments = limit["arguments"].children
        if function.name != "len" or len(arguments) != 1:
            return None
        if arguments[0].kind not in {"identifier", "selector_expression"}:
            return None
    elif limit.kind not in {"identifier", "selector_expression"}:
        return None
    else:
        under = file.underlying(file.type_of(limit))
        if not (isinstance(under, Named) and under.name in {"int", "untyped int"}):
            return None
    # Fewer iterations than the bound are covered by it.
    return Count(1, (f"({text}+{more})" if more > 0 else text,), (limit,))


def valid_at(file: GoFile, count: Count, place: Node) -> bool:
    """Return whether the terms of a count mean the same at `place`, further up.

    Every name in them is visible there and not changed from there on.
    """
    for node in count.nodes:
        for name in node.walk():
            if name.kind != "identifier" or name.field == "function":
                continue
            binding = file.binding(name)
            if binding is None:
                continue
            if binding.visible > place.start or not _encloses(binding.scope, place):
                return False
            if is_assigned_once(binding):
                continue
            for use in uses_of(binding):
                if use.kind in {"write", "update"} and use.node.start > place.start:
                    return False
                if use.kind == "address" or use.function is not place.function:
                    return False
        if node.kind == "selector_expression" and _stored_later(file, node, place):
            return False
    return True


def _encloses(scope: Node, place: Node) -> bool:
    return scope.start <= place.start and place.end <= scope.end


def _stored_later(file: GoFile, selector: Node, place: Node) -> bool:
    """Return whether a field path is assigned between `place` and the selector."""
    function = place.function
    if function is None or function.kind not in FUNCTIONS:
        return True
    for node in function.find("assignment_statement"):
        if place.start < node.start < selector.start:
            if any(left.text == selector.text for left in node["left"].children):
                return True
    return False
