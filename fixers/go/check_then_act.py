"""Decide and act in one critical section

A value is read under the lock, the lock is released, and what was read decides a write under
the same lock. In between another goroutine may have changed what the decision stands on:
two of them find the key missing and both create it, two read the same count and one update
is lost. Each access holds the lock, so that the race detector has nothing to say. Likewise an
atomic number or flag that is loaded, tested, and stored in a step of its own, and a `sync.Map`.

The value may be read by a method that locks, or written by one: `if a.Balance() < n { return err }`
and `a.Withdraw(n)`. Then what a stale answer does has to show: a limit that is passed, a key that
is refused and overwritten, work that two take up, a number or a maximum that is lost, an
object with a lock of its own of which there are two.

Not reported: a write whose section looks at the place again before it writes, or at what the value
leads to (`if e.users == 0`); what a function clears and the others set only when it is clear; a
cache that gets what its key alone determines, or what the second section looks up itself; what a
lock of the key's own or one endless loop keeps apart; sections with a call in between that is not
known to be quick, because the lock was released for it, unless it makes a value with a Close that
the write stores in a map (in a method of its own, too) or in a field that was nil, or the function
returns an error when it finds the key, or all in between is computation and the section counts, or
an exported method writes a number back that it has added to, or who comes to a limit is refused and
the section uses up what is left; reads that do not decide the write.

Unsafe: always; the lock is held for longer. Without a fix: sections in a loop or in branches
that cannot become one, functions called in between that take the lock themselves.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import (
    BuilderError,
    delete,
    insert_after,
    insert_before,
    with_reason,
)
from threadmend.golang.decisions import Decision, decisions
from threadmend.golang.effects import effects_of
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.lock_calls import is_helped, spelled
from threadmend.golang.locks import LockOperation, lock_name
from threadmend.golang.package import Package
from threadmend.golang.syntax import Node
from threadmend.golang.targets import Body
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._asked_by_method import asked_by_method
from ._atomic_claims import atomic_claims
from ._atomic_peaks import atomic_peaks
from ._atomic_steps import atomic_steps
from ._claimed_by_helper import claimed_by_helper
from ._locked import statement_of
from ._looked_again import counts_beside, looks_again, only_computed_between
from ._memo import is_asked_again, is_memo
from ._quick import is_slow
from ._refused_again import refused_again
from ._stored_by_helper import stored_by_helper
from ._stored_twice import stored_twice
from ._sync_map_steps import sync_map_steps
from ._writes_beside import is_of_one_goroutine, is_one_at_a_time, is_same_flag

CATEGORY = "mutex"
GATE = rb"\.R?Lock\(\)|\.\w+\(func\(\w+ \*[\w.]+\) \{|\.(?:Store|Add)(?:(?:Ui|I)nt(?:32|64))?\("


def check(package: Package) -> Iterator[Finding]:
    """Yield the writes that an earlier critical section of the same lock decided."""
    seen: set[Node] = set()
    told: set[tuple[Node, str | None]] = set()
    for decision in decisions(package):
        statement = decision.write.node.statement
        if statement is None or statement in seen or is_memo(decision):
            continue
        if is_asked_again(decision) or is_same_flag(decision):
            continue
        if is_of_one_goroutine(decision) or is_one_at_a_time(decision):
            continue
        step = (decision.second.call, decision.write.place)
        if step in told:
            continue  # what the section goes on to do with what it has written
        if not _released_for_nothing(decision):
            again = stored_twice(decision) or refused_again(decision) or _lost(decision)
            if again is None and only_computed_between(decision) and counts_beside(decision):
                again = _finding(decision)
            if again is not None:
                seen.add(statement)
                told.add(step)
                yield again
            continue
        seen.add(statement)
        told.add(step)
        yield _finding(decision)
    by_helpers = [*stored_by_helper(package), *claimed_by_helper(package)]
    yield from by_helpers
    known = {(f.path, f.start) for f in by_helpers}
    known |= {(n.path, n.start) for n in seen}
    yield from (f for f in asked_by_method(package) if (f.path, f.start) not in known)
    yield from atomic_steps(package)
    yield from atomic_claims(package)
    yield from atomic_peaks(package)
    yield from sync_map_steps(package)


def _lost(decision: Decision) -> Finding | None:
    """Return the finding for a number that goes back with what others did to it lost.

    `free := h.free` … `h.free = free - 1`: whatever the lock was released for in between.
    """
    write, name = decision.write.node, decision.locks.function.get("name")
    statement, look = write.statement, decision.read.node.statement
    if statement is not decision.by or statement is None or look is None:
        return None
    if name is None or not name.name[:1].isupper() or innermost_loop(write) is not None:
        return None
    values, targets = statement["right"].children, statement["left"].children
    if statement["operator"].kind != "=" or len(values) != 1 or targets != [write]:
        return None
    if values[0].kind != "binary_expression" or values[0]["operator"].kind not in {"+", "-"}:
        return None
    if look.kind != "short_var_declaration" or decision.read.node.text != write.text:
        return None
    sides = {values[0]["left"].text, values[0]["right"].text}
    read = zip(look["left"].children, look["right"].children, strict=False)
    if not any(b is decision.read.node and a.text in sides for a, b in read):
        return None
    return _finding(decision, "what runs in between may take long")


def _released_for_nothing(decision: Decision) -> bool:
    """Return whether only quick code runs between the two sections."""
    file = decision.read.file
    start, end = decision.read.node.end, decision.second.call.start
    operations = {o.call for o in decision.locks.operations}
    return not any(
        start <= node.start < end and node not in operations and not _is_quick(file, node)
        for node in decision.locks.function.own()
    )


def _is_quick(file: GoFile, node: Node, depth: int = 1) -> bool:
    """Return whether an expression or statement takes no time to speak of."""
    if not is_slow(file, node):
        return True
    decl = file.callee(node) if node.kind == "call_expression" else None
    if decl is None or not decl.sound or decl.node.get("body") is None or depth == 0:
        return False
    if effects_of(Body(decl.file, decl.node)):
        return False
    return all(_is_quick(decl.file, n, depth - 1) for n in decl.node["body"].own())


def _finding(decision: Decision, unfixed: str = "") -> Finding:
    file, node = decision.write.file, decision.write.node
    read, first = decision.read.node, decision.first
    lock = first.lock.name
    if is_helped(first) and first.held is not None:
        lock = lock_name(file, first.held)
    fix, reason = (None, unfixed) if unfixed else _fix(decision, lock)
    return Finding(
        path=file.path,
        start=node.start,
        end=node.end,
        message=(
            f"{node.name} is written on the ground of a value that was read before"
            f" {lock} was released"
        ),
        fixes=(fix,) if fix is not None else (),
        related=(Related(read.path, read.start, read.end, "read here"),),
        reason=reason,
        confidence=Confidence.MEDIUM,
    )


@with_reason
def _fix(decision: Decision, lock: str) -> Fix:
    title, reason = f"Hold {lock} from the check to the write", f"{lock} is held for longer"
    if not _is_all_quick(decision):
        try:
            edits = looks_again(decision)
        except BuilderError:
            return Fix(title, _edits(decision), Safety.UNSAFE, reason)
        again = f"Look again before {decision.write.node.name} is written"
        return Fix(again, edits, Safety.UNSAFE, "who comes second gets what the first has stored")
    return Fix(title, _edits(decision), Safety.UNSAFE, reason)


def _is_all_quick(decision: Decision) -> bool:
    """Return whether nothing takes long from the look to the write: one section is as good."""
    file, operations = decision.read.file, {o.call for o in decision.locks.operations}
    return all(
        node in operations or _is_quick(file, node)
        for node in decision.locks.function.own()
        if decision.read.node.end <= node.start < decision.write.node.start
    )


def _edits(decision: Decision) -> tuple[Edit, ...]:
    """Lock once, release by a defer, and drop the operations in between.

    Sound as far as the code goes that is visible: nothing that runs from the first lock to
    the end waits, and nothing takes the lock again.
    """
    locks, first = decision.locks, decision.first
    function, file = locks.function, decision.read.file
    body = function["body"]
    statement = first.call.parent
    if statement is None or statement.kind != "expression_statement":
        raise BuilderError("the lock is taken inside of a larger statement")
    if statement.parent is not body or innermost_loop(first.call) is not None:
        raise BuilderError("the first section is in a branch or loop of its own")
    own = [o for o in locks.operations if o.access == first.access]
    if own[0] is not first or any(innermost_loop(o.call) is not None for o in own):
        raise BuilderError("the lock is taken elsewhere in the function too")
    try:
        _must_be_quick(decision, own, body)
    except BuilderError:
        joined = _joined(decision, own)
        if joined is None:
            raise
        return joined
    edits: list[Edit] = []
    if first.method == "RLock":
        edits.append(_for_writing(file, first))
    edits += insert_after(statement, f"defer {spelled(file, first, 'Unlock')}")
    for operation in own[1:]:
        edits += delete(statement_of(operation))
    return tuple(edits)


def _joined(decision: Decision, own: list[LockOperation]) -> tuple[Edit, ...] | None:
    """Drop the Unlock and the Lock between two sections; who leaves there unlocks first.

    `Lock … Unlock; if bad { return }; Lock … Unlock; slow()`: the end of the second section
    stays where it is.
    """
    first, second = decision.first, decision.second
    ends = [o for o in own if first.call.start < o.call.start < second.call.start]
    statements = [o.call.parent for o in (first, *ends, second)]
    block = decision.locks.function["body"]
    if len(ends) != 1 or first.deferred or ends[0].deferred or second.method not in _LOCKS:
        return None
    if any(
        s is None or s.kind != "expression_statement" or s.parent is not block for s in statements
    ):
        return None
    if sum(o.acquires for o in own) != 2 or any(o not in own for o in decision.locks.operations):
        return None
    release, take = statement_of(ends[0]), statement_of(second)
    edits = [*delete(release), *delete(take)]
    file = decision.read.file
    between = [n for n in block.walk() if release.end <= n.start < take.start]
    if any(n.kind in _JUMPS for n in between):
        return None
    for node in between:
        if node.kind == "return_statement" and node.function is decision.locks.function:
            edits += insert_before(node, spelled(file, first, "Unlock"))
    # The section is one: what it takes is what its last release gives back.
    if first.method != second.method:
        edits.append(_for_writing(file, first))
    return tuple(edits)


def _for_writing(file: GoFile, taken: LockOperation) -> Edit:
    call = taken.call
    return Edit(file.path, call.start, call.end, spelled(file, taken, "Lock").encode())


_LOCKS = frozenset({"Lock"})
_JUMPS = frozenset({"break_statement", "continue_statement", "goto_statement", "labeled_statement"})


def _must_be_quick(decision: Decision, own: list[LockOperation], body: Node) -> None:
    file = decision.read.file
    operations = {o.call for o in decision.locks.operations}
    for node in body.own():
        if node.start < decision.first.call.end or node in operations:
            continue
        if not _is_quick(file, node):
            raise BuilderError("what follows the write may take long")
    if any(o not in own for o in decision.locks.operations):
        raise BuilderError("the function takes another lock too")
