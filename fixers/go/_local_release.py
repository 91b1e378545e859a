"""A lock's release behind a local name: `unlock := func() { s.mu.Unlock() }; defer unlock()`."""

from __future__ import annotations

from dataclasses import dataclass

from threadmend.golang.access import Access, is_assigned_once
from threadmend.golang.builders import delete
from threadmend.golang.file import GoFile
from threadmend.golang.functions import call_of
from threadmend.golang.lock_calls import lock_call
from threadmend.golang.locks import LockOperation
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["DeferredRelease", "deferred_releases"]


@dataclass(frozen=True, slots=True)
class DeferredRelease:
    """A `defer` that releases a lock, how that reads, and what goes with it."""

    defer: Node
    code: str
    named: Node | None = None
    """The statement that gives the release its name, of which the `defer` is all there is."""

    def removed(self) -> tuple[Edit, ...]:
        """Return the edits that take the `defer` away, and the name."""
        return (*delete(self.defer), *(delete(self.named) if self.named is not None else ()))


def deferred_releases(
    file: GoFile, function: Node, access: Access, operations: list[LockOperation]
) -> list[DeferredRelease]:
    """Return the releases of a lock that a function defers, by a local name or without."""
    plain = [o.deferred for o in operations if o.releases and o.deferred is not None]
    if plain:
        return [DeferredRelease(defer, defer.children[-1].name) for defer in plain]
    found = []
    for statement in function.own():
        if statement.kind == "short_var_declaration":
            release = _by_name(file, statement, access)
            if release is not None:
                found.append(release)
    return found


def _by_name(file: GoFile, statement: Node, access: Access) -> DeferredRelease | None:
    left, right = statement["left"].children, statement["right"].children
    if len(left) != 1 or len(right) != 1 or right[0].kind != "func_literal":
        return None
    statements = right[0]["body"].statements
    call = statements[0].children[0] if len(statements) == 1 else None
    operation = lock_call(file, call) if call is not None and _is_call(statements[0]) else None
    binding = file.binding(left[0])
    if call is None or operation is None or not operation.releases or operation.access != access:
        return None
    if binding is None or not is_assigned_once(binding):
        return None
    uses = [use for use in binding.uses if use is not binding.node]
    defer = _deferred(uses[0]) if len(uses) == 1 else None
    if defer is None or defer.parent is not statement.parent:
        return None
    return DeferredRelease(defer, call.name, statement)


def _is_call(statement: Node) -> bool:
    return statement.kind == "expression_statement" and (
        statement.children[0].kind == "call_expression"
    )


def _deferred(name: Node) -> Node | None:
    """Return the `defer unlock()` or `defer func() { unlock() }()` in which a name is called."""
    call = name.parent
    if call is None or call.kind != "call_expression" or name.field != "function":
        return None
    if call.parent is not None and call.parent.kind == "defer_statement":
        return call.parent
    literal = call.function
    if literal is None or literal.kind != "func_literal" or not literal.is_deferred:
        return None
    statements = literal["body"].statements
    outer = call_of(literal)
    if len(statements) != 1 or statements[0] is not call.parent or outer is None:
        return None
    return outer.parent
