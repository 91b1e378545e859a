"""How one statement is put under a lock: what is done before it, under it, and after."""

from __future__ import annotations

from threadmend.golang.builders import BuilderError
from threadmend.golang.builders.regions import Region
from threadmend.golang.captured import CapturedAccess
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named

from ._racy import Guarded, Race
from ._racy_quick import is_slow, slow_parts
from ._racy_reads import initialized_before, snapshot
from ._racy_writes import assigned_under, hoisted, redeclared_under

_SIMPLE = frozenset(
    {
        *("expression_statement", "assignment_statement", "inc_statement", "dec_statement"),
        *("short_var_declaration", "var_declaration", "defer_statement", "go_statement"),
    }
)
_JUMPS = frozenset(
    {
        *("return_statement", "break_statement", "continue_statement", "goto_statement"),
        *("fallthrough_statement", "labeled_statement", "select_statement", "send_statement"),
        *("go_statement", "defer_statement", "func_literal"),
    }
)


_AGAIN = frozenset({"for_statement", "select_statement", "func_literal", "go_statement"})


def guarded(race: Race, lock: str, statement: Node, accesses: list[CapturedAccess]) -> Guarded:
    """Return how a statement makes its accesses under a lock; raises BuilderError if it cannot."""
    kind = statement.kind
    if kind == "labeled_statement":
        raise BuilderError(f"{race.name} is used in a labelled statement")
    if kind in _SIMPLE:
        return _simple(race, lock, statement, accesses)
    if kind == "return_statement":
        return _return(race, lock, statement, accesses)
    if kind == "send_statement":
        return snapshot(race, lock, statement, accesses)
    if kind in {"if_statement", "for_statement", "expression_switch_statement"}:
        return _compound(race, lock, statement, accesses)
    raise BuilderError(f"{race.name} is used in the header of a {kind.split('_')[0]}")


def is_brief(race: Race, statement: Node) -> bool:
    """Return whether a compound statement can be under a lock: it ends soon, where it began."""
    for node in statement.walk():
        if node.kind in _JUMPS or is_slow(race, node):
            return False
    if statement.kind == "for_statement":
        return any(c.kind == "range_clause" for c in statement.children)
    return True


def reads_once(race: Race, statement: Node) -> bool:
    """Return whether an `if` only looks at the variable, so that one look does for all of it."""
    if statement.kind != "if_statement" or statement.get("initializer") is not None:
        return False
    type_ = race.file.underlying(race.type)
    if str(race.type) != "error" and not (isinstance(type_, Named) and not type_.package):
        return False
    inside = race.inside(statement)
    if any(a.kind != "read" or a.steps for a in inside):
        return False
    around = (n for a in inside for n in a.node.ancestors() if statement.contains(n))
    looks = any(statement["condition"].contains(a.node) for a in inside)
    return looks and not any(n.kind in _AGAIN or n.kind == "defer_statement" for n in around)


def _simple(race: Race, lock: str, statement: Node, accesses: list[CapturedAccess]) -> Guarded:
    literals = [n for n in statement.own() if n.kind == "func_literal"]
    if any(x.contains(a.node) for x in literals for a in race.racing):
        raise BuilderError(f"the statement that uses {race.name} holds a function that does too")
    assigned = statement.kind == "assignment_statement" and any(
        a.writes and statement["left"].contains(a.node) for a in accesses
    )
    if assigned:
        return assigned_under(race, lock, statement, accesses)
    slow = slow_parts(race, statement)
    if statement.kind == "short_var_declaration" and any(a.writes for a in accesses):
        return redeclared_under(race, lock, statement, accesses)
    if statement.kind in {"go_statement", "defer_statement"}:
        slow = [s for s in slow if s.parent is not statement]
    if not slow:
        return _plain(lock, statement)
    if all(a.kind == "read" for a in accesses):
        return snapshot(race, lock, statement, accesses)
    return hoisted(race, lock, statement, slow)


def _plain(lock: str, statement: Node) -> Guarded:
    return Guarded(
        [], [Region(statement, statement, f"{lock}.Lock()", f"{lock}.Unlock()")], "", True
    )


def _return(race: Race, lock: str, statement: Node, accesses: list[CapturedAccess]) -> Guarded:
    if not slow_parts(race, statement) and not any(
        n.kind == "func_literal" for n in statement.own()
    ):
        region = Region(statement, statement, f"{lock}.Lock()\ndefer {lock}.Unlock()")
        return Guarded([], [region])
    return snapshot(race, lock, statement, accesses)


def _compound(race: Race, lock: str, statement: Node, accesses: list[CapturedAccess]) -> Guarded:
    if is_brief(race, statement):
        return _plain(lock, statement)
    if reads_once(race, statement):
        return snapshot(race, lock, statement, accesses)
    writes = any(a.writes and statement.contains(a.node) for a in race.racing)
    reason = f"{race.name} may change between its test and its write" if writes else ""
    if statement.kind == "if_statement":
        initializer = statement.get("initializer")
        if initializer is not None and any(initializer.contains(a.node) for a in accesses):
            return initialized_before(race, lock, statement, initializer, accesses, reason)
        header = statement["condition"]
    elif statement.kind == "expression_switch_statement":
        header = statement.get("value") or statement
    else:
        clause = next((c for c in statement.children if c.kind == "range_clause"), None)
        header = clause["right"] if clause is not None else statement
        if clause is None:
            raise BuilderError(f"the loop's condition uses {race.name}")
    if header is statement or not all(header.contains(a.node) for a in accesses):
        raise BuilderError(f"{race.name} is used in the header of a statement")
    initial = statement.get("initializer")
    if initial is not None:
        raise BuilderError(f"{race.name} is used after the initialiser of a statement")
    return snapshot(race, lock, statement, accesses, reason)
