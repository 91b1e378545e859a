"""Belief: accesses that lack the lock under which the package makes all the others.

What `guards` counts is a belief, and most of what contradicts it is no bug: code that
callers enter with the lock held, that owns the object, that another lock protects, or whose
author says why. Each such reason is a test here; what is left has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.awaited import (
    awaited_under,
    comes_after_wait,
    end_awaited_under,
    runs_after_wait,
)
from threadmend.golang.awaited_flags import is_handed_over_by_flag
from threadmend.golang.callers_locks import caller_classes, runner_classes
from threadmend.golang.calls import own_callers
from threadmend.golang.defaults import has_its_default
from threadmend.golang.field_accesses import FieldAccess, accesses_like
from threadmend.golang.finished import is_finished
from threadmend.golang.functions import outer_function
from threadmend.golang.goroutines import launch_of_literal
from threadmend.golang.guards import Guard, guard_of, guarded_places
from threadmend.golang.hooks import may_be_called_under
from threadmend.golang.kept_calls import kept_without_lock
from threadmend.golang.kept_elements import is_of_unlocked_list
from threadmend.golang.last_users import is_written_by_last
from threadmend.golang.locks import LOCK_CALLS, declaration_of, locks_of, runs_in_place
from threadmend.golang.majority import confidence_in, is_doubtful
from threadmend.golang.marshalled import is_marshalled_under
from threadmend.golang.other_locks import is_of_another_struct, may_share_lock
from threadmend.golang.own_sections import has_accessor, is_in_use, takes_guard
from threadmend.golang.parts import reads_another_part
from threadmend.golang.preparing import is_set_up_for, may_be_held, prepares
from threadmend.golang.published import is_published
from threadmend.golang.remarks import needs_no_lock
from threadmend.golang.same_goroutine import is_ahead_of_writers, is_built_for, is_only_writer
from threadmend.golang.scope import Binding
from threadmend.golang.set_aside import is_set_aside
from threadmend.golang.setup import is_cleared_once, makes_another, runs_only_once
from threadmend.golang.spoken import callers_explain, is_explained
from threadmend.golang.syntax import Node
from threadmend.golang.types import Func, deref
from threadmend.golang.unchanging import is_length_only, is_reference_only, leads_to_lock
from threadmend.golang.unseen_locks import holds_unseen_lock
from threadmend.golang.ways_in import lacks_company
from threadmend.model import Confidence

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package

__all__ = ["Suspect", "is_beyond_judgement", "suspects"]


@dataclass(frozen=True, slots=True)
class Suspect:
    """An access without the lock that guards its place; `place` is the place's class."""

    place: str
    access: FieldAccess
    guard: Guard
    confidence: Confidence = Confidence.MEDIUM


def suspects(package: Package) -> list[Suspect]:
    """Return the accesses of a package that lack their guard, in source order."""
    found: list[Suspect] | None = package.facts.get("suspects")
    if found is None:
        found = package.facts["suspects"] = []
        undecided: list[tuple[str, Guard]] = []
        for place, accesses in guarded_places(package).items():
            guard = guard_of(accesses, written=False)
            if guard is None or not guard.locked or not guard.unlocked or _is_exempt(guard):
                continue
            if not any(a.writes and not a.setup for a in (*guard.locked, *guard.unlocked)):
                continue
            of_place = _suspects_of(place, guard)
            found.extend(of_place)
            if not of_place:
                undecided.append((place, guard))
        found.extend(list(_beside(found, undecided)))
        found.sort(key=lambda s: (s.access.file.path, s.access.node.start))
    return found


def _suspects_of(place: str, guard: Guard) -> list[Suspect]:
    """Return the suspects of a place, none where the counts do not support the belief.

    Makers (`newSession`) are right more often than others: they are no votes against the rest.
    """
    wrong = [a for a in guard.unlocked if _is_suspect(a, guard)]
    confidence = confidence_in(_counted(guard, wrong), wrong)
    if confidence is None:
        made = [a for a in guard.unlocked if makes_another(a.file, a.node)]
        guard = guard._replace(unlocked=[a for a in guard.unlocked if a not in made])
        wrong = [a for a in wrong if a not in made]
        confidence = confidence_in(_counted(guard, wrong), wrong) if made else None
    if confidence is None:
        return []
    alone = (
        Confidence.LOW if lacks_company(a) or is_doubtful(a, guard, confidence) else confidence
        for a in wrong
    )
    return [Suspect(place, a, guard, c) for a, c in zip(wrong, alone, strict=True)]


