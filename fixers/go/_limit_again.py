"""A limit that is asked for in one section, and used up in another one of the same function.

    r.mu.Lock()                             r.mu.Lock()
    free := r.free                          free := r.free
    r.mu.Unlock()                           r.mu.Unlock()
    if free == 0 {                          if free == 0 {
        return nil, ErrFull                     return nil, ErrFull
    }                                       }
    seat := r.draw(guest)             →     seat := r.draw(guest)
    r.mu.Lock()                             r.mu.Lock()
    defer r.mu.Unlock()                     defer r.mu.Unlock()
    r.free--                                if r.free == 0 {
                                                return nil, ErrFull
                                            }
                                            r.free--

Whatever runs in between: as many as ask meanwhile get past the limit.
"""

from __future__ import annotations

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import BuilderError, insert_before
from threadmend.golang.file import GoFile
from threadmend.golang.lock_calls import is_helped, lock_calls, spelled
from threadmend.golang.locks import LockOperation
from threadmend.golang.syntax import Node
from threadmend.model import Edit

from ._decided_steps import Decided
from ._locked_steps import Step
from ._stale_answers import passes_limit
from ._store_helpers import has_close

__all__ = ["asks_again", "in_two_sections", "is_limit"]

_WRITES = frozenset(
    {"assignment_statement", "inc_statement", "dec_statement", "short_var_declaration"}
)


def in_two_sections(look: Step, change: Step) -> bool:
    """Return whether a function looks in one section of a lock and changes in a later one."""
    if look.at.function is not change.at.function or look.access.base != change.access.base:
        return False
    first, second = _section(look), _section(change)
    return (
        first is not None
        and second is not None
        and first is not second
        and first.access == second.access
        and second.call.start > look.at.end
    )


def _section(step: Step) -> LockOperation | None:
    function = step.at.function
    best = None
    for operation in lock_calls(step.file, function) if function is not None else ():
        if operation.acquires and operation.call.end <= step.at.start:
            if any(h.access == operation.access for h in step.access.held_here):
                best = operation
    return best


def is_limit(found: Decided) -> bool:
    """Return whether who asks is refused at a limit, and uses up one of what is left otherwise."""
    return found.refusal is not None and found.test is not None and passes_limit(found)


def asks_again(found: Decided) -> tuple[Edit, ...]:
    """Return the edits that ask again before the change, and refuse as the first look did.

    Raises BuilderError where that cannot be repeated there.
    """
    file, change, asks = found.change.file, found.change.at.statement, found.by
    second, function = _section(found.change), found.change.at.function
    if change is None or second is None or function is None or found.refusal is None:
        raise BuilderError("the change stands in no section")
    body = function["body"]
    taken = second.call.parent
    if taken is None or taken.parent is not body or is_helped(second) or second.method != "Lock":
        raise BuilderError("the second section is in a branch or loop of its own")
    if change.parent is not body:
        raise BuilderError("the change is in a branch or loop of its own")
    if asks.kind != "if_statement" or asks.get("initializer") is not None:
        raise BuilderError("the look cannot be repeated")
    leave = found.refusal.statements[-1]
    own = [o for o in lock_calls(file, function) if o.access == second.access]
    others = [s for s in found.refusal.statements[:-1] if not any(o.call.parent is s for o in own)]
    if others or leave.kind != "return_statement":
        raise BuilderError("more is done where the limit is reached")
    if any(second.call.end < n.start < change.start and n.kind in _WRITES for n in body.own()):
        raise BuilderError("something else is written before")
    _check_made(file, body, asks, second)
    lines = [leave.name]
    if not any(o.releases and o.deferred and o.call.start > second.call.start for o in own):
        lines.insert(0, spelled(file, second, "Unlock"))
    inner = "\n".join(f"\t{line}" for line in lines)
    return insert_before(change, f"if {_test(found, leave)} {{\n{inner}\n}}")


def _check_made(file: GoFile, body: Node, asks: Node, second: LockOperation) -> None:
    """Refuse where what was made meanwhile would have to be given back."""
    for node in body.own():
        if node.kind == "short_var_declaration" and asks.end < node.start < second.call.start:
            if any(has_close(file, name) for name in node["left"].children):
                raise BuilderError("what was made meanwhile would have to be closed")


def _test(found: Decided, leave: Node) -> str:
    """Return the condition of the look with the place itself for the variables that hold it."""
    file, condition, look = found.look.file, found.by["condition"], found.look.at
    text, start = condition.name, condition.start
    for name in sorted(condition.find("identifier"), key=lambda n: -n.start):
        binding = file.binding(name)
        if binding is None or not binding.is_variable:
            continue
        if not is_assigned_once(binding):
            raise BuilderError(f"{name.name} is set again")
        if name.name in found.names:
            value = binding.value
            if value is None or not (value is look or value.contains(look)):
                raise BuilderError(f"what {name.name} holds is not one value of the section")
            if any(
                n.kind == "call_expression" and n["function"].text != b"len" for n in value.walk()
            ):
                raise BuilderError(f"{name.name} holds what a call returns")
            at = name.start - start
            text = text[:at] + value.name + text[at + len(name.name) :]
    for name in leave.find("identifier"):
        binding = file.binding(name)
        if binding is not None and binding.is_variable and not is_assigned_once(binding):
            raise BuilderError(f"{name.name} is set again")
        if name.name in found.names:
            raise BuilderError("what is returned tells what was found")
    return text
