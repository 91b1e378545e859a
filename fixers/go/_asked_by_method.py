"""A method that locks says how things are, and what is done about it comes in a section of its own.

    if a.Balance() < n {                a.mu.Lock()
        return ErrFunds                 defer a.mu.Unlock()
    }                           →       if a.balanceLocked() < n {
    a.Withdraw(n)                           return ErrFunds
                                        }
                                        a.withdrawLocked(n)

Only where a stale answer shows: a limit that is passed, a key that is refused once and then
overwritten, work that is done by two, a number that is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

from threadmend.golang.access import access_of, is_assigned_once
from threadmend.golang.builders import BuilderError, with_reason
from threadmend.golang.callers_locks import caller_classes
from threadmend.golang.functions import outer_function
from threadmend.golang.guards import Guard, guard_of, guarded_places
from threadmend.golang.lock_calls import lock_calls
from threadmend.golang.locks import held_at
from threadmend.golang.package import Package
from threadmend.golang.same_goroutine import run_together
from threadmend.golang.scope import Binding
from threadmend.golang.set_aside import clears_what_is_aside
from threadmend.golang.setup import is_made_here, is_setup
from threadmend.golang.spoken import speaks_of_locks
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Finding, Fix, Related, Safety

from ._beside_others import runs_beside_others
from ._decided_steps import Decided, decided
from ._limit_again import asks_again, in_two_sections, is_limit
from ._locked_steps import Step, changed, is_unasked, steps_of
from ._one_section import one_section
from ._stale_answers import is_claim, matters

__all__ = ["asked_by_method"]

# Who asks in them whether it was done already expects to be called twice.
_BEGINS = re.compile("Start|Run|Open|Close|Stop|Shutdown")
_AGAIN = "who comes second is refused, after the work between the two sections"
_REASON = "the lock is held from the check to the change"


def asked_by_method(package: Package) -> Iterator[Finding]:
    """Yield the changes that an answer decides which is out of date by then."""
    for accesses in guarded_places(package).values():
        guard = guard_of(accesses, written=False)
        if guard is None or any(a.writes and not a.setup and not a.fresh for a in guard.unlocked):
            continue
        for function, steps in steps_of(guard).items():
            if clears_what_is_aside(function, guard):
                continue  # others leave alone what it has found
            yield from _in_function(guard, function, steps)


def _in_function(guard: Guard, function: Node, steps: list[Step]) -> Iterator[Finding]:
    told: set[Node] = set()
    for look, change in product(steps, steps):
        if not look.looks or change.looks or change.at in told or look.at.start > change.at.start:
            continue
        here = look.decl is None and change.decl is None
        if here and not in_two_sections(look, change):
            continue
        if not _same(look, change) or _is_held(guard, look) or _is_held(guard, change):
            continue
        found = decided(function, look, change)
        if found is None or _acts_between(steps, look, change):
            continue
        if here and not is_limit(found):
            continue  # a decision in plain sight
        if not matters(found) or not _is_shared(guard, function, found):
            continue
        told.add(change.at)
        yield _finding(guard, found)


def _same(look: Step, change: Step) -> bool:
    """Return whether the two are about one object, and one element of it."""
    if look.owner != change.owner or not change.parts <= look.parts:
        return False
    if look.owner is not None:
        root = look.owner.root
        if isinstance(root, Binding) and not is_assigned_once(root):
            return False
        if any(s.startswith("[") for s in look.owner.steps):
            return False
        if is_made_here(look.file, look.at, look.owner):
            return False
    if look.key is None:
        return True
    return look.key == change.key and _is_kept(look)


def _is_kept(look: Step) -> bool:
    """Return whether the key means the same all through the function."""
    at = look.at if look.decl is not None else look.at.parent
    for name in at.find("identifier") if at is not None else ():
        binding = look.file.binding(name)
        if binding is not None and not is_assigned_once(binding):
            return False
    return True


def _is_held(guard: Guard, step: Step) -> bool:
    """Return whether a step runs under a lock already, that of its own section aside."""
    held = held_at(step.file, step.at)
    if step.decl is None:
        return any(h.lock_class != guard.lock_class for h in held)
    return bool(held)


def _acts_between(steps: list[Step], look: Step, change: Step) -> bool:
    """Return whether the object is asked for something else before, or the section looks again."""
    function, file = change.at.function, change.file
    if function is None:
        return True
    operations = lock_calls(file, function)
    if change.decl is None:
        takes = [o.call.end for o in operations if o.acquires]
        begin = max((end for end in takes if end < change.at.start), default=change.at.start)
        if not _is_unasked(change.at, begin, function):
            return True
    known = {s.at for s in steps if s.looks} | {o.call for o in operations}
    for node in function.own():
        if look.at.end <= node.start < change.at.start and node not in known:
            if node.kind == "call_expression" and _is_of(change, node):
                return True
    return any(
        not s.looks and look.at.start < s.at.start < change.at.start and s.key == change.key
        for s in steps
    )


def _is_of(step: Step, call: Node) -> bool:
    """Return whether a call is one of a method of the same object."""
    selector = call["function"]
    if step.owner is None or selector.kind != "selector_expression":
        return False
    selection = step.file.selection(selector)
    if selection is not None and selection.kind == "field":
        return False  # a function that the object keeps is not one of its methods
    return access_of(step.file, selector["operand"]) == step.owner


def _is_unasked(change: Node, begin: int, function: Node) -> bool:
    """Return whether nothing in the section decides if the change is made."""
    body = function["body"]
    block = next((o for o in change.ancestors() if o is body or o.start < begin), body)
    return is_unasked(change, begin, block)


def _is_shared(guard: Guard, function: Node, found: Decided) -> bool:
    """Return whether others may do the same meanwhile."""
    file, change = found.change.file, found.change
    outer = outer_function(change.at)
    if outer is None or file.is_test:
        return False
    if is_setup(file, change.at) and not _is_asked_twice(outer, found):
        return False
    if speaks_of_locks(file, outer) or caller_classes(file, outer):
        return False
    writes = [a for a in guard.locked if a.writes and not a.setup]
    if change.access.writes and run_together(change.access, writes):
        return False
    return runs_beside_others(file, function, found.change.kind == "shrink")


def _is_asked_twice(function: Node, found: Decided) -> bool:
    """Return whether a function that goes by a name of set-up code is one that others call, too."""
    name = function["name"].name
    if is_claim(found) and _BEGINS.match(name):
        return True
    return function.kind == "method_declaration" and name.startswith("Create")


def _finding(guard: Guard, found: Decided) -> Finding:
    look, change = found.look, found.change
    fix, reason = _fix(guard, found)
    asked, done = _asked(look), f"{changed(change).name} is written"
    if change.decl is not None:
        done = f"{change.at['function'].name} is called"
    lock = guard.lock_class.rpartition(".")[2]
    lock = "the lock" if lock in {"Mutex", "RWMutex"} else lock
    message = f"{done} on the ground of what {asked} said: {lock} was released in between"
    if look.decl is None and change.decl is None:
        message = f"{done} on the ground of a value that was read before {lock} was released"
    return Finding(
        path=change.file.path,
        start=change.at.start,
        end=change.at.end,
        message=message,
        fixes=(fix,) if fix is not None else (),
        related=(Related(look.file.path, look.at.start, look.at.end, "asked here"),),
        reason=reason,
        confidence=Confidence.MEDIUM,
    )


def _asked(look: Step) -> str:
    return look.at["function"].name if look.decl is not None else look.at.name


@with_reason
def _fix(guard: Guard, found: Decided) -> Fix:
    if found.change.file.package is not guard.locked[0].file.package:
        raise BuilderError("the lock is that of another package")
    if found.look.decl is None and found.change.decl is None:
        title = f"Ask again before {changed(found.change).name} is written"
        return Fix(title, asks_again(found), Safety.UNSAFE, _AGAIN)
    lock, edits = one_section(guard, found)
    return Fix(f"Hold {lock} from the check to the change", edits, Safety.UNSAFE, _REASON)
