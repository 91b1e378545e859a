"""A function that is called without the lock that its other callers hold.

func (c *cache) Trim() {          func (c *cache) Trim() {
    c.evict()              →          c.mu.Lock()
}                                     defer c.mu.Unlock()
                                      c.evict()
                                  }
"""

from __future__ import annotations

from threadmend.golang.access import access_of
from threadmend.golang.builders import BuilderError, insert_before
from threadmend.golang.builders.regions import Region, surround
from threadmend.golang.entrusted import Lapse
from threadmend.golang.file import GoFile
from threadmend.golang.functions import outer_function
from threadmend.golang.locks import LockOperation, locks_of
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._guard_moves import LockForm, whole_body
from ._held_guard import lock_form, operation_of_class
from ._quick import only_computes, slow_nodes, waits

__all__ = ["called_without"]


def called_without(lapse: Lapse) -> Finding:
    """Return the finding for the calls of a lapse; the first of them is where it is shown."""
    first = lapse.calls[0]
    call = first.call
    assert call is not None
    lock = _form(lapse)
    name = lock.name if lock is not None else lapse.lock_class.rpartition(".")[2]
    count = len(lapse.others)
    others = f"{count} other callers hold" if count > 1 else "its other caller holds"
    fix, reason = _fix(lapse, lock) if lock is not None else (None, "the lock has no name here")
    other = lapse.others[0]
    access = lapse.access
    verb = "written" if access.writes else "read"
    return Finding(
        path=first.file.path,
        start=call.start,
        end=call.end,
        message=f"{call['function'].name} is called without {name}, which {others}",
        fixes=(fix,) if fix is not None else (),
        related=(
            Related(
                access.file.path,
                access.node.start,
                access.node.end,
                f"{access.node.name} is {verb} here",
            ),
            Related(
                other.file.path, other.node.start, other.node.end, "called under the lock here"
            ),
        ),
        reason=reason,
        confidence=Confidence.MEDIUM,
    )


def _form(lapse: Lapse) -> LockForm | None:
    """Return the lock as the function that lacks it would name it."""
    call = lapse.calls[0].call
    operation = _operation(lapse)
    if call is None or operation is None:
        return None
    operand = call["function"].get("operand")
    base = access_of(lapse.calls[0].file, operand) if operand is not None else None
    return lock_form(lapse.calls[0].file, base, lapse.lock_class, operation, reads=lapse.reads)


def _operation(lapse: Lapse) -> LockOperation | None:
    for site in lapse.others:
        for function in (site.node.function, outer_function(site.node)):
            if function is not None:
                for operation in locks_of(site.file, function).operations:
                    if operation.acquires and operation.lock_class == lapse.lock_class:
                        return operation
    return operation_of_class(lapse.calls[0].file.package, lapse.lock_class)


def _fix(lapse: Lapse, lock: LockForm) -> tuple[Fix | None, str]:
    calls = [s.call for s in lapse.calls if s.call is not None]
    function = calls[0].function
    assert function is not None
    try:
        edits = _under_lock(lapse.calls[0].file, function, calls, lock)
    except BuilderError as error:
        return None, str(error)
    title = f"Call {lock.take.removesuffix('()')} around the call"
    others = [o for o in locks_of(lapse.calls[0].file, function).operations if o.acquires]
    if others:
        reason = f"the function also takes {others[0].lock.name}"
        return Fix(title, edits, Safety.UNSAFE, reason), reason
    return Fix(title, edits, Safety.SAFE), ""


def _under_lock(
    file: GoFile, function: Node, calls: list[Node], lock: LockForm
) -> tuple[Edit, ...]:
    """Return edits that make calls under a lock.

    Sound: the others make the call under it, so that it takes none itself and waits for nobody
    who does; nothing else runs under the lock but plain computation.
    """
    body = function["body"]
    if not locks_of(file, function).operations and not _slow(file, body, calls):
        return whole_body(body, calls, lock)
    statements = list(dict.fromkeys(c.statement for c in calls if c.statement is not None))
    if any(_slow(file, statement, calls) for statement in statements):
        raise BuilderError("something else would run under the lock")
    edits: list[Edit] = []
    for statement in statements:
        if statement.kind == "return_statement":
            edits.extend(insert_before(statement, f"{lock.take}\ndefer {lock.give}"))
        elif statement.kind in _SIMPLE:
            edits.extend(surround([Region(statement, statement, lock.take, lock.give)]))
        else:
            raise BuilderError("the call is a part of a longer statement")
    return tuple(edits)


_SIMPLE = frozenset({"expression_statement", "assignment_statement", "short_var_declaration"})


def _slow(file: GoFile, root: Node, calls: list[Node]) -> bool:
    """Return whether anything but the calls takes its time, or launches a goroutine."""
    slow = [n for n in slow_nodes(file, root) if n not in calls and not only_computes(file, n)]
    return bool(slow) or any(waits(file, n) and n not in calls for n in root.own())
