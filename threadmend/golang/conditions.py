"""Condition variables: the calls of Wait, Signal and Broadcast, and what the waiters test.

All instances of a type share what is known about a `sync.Cond` field, as for locks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.access import lock_class
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.types import is_named

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package

__all__ = ["CondCall", "cond_calls", "loop_condition", "state_names", "wait_loop", "waits_on"]

_METHODS = ("Wait", "Signal", "Broadcast")


@dataclass(frozen=True, slots=True)
class CondCall:
    """One call on a `sync.Cond`: `cond` is the expression before the method."""

    file: GoFile
    call: Node
    method: str
    cond: Node
    lock_class: str | None

    @property
    def statement(self) -> Node | None:
        """Return the statement that the call is, None where it is deferred or a part."""
        parent = self.call.parent
        return parent if parent is not None and parent.kind == "expression_statement" else None

    @property
    def deferred(self) -> bool:
        """Return whether the call itself is deferred."""
        parent = self.call.parent
        return parent is not None and parent.kind == "defer_statement"


def cond_calls(file: GoFile) -> list[CondCall]:
    """Return the calls on condition variables in a file; computed once per file object."""
    known: list[CondCall] | None = vars(file).get("_cond_calls")
    if known is None:
        known = vars(file)["_cond_calls"] = list(_calls(file))
    return known


def _calls(file: GoFile) -> Iterator[CondCall]:
    for call in file.calls(*_METHODS):
        function = call["function"]
        if function.kind != "selector_expression" or call["arguments"].children:
            continue
        selection = file.selection(function)
        if selection is None or not is_named(selection.owner, "sync.Cond"):
            continue
        cond = function["operand"]
        class_ = lock_class(file, cond, selection.via)
        yield CondCall(file, call, function["field"].name, cond, class_)


def waits_on(package: Package, class_: str) -> list[CondCall]:
    """Return the calls of Wait on condition variables of a class."""
    known: dict[str, list[CondCall]] | None = package.facts.get("cond_waits")
    if known is None:
        known = package.facts["cond_waits"] = {}
        for file in package.files:
            if b".Wait()" in file.data and b"sync" in file.data:
                for call in cond_calls(file):
                    if call.method == "Wait" and call.lock_class:
                        known.setdefault(call.lock_class, []).append(call)
    return known.get(class_, [])


def wait_loop(wait: CondCall) -> Node | None:
    """Return the innermost loop around a Wait, within its function."""
    for ancestor in wait.call.ancestors():
        if ancestor.kind in FUNCTIONS:
            return None
        if ancestor.kind == "for_statement":
            return ancestor
    return None


def loop_condition(loop: Node) -> Node | None:
    """Return the condition that a `for` tests, None for an endless one and a range."""
    clause = next(
        (c for c in loop.children if c.kind not in {"for", "block", "range_clause"}), None
    )
    if clause is not None and clause.kind == "for_clause":
        clause = clause.get("condition")
    return clause


_NO_STATE = frozenset({"len", "cap", "nil", "true", "false", "Load", "int", "int64", "time"})


def state_names(file: GoFile, condition: Node, depth: int = 1) -> frozenset[str]:
    """Return the names of the fields and variables that a condition tests.

    Of `len(q.items) == 0 && !q.closed()` these are `items`, and what `closed` mentions.
    """
    found: set[str] = set()
    for node in condition.walk():
        if node.kind == "call_expression" and depth:
            decl = file.callee(node)
            if decl is not None and decl.sound and decl.file.package is file.package:
                found |= _selected(decl.node)
                continue
        plain = node.kind == "identifier" and not _is_base(node)
        if plain or node.kind == "field_identifier":
            found.add(node.name)
    return frozenset(found - _NO_STATE)


def _selected(root: Node) -> set[str]:
    return {n["field"].name for n in root.find("selector_expression")}


def _is_base(node: Node) -> bool:
    parent = node.parent
    return parent is not None and parent.kind == "selector_expression" and node.field == "operand"
