"""Counts and locks that were given back once too often: the call that has to go or move."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from threadmend.golang.access import Access
from threadmend.golang.builders import BuilderError, delete, insert_at_end
from threadmend.golang.evidence import function_at
from threadmend.golang.file import GoFile
from threadmend.golang.lock_operations import LockOperation
from threadmend.golang.locks import locks_of
from threadmend.golang.syntax import Node
from threadmend.golang.waitgroups import waitgroup_calls
from threadmend.model import Edit

__all__ = ["Misuse", "second_done", "second_unlock"]

_JUMPS = frozenset({"return_statement", "break_statement", "continue_statement", "goto_statement"})


@dataclass(frozen=True, slots=True)
class Misuse:
    """What is wrong at a node, and how to write it instead; `build` may raise BuilderError."""

    node: Node
    said: str
    title: str
    reason: str
    build: Callable[[], tuple[Edit, ...]]


# -- negative WaitGroup counter ---------------------------------------------------------------


def second_done(file: GoFile, line: int) -> Misuse | None:
    """Find the plain Done of a function that defers one as well.

    A function that counts up by itself may well count down twice.
    """
    function = _deferring(function_at(file.tree, line))
    if function is None:
        return None
    calls = [c for c in waitgroup_calls(file, function) if c.access is not None]
    added = {c.access for c in calls if c.method == "Add"}
    dones = [(c.call, c.access) for c in calls if c.method == "Done" and c.access not in added]
    for last, plain in _repeated(function, dones):
        name = last["function"]["operand"].name
        return Misuse(
            plain[0],
            f"{name}.Done is called although a deferred Done follows",
            f"Leave {name}.Done to the deferred call",
            f"it is for the reader to say that {name} counts the goroutine once",
            partial(_without, plain),
        )
    return None


# -- unlock of unlocked mutex -----------------------------------------------------------------


def second_unlock(file: GoFile, line: int) -> Misuse | None:
    """Find a release on a path that did not lock, or one that a deferred release repeats."""
    innermost = function_at(file.tree, line)
    function = _deferring(innermost)
    if function is None or innermost is None:
        return None
    own = locks_of(file, function).operations
    final = [o for one in _final_literals(function) for o in locks_of(file, one).operations]
    return _beside_deferred(function, own, final) or _after_branch(file, line, innermost)


def _beside_deferred(
    function: Node, own: list[LockOperation], final: list[LockOperation]
) -> Misuse | None:
    releases = [(o.call, o.access) for o in (*own, *final) if o.releases and o.access is not None]
    operation_of = {o.call: o for o in (*own, *final)}
    for last, plain in _repeated(function, releases):
        deferred = operation_of[last]
        takes = [o for o in (*own, *final) if o.acquires and o.access == deferred.access]
        if len(takes) == 1 and all(call.start > takes[0].call.start for call in plain):
            name = deferred.lock.name
            return Misuse(
                plain[0],
                f"{name} is released although a deferred {deferred.method} follows",
                f"Leave the release of {name} to the deferred call",
                f"{name} is now held until the function returns",
                partial(_without, plain),
            )
    return None


def _after_branch(file: GoFile, line: int, function: Node) -> Misuse | None:
    operations = locks_of(file, function).operations
    for release in operations:
        statement = release.call.parent
        if not release.releases or release.deferred is not None or statement is None:
            continue
        if file.source.line_of(release.call.start) != line:
            continue
        branch = _before(statement)
        if branch is None or branch.kind != "if_statement" or branch.get("alternative"):
            continue
        body = branch["consequence"]
        inside = [o for o in operations if o.access == release.access and body.contains(o.call)]
        locks_only = [o for o in inside if o.acquires] and not [o for o in inside if o.releases]
        if release.access is None or not locks_only or any(n.kind in _JUMPS for n in body.own()):
            continue
        name = release.lock.name
        return Misuse(
            release.call,
            f"{name} is released on the path that did not lock it, too",
            f"Release {name} where it is locked",
            "the path that did not lock is taken to need no lock",
            partial(_moved, body, statement),
        )
    return None


# -- calls beside deferred ones -----------------------------------------------------------------


def _repeated(
    function: Node, calls: Sequence[tuple[Node, Access | None]]
) -> Iterator[tuple[Node, list[Node]]]:
    """Yield each call that the end of a function certainly makes, with those made before it.

    They stand below the defer statement, in its block: on their way it was always passed.
    """
    for last, access in calls:
        defer = _deferral(function, last)
        if defer is None or defer.parent is None:
            continue
        plain = [
            call
            for call, other in calls
            if other == access
            and call.parent is not None
            and call.parent.kind == "expression_statement"
            and call.function is function
            and call.start > defer.start
            and defer.parent.contains(call)
        ]
        if plain:
            yield last, plain


def _deferral(function: Node, call: Node) -> Node | None:
    """Return the defer statement of a function with which a call runs, whatever happens."""
    statement = call.parent
    if statement is None or statement.kind == "defer_statement":
        return statement if call.function is function else None
    literal = call.function
    if literal not in _final_literals(function) or statement.parent is not literal["body"]:
        return None
    if any(n.kind == "return_statement" and n.start < call.start for n in literal.own()):
        return None
    return literal.up("defer_statement")


def _final_literals(function: Node) -> list[Node]:
    """Return the literals that a function defers: they run in it."""
    return [n for n in function.own() if n.kind == "func_literal" and n.is_deferred]


def _deferring(function: Node | None) -> Node | None:
    """Return the function that defers a literal, any other function itself."""
    while function is not None and function.kind == "func_literal" and function.is_deferred:
        function = function.function
    return function


# -- edits --------------------------------------------------------------------------------------


def _without(calls: Sequence[Node]) -> tuple[Edit, ...]:
    statements = [call.parent for call in calls if call.parent is not None]
    if len(statements) < len(calls):
        raise BuilderError("the call is no statement")
    return tuple(edit for statement in statements for edit in delete(statement))


def _moved(body: Node, statement: Node) -> tuple[Edit, ...]:
    return (*insert_at_end(body, statement.name), *delete(statement))


def _before(statement: Node) -> Node | None:
    block = statement.parent
    siblings = block.statements if block is not None else []
    at = siblings.index(statement) if statement in siblings else 0
    return siblings[at - 1] if at > 0 else None
