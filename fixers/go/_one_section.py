"""One critical section around a look and the change that it decides, of methods that lock.

    s.mu.Lock()
    if s.hasLocked(key) {
        s.mu.Unlock()
        return ErrTaken
    }
    s.putLocked(key, value)
    s.mu.Unlock()

The methods are split, each into itself and a half that leaves locking to its callers. Held to the
end of the function by a defer, where nothing that follows may take long or locks.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import (
    BuilderError,
    delete,
    insert_after,
    insert_at_start,
    insert_before,
)
from threadmend.golang.calls import callers
from threadmend.golang.guards import Guard
from threadmend.golang.lock_calls import is_helped, lock_calls
from threadmend.golang.locks import LockOperation
from threadmend.golang.syntax import BLOCKS, Node
from threadmend.model import Edit

from ._decided_steps import Decided
from ._locked import call_edit, split, statement_of, without_lock
from ._locked_interface import widened
from ._locked_steps import Step
from ._quick import is_slow, only_computes
from ._relock_checks import check_named, check_place

__all__ = ["one_section"]

_JUMPS = frozenset({"break_statement", "continue_statement", "goto_statement", "labeled_statement"})


def one_section(guard: Guard, found: Decided) -> tuple[str, tuple[Edit, ...]]:
    """Return the lock, and the edits that hold it from the look to the change.

    Raises BuilderError with the reason where that cannot be done.
    """
    function = found.change.at.function
    if function is None:
        raise BuilderError("the steps stand in no function")
    if found.look.inner is not None:
        raise BuilderError("what is asked asks another method")
    own = _own(guard, found, function)
    lock = _lock(found, own)
    first, last = _ends(found, own)
    steps = {s.at for s in (found.look, found.change)}
    kept = {o.call for o in own}
    kept |= steps
    _check_between(found, first, last, kept)
    edits = [e for s in (found.look, found.change) if s.decl is not None for e in _twin(s)]
    if _may_hold_on(found, function, last, kept):
        edits += [e for o in own for e in delete(statement_of(o))]
        edits += insert_before(first, f"{lock}.Lock()\ndefer {lock}.Unlock()")
        return lock, tuple(edits)
    if any(o.deferred is not None for o in own):
        raise BuilderError("what follows the change may take long")
    edits += [e for o in own if statement_of(o) is not last for e in delete(statement_of(o))]
    edits += insert_before(first, f"{lock}.Lock()")
    if found.refusal is not None:
        edits += insert_at_start(found.refusal, f"{lock}.Unlock()")
    for node in _returns(found, first, last):
        _check_returned(node, steps)
        edits += insert_before(node, f"{lock}.Unlock()")
    if last.kind != "return_statement" and not any(statement_of(o) is last for o in own):
        edits += insert_after(last, f"{lock}.Unlock()")
    return lock, tuple(edits)


# -- the lock ---------------------------------------------------------------------------


def _own(guard: Guard, found: Decided, function: Node) -> list[LockOperation]:
    """Return the operations of the section that stands in the function itself."""
    here = [s for s in (found.look, found.change) if s.decl is None]
    operations = lock_calls(found.change.file, function)
    if not here:
        if operations:
            raise BuilderError("the function takes locks itself")
        return []
    if any(o.lock_class != guard.lock_class for o in operations):
        raise BuilderError("the function takes another lock too")
    if any(map(is_helped, operations)) or sum(o.acquires for o in operations) != 1:
        raise BuilderError("the function takes the lock at several places")
    return operations


def _lock(found: Decided, own: list[LockOperation]) -> str:
    """Return the lock as the function names it."""
    if own:
        return own[0].lock.name
    step = found.look
    assert step.decl is not None
    taken = next(o for o in lock_calls(step.decl.file, step.decl.node) if o.acquires)
    if is_helped(taken):
        raise BuilderError("the lock is taken by a helper")
    if step.decl.kind != "method":
        return taken.lock.name
    receiver, _, rest = taken.lock.name.partition(".")
    names = [n.name for p in step.decl.node["receiver"].children for n in p.all("name")]
    function = step.at["function"]
    if names != [receiver] or function.kind != "selector_expression":
        raise BuilderError("the lock is not a field of the object that is asked")
    operand = function["operand"]
    if any(n.kind in {"call_expression", "index_expression"} for n in operand.walk()):
        raise BuilderError("the object that is asked is looked up anew")
    return ".".join(part for part in (operand.name, rest) if part)


def _twin(step: Step) -> Iterator[Edit]:
    """Yield the edits that make a call leave locking to its caller."""
    decl, call = step.decl, step.at
    assert decl is not None
    check_named(call, decl)
    check_place(step.file, call, decl.file)
    taken = next(o for o in lock_calls(decl.file, decl.node) if o.acquires)
    if taken.access is None:
        raise BuilderError("the lock of the method that is called cannot be told")
    if not decl.exported and [site.call for site in callers(decl)] == [call]:
        yield from without_lock(decl.file, decl.node, taken.access)
        return
    result = split(decl, taken.access)
    yield from result.edits
    yield from widened(step.file, call, decl, result.name)
    yield call_edit(call, result.name)


# -- the section ------------------------------------------------------------------------


def _ends(found: Decided, own: list[LockOperation]) -> tuple[Node, Node]:
    """Return the first and the last statement of the section: of one block."""
    nodes = [found.look.at, found.change.at, *(statement_of(o) for o in own)]
    block = next(
        outer
        for outer in found.look.at.ancestors()
        if outer.kind in BLOCKS and all(outer.contains(n) for n in nodes)
    )
    if block.kind != "block":
        raise BuilderError("the section would begin in a case")
    statements = [s for s in block.statements if any(s.contains(n) or s is n for n in nodes)]
    first = statements[0]
    if first.kind in {"for_statement", "labeled_statement"} and not _goes_through(first, found):
        raise BuilderError("the section would go around a loop")
    last = [s for s in statements if not _defers(s, own)][-1]
    return first, max(last, found.by if found.by.parent is block else last, key=lambda n: n.end)


def _goes_through(loop: Node, found: Decided) -> bool:
    """Return whether a loop goes through what is looked up, once: `for _, u := range s.Users()`."""
    clause = next((c for c in loop.children if c.kind == "range_clause"), None)
    return (
        clause is not None
        and clause["right"] is found.look.at
        and (not loop.contains(found.change.at))
    )


def _defers(statement: Node, own: list[LockOperation]) -> bool:
    return any(o.deferred is statement for o in own)


def _check_between(found: Decided, first: Node, last: Node, known: set[Node]) -> None:
    """Refuse where something takes long, or locks, between the two."""
    file = found.change.file
    for node in _nodes(first, last):
        if node in known or not is_slow(file, node) or only_computes(file, node):
            continue
        if node.up("return_statement") is not None or _is_refused(found, node):
            continue  # behind the release
        raise BuilderError("what runs between the check and the change may take long")


def _is_refused(found: Decided, node: Node) -> bool:
    """Return whether a node stands in the branch that leaves, which releases the lock first."""
    return found.refusal is not None and found.refusal.contains(node)


def _nodes(first: Node, last: Node) -> Iterator[Node]:
    block = first.parent
    for statement in block.statements if block is not None else ():
        if first.start <= statement.start <= last.start:
            yield statement
            yield from statement.own()


def _may_hold_on(found: Decided, function: Node, last: Node, known: set[Node]) -> bool:
    """Return whether nothing but computation follows, in the body of the function itself."""
    if last.parent is not function["body"]:
        return False
    file = found.change.file
    for node in function["body"].own():
        if node in known or node.start < found.look.at.start:
            continue
        if is_slow(file, node) and not only_computes(file, node):
            return False
    return True


def _returns(found: Decided, first: Node, last: Node) -> Iterator[Node]:
    for node in _nodes(first, last):
        if node.function is not first.function or _is_refused(found, node):
            continue
        if node.kind in _JUMPS:
            raise BuilderError("a jump leaves between the check and the change")
        if node.kind == "return_statement":
            yield node


def _check_returned(node: Node, steps: set[Node]) -> None:
    if any(n in steps for n in node.walk()):
        raise BuilderError("the change is made where the function returns")
