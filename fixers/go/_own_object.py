"""Objects that one function makes for itself: a variable has them, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import is_assigned_once
from threadmend.golang.bodycalls import receiver_of
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.functions import call_of
from threadmend.golang.goroutines import launch_of_literal
from threadmend.golang.package import Decl
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node

__all__ = ["OwnObject", "object_around", "uses_of", "variable_for"]


@dataclass(slots=True)
class OwnObject:
    """A function with a variable for an object; `made` is its value."""

    file: GoFile
    function: Node
    binding: Binding
    made: Node

    def is_alone(self) -> bool:
        """Return whether the object stays with its function, which ends some time."""
        function, name = self.function, self.function["name"].name
        if self.file.package.name == "main" and name == "main":
            return False
        flow = flow_of(function)
        if not flow.complete or not any(
            e.kind in {"return", "end"} for e in flow.exits_from(flow.entry)
        ):
            return False
        return _stays(self.file, self.binding, set())


def object_around(make: Node) -> Node | None:
    """Return the `&T{…}` or `T{…}` that a value stands in."""
    literal = make.up("composite_literal")
    above = literal.parent if literal is not None else None
    return above if above is not None and above.kind == "unary_expression" else literal


def variable_for(file: GoFile, value: Node | None) -> Binding | None:
    """Return the variable that `p := value` or `p, err := value` declares for good."""
    group = value.parent if value is not None else None
    statement = group.parent if group is not None and group.kind == "expression_list" else None
    if statement is None or statement.kind != "short_var_declaration":
        return None
    if len(statement["right"].children) != 1:
        return None
    name = statement["left"].children[0]
    binding = file.binding(name)
    if binding is None or binding.node is not name or not is_assigned_once(binding):
        return None
    return binding


def uses_of(binding: Binding) -> Iterator[Node]:
    """Yield where a variable is named, but for its declaration."""
    return (use for use in binding.uses if use is not binding.node)


def _stays(file: GoFile, binding: Binding, seen: set[tuple[str, int]]) -> bool:
    """Return whether a variable is used for its fields and methods only, and they keep it."""
    for use in uses_of(binding):
        selector = use.parent
        if selector is None or selector.kind != "selector_expression" or use.field != "operand":
            return False
        inner = use.function
        if inner is not binding.function and inner is not None:
            if inner.kind != "func_literal" or launch_of_literal(file, inner) is None:
                return False
        selection = file.selection(selector)
        if selection is None:
            return False
        if selection.kind == "field":
            continue
        called = call_of(selector)
        if called is None:
            return False
        if selection.decl is None or not _keeps(selection.decl, seen):
            return False
    return True


def _keeps(method: Decl, seen: set[tuple[str, int]]) -> bool:
    """Return whether a method gives its receiver to nobody."""
    if method.key in seen:
        return True
    seen.add(method.key)
    receiver = receiver_of(method.node)
    return receiver is None or _stays(method.file, receiver, seen)
