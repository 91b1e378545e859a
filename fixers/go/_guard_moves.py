"""Critical sections that are there already, made longer: what comes before a lock, or after it.

s.mu.Unlock()       →   s.total++
s.total++               s.mu.Unlock()

And those that a function leaves early, before what takes long:

if s.used {         →   s.mu.Lock()
    return              if s.used {
}                           s.mu.Unlock()
s.used = true               return
go s.work()             }
                        s.used = true
                        s.mu.Unlock()
                        go s.work()
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from threadmend.golang.builders import (
    BuilderError,
    delete,
    delete_all,
    insert_after,
    insert_at_start,
    insert_before,
)
from threadmend.golang.file import GoFile
from threadmend.golang.locks import locks_of
from threadmend.golang.syntax import Node
from threadmend.model import Edit

from ._quick import is_slow

__all__ = ["LockForm", "begun_earlier", "kept_on", "moved_up", "run_with_exits", "whole_body"]

_PLAIN = frozenset({"assignment_statement", "inc_statement", "dec_statement"})


@dataclass(frozen=True, slots=True)
class LockForm:
    """A lock as this function names it (`s.mu`), its class, and whether to read-lock."""

    name: str
    lock_class: str
    read: bool = False

    @property
    def take(self) -> str:
        """Return the statement that takes it."""
        return f"{self.name}.RLock()" if self.read else f"{self.name}.Lock()"

    @property
    def give(self) -> str:
        """Return the statement that gives it back."""
        return f"{self.name}.RUnlock()" if self.read else f"{self.name}.Unlock()"


def moved_up(
    file: GoFile, function: Node, statements: list[Node], lock: LockForm
) -> tuple[Edit, ...]:
    """Take a lock that the function takes further down before the accesses.

    Only `Lock` with its `defer Unlock` right below, in the same block, with nothing slow in
    between: two critical sections would be a check in one and an act in the other.
    """
    ours = [o for o in locks_of(file, function).operations if o.lock_class == lock.lock_class]
    if len(ours) != 2 or not ours[0].acquires or ours[1].deferred is None:
        return ()
    taken, given = ours[0].call.parent, ours[1].deferred
    first = statements[0]
    if taken is None or taken.kind != "expression_statement" or taken.next is not given:
        return ()
    if any(s.parent is not taken.parent or s.start > taken.start for s in statements):
        return ()
    if ours[0].method == "RLock" and not lock.read:
        return ()
    between = [s for s in (first, *first.following) if s.start < taken.start]
    if any(is_slow(file, n) for s in between for n in s.own()):
        return ()
    code = f"{taken.name}\n{given.name}"
    return (*insert_before(first, code), *delete_all([taken, given]))


def kept_on(file: GoFile, statements: list[Node], lock: LockForm) -> tuple[Edit, ...]:
    """Give back a lock after the accesses that follow its Unlock, when they are all there is.

    Only plain assignments right below, with nothing slow in them: the section grows by what
    would otherwise be one of its own, and what it read still holds.
    """
    first, last = statements[0], statements[-1]
    given = first.previous
    if given is None or given.kind != "expression_statement":
        return ()
    if given.name not in {lock.give, f"{lock.name}.Unlock()"}:
        return ()
    at: Node | None = given
    for statement in statements:
        between = b"" if at is None else file.data[at.end : statement.start]
        if at is None or at.next is not statement or between.strip():
            return ()
        if statement.kind not in _PLAIN or any(is_slow(file, n) for n in statement.own()):
            return ()
        at = statement
    return (*delete(given), *insert_after(last, given.name))


def widened(
    file: GoFile, statements: list[Node], nodes: Sequence[Node], lock: LockForm
) -> tuple[Edit, ...]:
    """Take the lock of an `if` block before its condition, which asks for what the lock guards.

    if len(s.q) > 0 {         s.mu.Lock()
        s.mu.Lock()           if len(s.q) > 0 {
        s.q = s.q[1:]     →       s.q = s.q[1:]
        s.mu.Unlock()         }
    }                         s.mu.Unlock()

    The section is all that the block does, and nothing slow is in it: it grows by the condition.
    """
    test = statements[0]
    if len(statements) != 1 or test.kind != "if_statement":
        return ()
    if test.get("alternative") is not None:
        return ()
    inside = test["consequence"].statements
    asked = [part for part in (test.get("initializer"), test["condition"]) if part is not None]
    if len(inside) < 3 or not all(any(part.contains(n) for part in asked) for n in nodes):
        return ()
    taken, given = inside[0], inside[-1]
    if {taken.kind, given.kind} != {"expression_statement"}:
        return ()
    if (taken.name, given.name) != (f"{lock.name}.Lock()", f"{lock.name}.Unlock()"):
        return ()
    rest = [n for s in inside[1:-1] for n in (s, *s.own())]
    rest += [n for part in asked for n in part.own()]
    if any(n.kind in _LEAVES or is_slow(file, n) for n in rest):
        return ()
    return (
        *insert_before(test, taken.name),
        *delete(taken),
        *delete(given),
        *insert_after(test, given.name),
    )


_LEAVES = frozenset(
    {
        *("return_statement", "break_statement", "continue_statement", "goto_statement"),
        *("go_statement", "defer_statement", "labeled_statement"),
    }
)


def begun_earlier(file: GoFile, statements: list[Node], lock: LockForm) -> tuple[Edit, ...]:
    """Take a lock before the accesses that stand right above its Lock, when they are all there is.

    The counterpart of `kept_on`, for assignments and declarations.
    """
    at = taken = statements[-1].next
    if taken is None or taken.kind != "expression_statement":
        return ()
    if taken.name not in {lock.take, f"{lock.name}.Lock()"}:
        return ()
    for statement in reversed(statements):
        if at is None or statement.next is not at or file.data[statement.end : at.start].strip():
            return ()
        if statement.kind not in _PLAIN and statement.kind != "short_var_declaration":
            return ()
        if any(is_slow(file, n) for n in statement.own()):
            return ()
        at = statement
    return (*insert_before(statements[0], taken.name), *delete(taken))


_PASSES = frozenset(
    {
        *("break_statement", "continue_statement", "goto_statement", "labeled_statement"),
        *("fallthrough_statement", "go_statement", "defer_statement"),
    }
)


def run_with_exits(
    file: GoFile, statements: list[Node], nodes: Sequence[Node], lock: LockForm
) -> tuple[Edit, ...]:
    """Hold a lock from the first access to the last, and give it back before returns in between.

    Only where the accesses stand in one block with nothing slow among them.
    """
    first, last = statements[0], statements[-1]
    block = first.parent
    if block is None or last.kind not in _PLAIN or any(s.parent is not block for s in statements):
        return ()
    siblings = block.statements
    edits = [*insert_before(first, lock.take), *insert_after(last, lock.give)]
    for statement in siblings[siblings.index(first) : siblings.index(last) + 1]:
        for node in statement.own():
            if node.kind in _PASSES or is_slow(file, node):
                return ()
            if node.kind == "return_statement":
                if any(node.contains(n) for n in nodes):
                    return ()
                edits += insert_before(node, lock.give)
    return tuple(edits)


def whole_body(body: Node, nodes: Sequence[Node], lock: LockForm) -> tuple[Edit, ...]:
    """Hold a lock from the start of a function to its end.

    Sound: where the function tests the object for nil first, as methods do that may be called
    on nil, the lock is taken behind the test.
    """
    code = f"{lock.take}\ndefer {lock.give}"
    root = lock.name.partition(".")[0]
    tests = [b for b in body.own() if b.kind == "binary_expression" and _tests_nil(b, root)]
    guards: list[Node] = []
    for statement in body.statements:
        if not _turns_nil_away(statement, root) or any(statement.contains(n) for n in nodes):
            break
        guards.append(statement)
    if any(not any(g.contains(t) for g in guards) for t in tests):
        raise BuilderError(f"{root} may be nil where the lock would be taken")
    return insert_after(guards[-1], code) if guards else insert_at_start(body, code)


def asks_for_owner(statement: Node, nodes: Sequence[Node], lock: LockForm) -> str:
    """Return the name that a statement tests for nil ahead of an access, when the lock belongs to
    what it names: `m == nil || m.rules == nil` cannot take `m.mu` first.
    """
    parts = lock.name.split(".")
    owners = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
    tests = [b for b in statement.own() if b.kind == "binary_expression"]
    for node in (n for n in nodes if statement.contains(n)):
        for test in (t for t in tests if t.start < node.start):
            if named := next((o for o in owners if _tests_nil(test, o)), ""):
                return named
    return ""


def _tests_nil(binary: Node, root: str) -> bool:
    sides = {binary["left"].name, binary["right"].name}
    return binary["operator"].kind in {"==", "!="} and sides == {root, "nil"}


def _turns_nil_away(statement: Node, root: str) -> bool:
    """Return whether a statement is `if s == nil { return … }`, perhaps with `||`."""
    if statement.kind != "if_statement" or statement.get("alternative") is not None:
        return False
    if statement.get("initializer") is not None:
        return False
    last = statement["consequence"].statements[-1:]
    if not last or last[0].kind != "return_statement":
        return False
    test = statement["condition"]
    while test.kind == "binary_expression" and test["operator"].kind == "||":
        test = test["left"]
    return test.kind == "binary_expression" and _tests_nil(test, root) and b"==" in test.text
