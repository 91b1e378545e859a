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

import re
from collections.abc import Sequence
from itertools import chain

from threadmend.golang.awaited import awaited_under
from threadmend.golang.bodies import Event
from threadmend.golang.builders import (
    BuilderError,
    free_name,
    insert_after,
    insert_before,
    taken_names,
)
from threadmend.golang.builders.regions import Region, surround
from threadmend.golang.effects import effects_of
from threadmend.golang.file import GoFile
from threadmend.golang.locks import locks_of
from threadmend.golang.map_methods import is_map_method
from threadmend.golang.syntax import BLOCKS, Node
from threadmend.golang.targets import Body
from threadmend.golang.types import is_named
from threadmend.model import Edit

from ._guard_copies import is_momentary, last_part, lowered, read_ahead, released_above
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
from ._quick import is_slow, slow_nodes, waits

__all__ = ["LockForm", "put_under_lock"]

_SIMPLE = frozenset(
    {
        *("expression_statement", "assignment_statement", "inc_statement", "dec_statement"),
        *("short_var_declaration", "var_declaration"),
    }
)
_JUMPS = frozenset(
    {
        *("return_statement", "break_statement", "continue_statement", "goto_statement"),
        *("fallthrough_statement", "labeled_statement", "go_statement", "defer_statement"),
    }
)
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
    _refuse_access(file, function, nodes, lock)
    statements = _statements(function, nodes)
    body = function.get("body")
    if body is None or not statements:
        raise BuilderError("the accesses stand in no statement")
    for statement in statements:
        if owner := asks_for_owner(statement, nodes, lock):
            raise BuilderError(f"{owner} may be nil where the lock would be taken")
    reason = _other_locks(file, function, lock)
    own = locks_of(file, function).operations
    slow = slow_nodes(file, body)
    moved = (
        moved_up(file, function, statements, lock)
        or kept_on(file, statements, lock)
        or begun_earlier(file, statements, lock)
        or widened(file, statements, nodes, lock)
    )
    if moved:
        return moved, reason
    if whole and not own and not slow and (together or _is_small(body, statements)):
        return whole_body(body, nodes, lock), reason
    if slow and not own and (named := named_once(file, function, nodes, lock)):
        return named, reason
    if len(statements) == 1 or not together:
        try:
            each = _each(file, function, statements, nodes, lock)
            kept = [copied_references(file, function, [s], _inside(s, nodes)) for s in statements]
            return (*each, *chain.from_iterable(kept)), reason
        except BuilderError:
            if own or not whole:
                raise
    if called := _run_after_call(file, function, statements, nodes, lock):
        return called, reason
    run = _run(file, statements)
    around = run or _around(file, statements)
    if around is not None:
        kept_here = copied_references(file, function, around, nodes)
        return (*surround([Region(*around, lock.take, lock.give)]), *kept_here), reason
    if not own and (left_early := run_with_exits(file, statements, nodes, lock)):
        return left_early, reason
    if own:
        raise BuilderError("the function takes locks at several places")
    if not whole:
        raise BuilderError("a function called between the accesses takes the lock too")
    try:
        return whole_body(body, nodes, lock), _risk(file, function, slow, lock, nodes) or reason
    except BuilderError:
        first = _behind_calls(body, statements, nodes, lock)
        if first is None:
            raise
        risk = _risk(file, function, slow, lock, nodes, first.start)
        return insert_before(first, f"{lock.take}\ndefer {lock.give}"), risk or reason


def _refuse_access(file: GoFile, function: Node, nodes: Sequence[Node], lock: LockForm) -> None:
    """Raise BuilderError where no form of a lock around the accesses would do."""
    if _may_be_held(file, function, nodes, lock):
        raise BuilderError(f"{lock.name} may be held here already, on some path")
    if lock.lock_class and awaited_under(file, nodes[0], lock.lock_class):
        raise BuilderError(f"{lock.name} is held until this goroutine is done")
    if any(_has_slow_method(file, node) for node in nodes):
        raise BuilderError("a method of the map would have to run under the lock")


def _has_slow_method(file: GoFile, node: Node) -> bool:
    """Return whether a method is called of a map, whose elements it sees, and takes its time."""
    selector = node.parent
    call = selector.parent if selector is not None and selector.field == "function" else None
    if selector is None or call is None or call.kind != "call_expression":
        return False
    return is_map_method(file, selector) and is_slow(file, call)


