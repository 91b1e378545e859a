"""Whether the answer of one step decides if another one is taken, or what it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import uses_of
from threadmend.golang.file import GoFile
from threadmend.golang.node import bare
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node

from ._locked_steps import Step

__all__ = ["Decided", "decided", "leaves"]

_LEAVES = frozenset({"return_statement", "continue_statement", "break_statement"})
_KEEPS = frozenset({"short_var_declaration", "assignment_statement", "var_spec"})
_ORDERED = frozenset({"<", "<=", ">", ">="})


@dataclass(frozen=True, slots=True)
class Decided:
    """A change that an earlier look decides.

    `by` is the `if` or `switch`, or the statement whose value is computed; `test` the expression
    that asks, `refusal` the branch that leaves before the change, None where the change is made
    inside. `operator`: what the answer is compared by, "" for a plain yes or no. `names`: the
    variables that hold the answer.
    """

    look: Step
    change: Step
    by: Node
    test: Node | None
    refusal: Node | None
    operator: str
    other: Node | None
    names: frozenset[str]

    @property
    def is_bound(self) -> bool:
        """Return whether the answer is compared as a number is."""
        return self.operator in _ORDERED


def decided(function: Node, look: Step, change: Step) -> Decided | None:
    """Return how a look decides a change, None if it does not."""
    names = set(_names(look))
    held = frozenset(n.name for n in names)
    computed = _computed(look, change, names)
    for by in function.own():
        if by.end < look.at.start or by.start > change.at.start:
            continue
        for test, branch in _tests(by):
            if not any(_asks(look, n, names) for n in test.walk()):
                continue
            inside = branch.contains(change.at)
            if not inside and not (leaves(branch) and _is_behind(by, branch, change.at)):
                continue
            if not inside and by.end > change.at.start:
                continue  # in another branch of the same
            operator, other = _comparison(look, test, names)
            left = None if inside else branch
            return Decided(look, change, by, test, left, operator, other, held)
    if computed is None and change.key in held and change.at.statement is not None:
        return Decided(look, change, change.at.statement, None, None, "", None, held)
    return computed


def leaves(branch: Node) -> bool:
    """Return whether a branch leaves the function, or the round of a loop."""
    inside = branch.statements
    return bool(inside) and inside[-1].kind in _LEAVES


def _is_behind(by: Node, branch: Node, change: Node) -> bool:
    """Return whether a change comes behind a test, or behind the loop that makes it."""
    block = by.parent
    loop = block.parent if block is not None else None
    if loop is not None and loop.kind == "for_statement" and not loop.contains(change):
        if branch.statements[-1].kind != "return_statement":
            return False
        block = loop.parent
    return block is not None and block.contains(change) and by.end <= change.start


def _names(look: Step) -> Iterator[Binding]:
    """Yield the variables that hold the answer."""
    for outer in look.at.ancestors():
        if outer.kind in _KEEPS:
            left = outer["left"].children if outer.kind != "var_spec" else outer.all("name")
            for name in left:
                binding = look.file.binding(name)
                if binding is not None and name.kind == "identifier":
                    yield binding
            return
        if outer.kind == "range_clause" and outer.get("left") is not None:
            for name in outer["left"].children:
                binding = look.file.binding(name)
                if binding is not None:
                    yield binding
        if outer.kind in {"block", "if_statement", "for_statement", "func_literal"}:
            return


def _tests(by: Node) -> Iterator[tuple[Node, Node]]:
    """Yield the conditions of a statement, each with the branch that it leads to."""
    if by.kind == "if_statement":
        yield by["condition"], by["consequence"]
        alternative = by.get("alternative")
        if alternative is not None and alternative.kind == "block":
            yield by["condition"], alternative
    elif by.kind == "expression_switch_statement":
        for case in by.children:
            if case.kind == "expression_case":
                value = by.get("value")
                yield (value if value is not None else case["value"]), case
    elif by.kind == "for_statement":
        head = by.children[1]
        condition = head.get("condition") if head.kind == "for_clause" else head
        if condition is not None and condition.kind not in {"block", "range_clause"}:
            yield condition, by["body"]


def _asks(look: Step, node: Node, names: set[Binding]) -> bool:
    return node is look.at or (node.kind == "identifier" and look.file.binding(node) in names)


def _comparison(look: Step, test: Node, names: set[Binding]) -> tuple[str, Node | None]:
    """Return what the answer is compared with, and how."""
    for node in test.walk():
        if node.kind != "binary_expression" or node["operator"].kind in {"&&", "||"}:
            continue
        for side, other in ((node["left"], node["right"]), (node["right"], node["left"])):
            if any(_asks(look, n, names) for n in side.walk()):
                return node["operator"].kind, bare(other)
    return "", None


def _computed(look: Step, change: Step, names: set[Binding]) -> Decided | None:
    """Return the look whose answer the new value is made of: `s.Set(s.Get() + 1)`."""
    value = change.value
    if value is None or change.kind != "store":
        return None
    if value.kind == "identifier" and look.file.binding(value) in names:
        by = change.at.statement
        if by is not None and _is_counted(look, value, change):
            held = frozenset(n.name for n in names)
            return Decided(look, change, by, None, None, "", None, held)
    for made in (value, *_values(look.file, value)):
        if made.kind == "binary_expression" and made["operator"].kind in {"+", "-", "*"}:
            if any(_asks(look, n, names) for n in made.walk()):
                by = change.at.statement
                if by is not None:
                    held = frozenset(n.name for n in names)
                    return Decided(look, change, by, None, None, "", None, held)
    return None


def _is_counted(look: Step, value: Node, change: Step) -> bool:
    """Return whether the answer is added to before it is stored: `n++`, `n += k`."""
    binding = look.file.binding(value)
    return binding is not None and any(
        u.kind == "update" and look.at.end < u.node.start < change.at.start
        for u in uses_of(binding)
    )


def _values(file: GoFile, value: Node) -> Iterator[Node]:
    binding = file.binding(value) if value.kind == "identifier" else None
    if binding is not None and binding.value is not None:
        yield binding.value
