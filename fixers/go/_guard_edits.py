"""What the rules of shared state share: edits that put accesses under a lock.

    return s.n          →   s.mu.Lock()
                            defer s.mu.Unlock()
                            return s.n

    if s.n > limit {    →   s.mu.Lock()
                            n := s.n
                            s.mu.Unlock()
                            if n > limit {

Sound when the function neither holds nor takes a lock and nothing but the access and plain
computation runs under the new one: then it is held for a moment, no order between locks
arises, and nobody can wait for it for ever. Otherwise a reason says what makes it unsafe.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from threadmend.golang.builders import (
    BuilderError,
    free_name,
    insert_after,
    insert_before,
    taken_names,
)
from threadmend.golang.builders.regions import Region, surround
from threadmend.golang.file import GoFile
from threadmend.golang.locks import locks_of
from threadmend.golang.scope import Binding, resolve_local
from threadmend.golang.syntax import BLOCKS, Node
from threadmend.model import Edit

from ._guard_copies import last_part, lowered
from ._guard_each import JUMPS, SIMPLE, computed_first, each_locked
from ._guard_moves import (
    LockForm,
    asks_for_owner,
    begun_earlier,
    kept_on,
    moved_up,
    run_with_exits,
    whole_body,
    widened,
)
from ._guard_names import named_once
from ._guard_references import copied_references
from ._guard_refusals import other_locks, refuse_access, risk_over_body
from ._quick import is_slow, slow_nodes, waits

__all__ = ["LockForm", "put_under_lock"]

_SMALL = 4


def put_under_lock(
    file: GoFile,
    function: Node,
    nodes: Sequence[Node],
    lock: LockForm,
    *,
    together: bool,
    whole: bool = True,
) -> tuple[tuple[Edit, ...], str]:
    """Return edits that make accesses of a function under a lock, and why they are unsafe.

    `together`: the accesses belong into one critical section. `whole`: the body may run under
    the lock from its start; not when it calls something that takes the lock too. Raises
    BuilderError with the reason when there is no good form.
    """
    owner = _declared_inside(function, nodes, lock)
    whole = whole and owner is None
    edits, reason = _put(file, function, nodes, lock, together=together, whole=whole)
    if owner is not None and any(
        lock.name.encode() in e.new and not _is_in_scope(owner, e.start) for e in edits
    ):
        raise BuilderError(f"{owner.name} is not known where the lock would be taken")
    return edits, reason


def _declared_inside(function: Node, nodes: Sequence[Node], lock: LockForm) -> Binding | None:
    """Return the variable of the function's body through which it names the lock."""
    root = lock.name.partition(".")[0]
    name = next((n for node in nodes for n in node.find("identifier") if n.name == root), None)
    binding = resolve_local(name) if name is not None else None
    body = function.get("body")
    return binding if binding is not None and body and body.contains(binding.node) else None


def _is_in_scope(owner: Binding, at: int) -> bool:
    scope = owner.scope.get("body") or owner.scope
    if owner.kind == "range":
        return scope.start < at < scope.end
    return owner.declaration.end <= at <= scope.end


def _put(
    file: GoFile,
    function: Node,
    nodes: Sequence[Node],
    lock: LockForm,
    *,
    together: bool,
    whole: bool,
) -> tuple[tuple[Edit, ...], str]:
    refuse_access(file, function, nodes, lock)
    statements = _statements(function, nodes)
    body = function.get("body")
    if body is None or not statements:
        raise BuilderError("the accesses stand in no statement")
    for statement in statements:
        if owner := asks_for_owner(statement, nodes, lock):
            raise BuilderError(f"{owner} may be nil where the lock would be taken")
    reason = other_locks(file, function, lock)
    if moved := _by_moving(file, function, statements, nodes, lock):
        return moved, reason
    own = locks_of(file, function).operations
    slow = slow_nodes(file, body)
    if whole and not own and not slow and (together or _is_small(body, statements)):
        return whole_body(body, nodes, lock), reason
    if slow and not own and (named := named_once(file, function, nodes, lock)):
        return named, reason
    if len(statements) == 1 or not together:
        try:
            return _one_by_one(file, function, statements, nodes, lock), reason
        except BuilderError:
            if own or not whole:
                raise
    if run := _in_a_run(file, function, statements, nodes, lock):
        return run, reason
    apart = all(o.deferred is None and o.call.start > statements[-1].end for o in own)
    if apart and (left_early := run_with_exits(file, statements, nodes, lock)):
        return left_early, reason
    if own:
        raise BuilderError("the function takes locks at several places")
    if not whole:
        raise BuilderError("a function called between the accesses takes the lock too")
    edits, risk = _to_the_end(file, function, statements, nodes, lock)
    return edits, risk or reason


def _by_moving(
    file: GoFile, function: Node, statements: list[Node], nodes: Sequence[Node], lock: LockForm
) -> tuple[Edit, ...]:
    """Put the accesses into a critical section that is there, or that is widened for them."""
    return (
        moved_up(file, function, statements, lock)
        or kept_on(file, statements, lock)
        or begun_earlier(file, statements, lock)
        or widened(file, statements, nodes, lock)
    )