def _beside(found: list[Suspect], undecided: list[tuple[str, Guard]]) -> Iterator[Suspect]:
    """Yield what is written beside a suspect, in the same function, and lacks the same lock.

    `a.moves++; a.last = time.Now()`, where one other method looks at `last`, under the lock: the
    counts say too little by themselves, but the lock is missing there for `moves` already. Only
    places of the same object that nobody else uses without the lock.
    """
    lacking: set[tuple[Node | None, bytes, str]] = set()
    for suspect in found:
        if suspect.access.base is not None and suspect.confidence is not Confidence.LOW:
            lacking.add(_lack(suspect.access, suspect.guard))
    for place, guard in undecided if lacking else ():
        left = [a for a in guard.unlocked if not a.setup]
        if place.rpartition(".")[0] != guard.lock_class.rpartition(".")[0]:
            continue
        if not any(a.writes for a in left):
            continue
        functions = {a.node.function for a in left}
        if all(a.setup or outer_function(a.node) in functions for a in guard.locked):
            continue
        if not all(a.base is not None and _lack(a, guard) in lacking for a in left):
            continue
        if all(_is_suspect(a, guard) for a in left):
            yield from (Suspect(place, a, guard) for a in left)


def _lack(access: FieldAccess, guard: Guard) -> tuple[Node | None, bytes, str]:
    return access.node.function, access.node["operand"].text, guard.lock_class


def _counted(guard: Guard, wrong: list[FieldAccess]) -> Guard:
    """Return a guard with the accesses that speak for or against it.

    What only sets up, and what callers enter with the lock held, does neither, unless most is
    like that.
    """
    rest = [a for a in guard.unlocked if a in wrong or not a.setup]
    entered = [a for a in rest if a not in wrong and _callers_hold(a, guard.lock_class)]
    if len(entered) > len(guard.locked):
        return guard
    return guard._replace(unlocked=[a for a in rest if a not in entered])


def _is_exempt(guard: Guard) -> bool:
    """Return whether the place is one that a lock need not guard everywhere."""
    first = guard.locked[0]
    if isinstance(first.file.underlying(first.file.type_of(first.node)), Func):
        return True  # taken under the lock or not: it is called outside of it on purpose
    if needs_no_lock(first.file, first.node) or is_of_another_struct(first, guard.lock_class):
        return True
    # Some access is made through sync/atomic, or by somebody who was given the address.
    return any(a.kind == "address" for a in (*guard.locked, *guard.unlocked))


def _is_suspect(access: FieldAccess, guard: Guard) -> bool:
    """Return whether nothing explains that an access lacks its guard."""
    return not (
        is_beyond_judgement(
            access,
            locked_too=_is_evident(guard) and not _shares_lock(access, guard),
            any_object=_goes_around(access, guard) or _locks_it_too(access, guard),
            in_use=is_in_use(access, guard.lock_class),
        )
        or leads_to_lock(access)
        or awaited_under(access.file, access.node, guard.lock_class)
        or end_awaited_under(access, guard.lock_class)
        or runs_after_wait(access.file, access.node)
        or comes_after_wait(access)
        or (runs_only_once(access.file, access.node) and not is_cleared_once(access.node))
        or is_only_writer(access, guard)
        or is_ahead_of_writers(access, guard)
        or is_set_aside(access, guard)
        or _callers_protect(access, guard)
        or may_share_lock(access, guard)
        or callers_explain(access)
        or prepares(access)
        or is_reference_only(access, guard)
        or is_length_only(access, guard)
        or _is_encoded(access, guard)
        or not _has_lock(access, guard)
        or may_be_held(access.file, access.node, guard.lock_class)
        or is_set_up_for(access, guard)
        or is_built_for(access)
        or is_finished(access, guard)
        or is_published(access, guard)
        or is_handed_over_by_flag(access, guard)
        or has_its_default(access, guard)
        or is_written_by_last(access, guard)
        or reads_another_part(access, (*guard.locked, *guard.unlocked))
        or _resets_all(access)
        or _sets_lock(access, guard)
        or _lets_go(access)
    )


