"""Accesses under a lock statement by statement: around it, before it, or up to its return."""

from __future__ import annotations

from collections.abc import Sequence

from threadmend.golang.builders import free_name, insert_after, insert_before, taken_names
from threadmend.golang.builders.regions import Region, surround
from threadmend.golang.file import GoFile
from threadmend.golang.locks import locks_of
from threadmend.golang.syntax import Node
from threadmend.model import Edit

from ._guard_copies import is_momentary, last_part, lowered, read_ahead, released_above
from ._guard_moves import LockForm
from ._quick import is_slow, slow_nodes

SIMPLE = frozenset(
    {
        *("expression_statement", "assignment_statement", "inc_statement", "dec_statement"),
        *("short_var_declaration", "var_declaration"),
    }
)
JUMPS = frozenset(
    {
        *("return_statement", "break_statement", "continue_statement", "goto_statement"),
        *("fallthrough_statement", "labeled_statement", "go_statement", "defer_statement"),
    }
)


def each_locked(
    file: GoFile, function: Node, statements: list[Node], nodes: Sequence[Node], lock: LockForm
) -> tuple[Edit, ...]:
    """Return edits that put each statement's accesses under the lock, neighbours together."""
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
        elif (computed := computed_first(file, statement, inside)) is not None:
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
    if statement.kind in SIMPLE:
        return not slow_nodes(file, statement)
    if statement.kind not in {"if_statement", "for_statement", "expression_switch_statement"}:
        return False
    if statement.kind == "for_statement":
        if not any(c.kind == "range_clause" for c in statement.children):
            return False
    return not any(n.kind in JUMPS or is_slow(file, n) for n in statement.own())


def _takes(file: GoFile, function: Node, statement: Node, lock: LockForm) -> bool:
    """Return whether a part of a statement takes the lock itself."""
    return any(
        o.lock_class == lock.lock_class and statement.contains(o.call)
        for o in locks_of(file, function).operations
    )


def computed_first(file: GoFile, statement: Node, nodes: list[Node]) -> Node | None:
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