def _behind_calls(
    body: Node, statements: list[Node], nodes: Sequence[Node], lock: LockForm
) -> Node | None:
    """Return the statement of the body itself from which on the lock may be held to the end.

    What stands above runs as it did: calls that take the lock themselves.
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
        if any(n.kind in _JUMPS or is_slow(file, n) for n in statement.own()):
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
    computed = _computed(file, first, [n for n in nodes if first.contains(n)])
    if computed is None or any(s.kind not in _SIMPLE for s in statements):
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
        elif node.kind in _JUMPS or is_slow(file, node) or waits(file, node):
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


# -- what stands in the way -----------------------------------------------------------


def _may_be_held(file: GoFile, function: Node, nodes: Sequence[Node], lock: LockForm) -> bool:
    locks = locks_of(file, function)
    flow = locks.flow
    ours = [o for o in locks.operations if o.lock_class == lock.lock_class]
    releases = {p for o in ours if o.releases and not o.deferred and (p := flow.point_of(o.call))}
    here = {p for node in nodes if (p := flow.point_of(node))}
    for operation in ours:
        start = flow.point_of(operation.call)
        if not operation.releases and start is not None:
            reached = flow.reachable(start, stop=lambda p: p in releases, feasible=False)
            if here & (reached | {start}):
                return True
    return False


def _other_locks(file: GoFile, function: Node, lock: LockForm) -> str:
    for operation in locks_of(file, function).operations:
        if operation.lock_class != lock.lock_class:
            return f"the function also takes {operation.lock.name}"
    return ""


def _risk(
    file: GoFile,
    function: Node,
    slow: list[Node],
    lock: LockForm,
    nodes: Sequence[Node],
    start: int = 0,
) -> str:
    """Return why holding the lock over the body, from `start` on, is unsafe; raises when it cannot.

    A Once that the lock is to guard has nobody else to wait for: `s.once.Do(…)`.
    """
    for event in effects_of(Body(file, function)):
        if event.path[0].start >= start:
            _refuse(event, lock)
    own = {n.parent.parent for n in nodes if n.parent is not None and n.field == "operand"}
    inside = [n for n in function["body"].own() if n.start >= start]
    if any(waits(file, node) and node not in own for node in inside):
        raise BuilderError("the function waits or launches goroutines between the accesses")
    slow = [n for n in slow if n.start >= start]
    for node in slow:
        if node.kind == "call_expression" and (
            _SERVES.match(_last_name(node))
            or any(is_named(file.type_of(a), "context.Context") for a in node["arguments"].children)
        ):
            raise BuilderError(f"{_called(node)} may wait, and would under the lock")
    return f"{_called(slow[0])} runs under the lock" if slow else ""


# Methods that run for as long as somebody wants something of them.
_SERVES = re.compile(r"(?:Serve|ListenAndServe|Accept|Wait|Recv|Receive|Poll)(?![a-z])")


def _last_name(call: Node) -> str:
    function = call["function"]
    return function["field"].name if function.kind == "selector_expression" else ""


def _refuse(event: Event, lock: LockForm) -> None:
    if event.kind == "acquire" and event.lock_class == lock.lock_class:
        raise BuilderError(f"a function that it calls takes {lock.name} itself")
    if event.kind == "block":
        raise BuilderError("the function waits between the accesses")


def _called(node: Node) -> str:
    text = node["function"].name if node.kind == "call_expression" else node.name
    return " ".join(text.split())[:40]


# -- statement by statement -----------------------------------------------------------


def _each(
    file: GoFile, function: Node, statements: list[Node], nodes: Sequence[Node], lock: LockForm
) -> tuple[Edit, ...]:
    edits: list[Edit] = []
    regions: list[Region] = []
    taken = set(taken_names(function))
    covered: list[Node] = []
    for statement in statements:
        if any(c.contains(statement) for c in covered):
            continue
        inside = [n for n in nodes if statement.contains(n)]
        if _can_surround(file, statement) and not _takes(file, function, statement, lock):
            covered.append(statement)
            _add_region(regions, statement, lock)
        elif (computed := _computed(file, statement, inside)) is not None:
            name = free_name(lowered(last_part(inside[0])), taken)
            taken.add(name)
            edits += insert_before(statement, f"{name} := {computed.name}\n{lock.take}")
            edits.append(Edit(computed.path, computed.start, computed.end, name.encode()))
            edits += insert_after(statement, lock.give)
        elif (
            statement.kind == "return_statement"
            and not slow_nodes(file, statement)
            and released_above(file, statement, lock) is None
        ):
            edits += insert_before(statement, f"{lock.take}\ndefer {lock.give}")
        else:
            own = [n for n in inside if n.statement is statement]
            if len(own) < len(inside) and is_momentary(file, statement):
                own = inside  # what the header read is what the block goes on with
                covered.append(statement)
            edits += read_ahead(file, statement, own or inside, lock, taken)
    return (*edits, *surround(regions))


def _can_surround(file: GoFile, statement: Node) -> bool:
    """Return whether a statement can be put between Lock and Unlock as it is."""
    if statement.kind in _SIMPLE:
        return not slow_nodes(file, statement)
    if statement.kind not in {"if_statement", "for_statement", "expression_switch_statement"}:
        return False
    if statement.kind == "for_statement":
        if not any(c.kind == "range_clause" for c in statement.children):
            return False
    return not any(n.kind in _JUMPS or is_slow(file, n) for n in statement.own())


def _takes(file: GoFile, function: Node, statement: Node, lock: LockForm) -> bool:
    """Return whether a part of a statement takes the lock itself."""
    return any(
        o.lock_class == lock.lock_class and statement.contains(o.call)
        for o in locks_of(file, function).operations
    )


def _computed(file: GoFile, statement: Node, nodes: list[Node]) -> Node | None:
    """Return what `s.f = compute()` assigns, when it can be computed before the lock is taken."""
    if statement.kind != "assignment_statement" or statement["operator"].kind != "=":
        return None
    left, right = statement["left"].children, statement["right"].children
    if len(left) != 1 or len(right) != 1 or right[0].kind != "call_expression":
        return None
    if [n for n in nodes if n is not left[0]] or not slow_nodes(file, statement):
        return None
    plain = left[0].kind == "identifier" or left[0]["operand"].kind == "identifier"
    known = file.type_of(left[0]) is not None and len(nodes) == 1
    return right[0] if plain and known else None


def _add_region(regions: list[Region], statement: Node, lock: LockForm) -> None:
    last = regions[-1] if regions else None
    if last is not None and last.last.next is statement:
        regions[-1] = Region(last.first, statement, lock.take, lock.give)
    else:
        regions.append(Region(statement, statement, lock.take, lock.give))