_LETS_GO = re.compile(r"(?:[Rr]elease|[Ff]ree|[Dd]ispose)(?:All)?$")
_ENDS_PART = re.compile(rb"\.(?:Close|Free|Release|Destroy|Dispose)\(\)")


def _lets_go(access: FieldAccess) -> bool:
    """Return whether a method ends the parts of its object: its last user calls it.

    One that counts who is left (`b.users--`) is called by others as well.
    """
    function = access.node.function
    if function is None or function.get("receiver") is None or access.kind == "update":
        return False
    if not _LETS_GO.match(function["name"].name) or function["parameters"].children:
        return False
    if any(n.kind in {"dec_statement", "inc_statement"} for n in function.own()):
        return False
    return _ENDS_PART.search(function.text) is not None


def _sets_lock(access: FieldAccess, guard: Guard) -> bool:
    """Return whether a function gives the object another lock beside the access.

    `s.mu, s.users = old.mu, old.users`: who sets the lock has the object for itself.
    """
    function, lock = access.node.function, guard.lock_class.rpartition(".")[2]
    if function is None or access.base is None:
        return False
    operand = access.node["operand"].text
    return any(
        target.kind == "selector_expression"
        and target["field"].name == lock
        and target["operand"].text == operand
        for statement in function.own()
        if statement.kind == "assignment_statement"
        for target in statement["left"].children
    )


_RESETS = re.compile(r"(?:[Rr]eset|[Rr]ecycle|[Rr]elease|[Zz]ero)(?![a-z])")
_OTHERS = 2


def _resets_all(access: FieldAccess) -> bool:
    """Return whether a method makes its whole object as new, for its next user.

    It writes fields that no lock guards as well: whoever does so is alone with it.
    """
    function = access.node.function
    if function is None or function.get("receiver") is None or access.base is None:
        return False
    if not _RESETS.match(function["name"].name):
        return False
    operand = access.node["operand"].text
    written = [
        node
        for statement in function.own()
        if statement.kind == "assignment_statement"
        for node in statement["left"].children
        if node.kind == "selector_expression" and node["operand"].text == operand
    ]
    package = access.file.package
    plain = {
        node["field"].name
        for node in written
        if not any(a.held for a in accesses_like(package, access.file, node))
    }
    return len(plain) >= _OTHERS


def _is_encoded(access: FieldAccess, guard: Guard) -> bool:
    """Return whether a method that encoders call may run under the lock of who encodes."""
    function = outer_function(access.node)
    return function is not None and is_marshalled_under(
        access.file, function, guard.lock_class, caller_classes
    )


def _has_lock(access: FieldAccess, guard: Guard) -> bool:
    """Return whether the object of an access is the one that has the lock.

    A method of an embedded struct cannot tell whether it stands beside one.
    """
    owner, of_field = guard.lock_class.rpartition(".")[0], (access.place or "").rpartition(".")[0]
    if access.base is None or owner == of_field or not isinstance(access.base.root, Binding):
        return True
    held = {str(deref(a.file.type_of(a.node["operand"]))) for a in guard.locked if a.base}
    return str(deref(access.file.type_of(access.node["operand"]))) in held


def is_beyond_judgement(
    access: FieldAccess,
    *,
    locked_too: bool = False,
    any_object: bool = False,
    in_use: bool = False,
) -> bool:
    """Return whether an access may well be right, whatever the others do.

    Set-up code (unless `in_use`), an object that is not the method's own (unless
    `any_object`), a lock that is held (unless `locked_too`), a function that runs somewhere
    else, a comment that speaks of it.
    """
    return (
        access.kind in {"call", "address", "declare"}
        or (access.setup and not in_use)
        or (bool(access.held) and not locked_too)
        or not (any_object or _belongs_to_receiver(access))
        or not _runs_here_and_now(access)
        or _holds_unknown_lock(access)
        or is_explained(access.file, access.node)
    )


_FIRM = 6