def _one_by_one(
    file: GoFile, function: Node, statements: list[Node], nodes: Sequence[Node], lock: LockForm
) -> tuple[Edit, ...]:
    """Take the lock for each statement; what it keeps of a guarded object is copied."""
    each = each_locked(file, function, statements, nodes, lock)
    kept = [copied_references(file, function, [s], _inside(s, nodes)) for s in statements]
    return (*each, *chain.from_iterable(kept))


def _in_a_run(
    file: GoFile, function: Node, statements: list[Node], nodes: Sequence[Node], lock: LockForm
) -> tuple[Edit, ...]:
    """Take the lock around all statements, from the first to the last, or around their loop."""
    if called := _run_after_call(file, function, statements, nodes, lock):
        return called
    around = _run(file, statements) or _around(file, statements)
    if around is None:
        return ()
    kept_here = copied_references(file, function, around, nodes)
    return (*surround([Region(*around, lock.take, lock.give)]), *kept_here)


def _to_the_end(
    file: GoFile, function: Node, statements: list[Node], nodes: Sequence[Node], lock: LockForm
) -> tuple[tuple[Edit, ...], str]:
    """Hold the lock until the function ends: from its start, else behind what takes long."""
    body = function["body"]
    slow = slow_nodes(file, body)
    first = _behind_calls(body, statements, nodes, lock)
    if first is None or not any(n.start < first.start for n in slow):
        return whole_body(body, nodes, lock), risk_over_body(file, function, slow, lock, nodes)
    risk = risk_over_body(file, function, slow, lock, nodes, first.start)
    return insert_before(first, f"{lock.take}\ndefer {lock.give}"), risk


def _behind_calls(
    body: Node, statements: list[Node], nodes: Sequence[Node], lock: LockForm
) -> Node | None:
    """Return the statement of the body itself from which on the lock may be held to the end.

    What stands above runs as it did: calls that wait, or that take the lock themselves.
    """
    first = next((s for s in body.statements if s.contains(statements[0])), None)
    if first is None or first is body.statements[0] or any(n.start < first.start for n in nodes):
        return None
    whole_body(body, nodes, lock)  # raises where the object may be nil
    return first


def _inside(statement: Node, nodes: Sequence[Node]) -> list[Node]:
    return [n for n in nodes if statement.contains(n)]


def _is_small(body: Node, statements: list[Node]) -> bool:
    inside = body.statements
    return len(inside) <= _SMALL or len(statements) * 2 > len(inside)


def _run(file: GoFile, statements: list[Node]) -> tuple[Node, Node] | None:
    """Return the first and last of accesses that stand side by side, with nothing slow between."""
    block = statements[0].parent
    while block is not None and not (block.kind in BLOCKS and block.contains(statements[-1])):
        block = None if block is statements[0].function else block.parent
    if block is None:
        return None
    siblings = block.statements
    first, last = (
        next(s for s in siblings if s.contains(at)) for at in (statements[0], statements[-1])
    )
    between = siblings[siblings.index(first) : siblings.index(last) + 1]
    for statement in between:
        if any(n.kind in JUMPS or is_slow(file, n) for n in statement.own()):
            return None
    return first, last


def _run_after_call(
    file: GoFile, function: Node, statements: list[Node], nodes: Sequence[Node], lock: LockForm
) -> tuple[Edit, ...]:
    """Compute what the first of neighbouring statements assigns, then run them all locked.

    Sound: the call was the first thing to happen, and is still.
    """
    first, last = statements[0], statements[-1]
    if first is last or first.next is None or _run(file, [first.next, *statements[1:]]) is None:
        return ()
    computed = computed_first(file, first, [n for n in nodes if first.contains(n)])
    if computed is None or any(s.kind not in SIMPLE for s in statements):
        return ()
    name = free_name(lowered(last_part(first["left"].children[0])), set(taken_names(function)))
    return (
        *insert_before(first, f"{name} := {computed.name}\n{lock.take}"),
        Edit(computed.path, computed.start, computed.end, name.encode()),
        *insert_after(last, lock.give),
    )


def _around(file: GoFile, statements: list[Node]) -> tuple[Node, Node] | None:
    """Return the loop that holds all accesses, if nothing in it is slow or leaves it."""
    first, last = statements[0], statements[-1]
    loops = [n for n in (first, *first.ancestors()) if n.kind == "for_statement"]
    loop = next((n for n in loops if n is last or n.contains(last)), None)
    if loop is None or loop.function is not first.function or waits(file, loop):
        return None
    for node in loop.walk():
        if node is loop or node.kind in {"continue_statement", "break_statement"}:
            if node is not loop and node.get("label") is not None:
                return None
        elif node.kind in JUMPS or is_slow(file, node) or waits(file, node):
            return None
    return loop, loop


def _statements(function: Node, nodes: Sequence[Node]) -> list[Node]:
    """Return the statements of the function itself that hold the accesses, in order."""
    found: dict[Node, None] = {}
    for node in sorted(nodes, key=lambda n: n.start):
        at: Node | None = node
        while at is not None and at.function is not function:
            at = at.function
        statement = at.statement if at is not None else None
        if statement is None:
            raise BuilderError("an access stands in no statement")
        found.setdefault(statement)
    return list(found)