def _is_evident(guard: Guard) -> bool:
    """Return whether hardly anybody lacks the lock, or a method is there that takes it for all."""
    statements = {a.node.statement for a in guard.unlocked if not a.setup}
    return len(guard.locked) >= _FIRM * max(1, len(statements)) or has_accessor(guard)


def _goes_around(access: FieldAccess, guard: Guard) -> bool:
    """Return whether a function reads from another object what that has an accessor for."""
    if access.writes or access.fresh or not has_accessor(guard) or is_of_unlocked_list(access):
        return False
    function = outer_function(access.node)
    decl = declaration_of(access.file, function) if function is not None else None
    owner = (access.place or "").rpartition(".")[0].rpartition(".")[2]
    return decl is not None and decl.kind == "method" and decl.receiver != owner


def _locks_it_too(access: FieldAccess, guard: Guard) -> bool:
    """Return whether the function takes the lock of that very object, elsewhere."""
    return not access.fresh and access.base is not None and takes_guard(access, guard.lock_class)


def _shares_lock(access: FieldAccess, guard: Guard) -> bool:
    """Return whether a lock that is held at an access keeps it from all that conflict with it."""
    held = _classes(access)
    every = (a for a in (*guard.locked, *guard.unlocked) if a is not access)
    others = (a for a in every if (a.writes or access.writes) and not a.setup)
    return all(held and held & _classes(a) for a in others)


def _belongs_to_receiver(access: FieldAccess) -> bool:
    """Return whether the object is the method's own, or the place the package's."""
    if access.base is None:
        return True
    operand = access.node["operand"]
    root = access.base.root
    if not isinstance(root, Binding):
        return True
    return root.kind == "receiver" and operand.kind == "identifier"


def _runs_here_and_now(access: FieldAccess) -> bool:
    """Return whether the access runs with its function, or in a goroutine that it launches."""
    function = access.node.function
    while function is not None and function.kind == "func_literal":
        if launch_of_literal(access.file, function) is not None:
            return True
        if not runs_in_place(access.file, function):
            return False
        function = function.function
    return function is not None and not _is_kept(access.file, function)


def _is_kept(file: GoFile, function: Node) -> bool:
    """Return whether an unexported function is kept as a value, whose callers may hold a lock."""
    decl = declaration_of(file, function)
    if decl is None or decl.exported:
        return False
    values = (s.node.up(*_KEEPERS) for s in own_callers(decl, LOCK_CALLS) if s.call is None)
    if not any(v is not None and v.kind != "call_expression" for v in values):
        return False
    return not kept_without_lock(decl)


_KEEPERS = ("call_expression", "assignment_statement", "short_var_declaration", "keyed_element")


def _holds_unknown_lock(access: FieldAccess) -> bool:
    """Return whether the function takes a lock through an interface (`cond.L.Lock()`).

    Or by a call that has such a name, of whatever type.
    """
    function = access.node.function
    if function is None:
        return False
    if holds_unseen_lock(access.file, access.node):
        return True
    return any(
        o.type == "sync.Locker" or o.access is None
        for o in locks_of(access.file, function).operations
    )


def _callers_protect(access: FieldAccess, guard: Guard) -> bool:
    """Return whether some caller holds the guard, or a lock that all writers hold too."""
    function = outer_function(access.node)
    if function is not None and may_be_called_under(access.file, function, guard.lock_class):
        return True
    held = caller_classes(access.file, function) if function is not None else frozenset()
    if guard.lock_class in runner_classes(access.file, access.node):
        return True
    if not held:
        return False
    if _callers_hold(access, guard.lock_class):
        return True
    writes = [a for a in (*guard.locked, *guard.unlocked) if a.writes and not a.setup]
    return all(held & _classes(a) for a in writes)


def _callers_hold(access: FieldAccess, lock_class: str) -> bool:
    """Return whether some caller of an access's function holds a lock of this class."""
    function = outer_function(access.node)
    return function is not None and lock_class in caller_classes(access.file, function)


def _classes(access: FieldAccess) -> frozenset[str]:
    function = outer_function(access.node)
    own = {h.lock_class for h in access.held if h.lock_class is not None}
    return frozenset(own) | (
        caller_classes(access.file, function) if function is not None else frozenset()
    )
