"""Majority: how well the accesses under a lock support the belief that it guards a place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.access import access_of
from threadmend.golang.calls import Site, own_callers
from threadmend.golang.field_accesses import FieldAccess, accesses_like
from threadmend.golang.functions import outer_function
from threadmend.golang.guards import Guard
from threadmend.golang.kept_calls import kept_launch, kept_without_lock
from threadmend.golang.locks import LOCK_CALLS, declaration_of, locks_of
from threadmend.golang.own_sections import has_accessor, takes_guard
from threadmend.golang.same_goroutine import launched_root
from threadmend.golang.setup import is_made_here, is_setup, tears_down_early
from threadmend.golang.syntax import Node
from threadmend.golang.ways_in import NOBODY, begins, ways_in
from threadmend.model import Confidence

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["confidence_in", "is_doubtful"]

_BAR = 4
_INNER_BAR = 8
_OTHERS = 2


def confidence_in(guard: Guard, wrong: list[FieldAccess]) -> Confidence | None:
    """Return how well the counts support the belief, None when they do not.

    The bar: at least four accesses, three quarters of them locked; more when all that is
    wrong are reads in unexported functions, which often run in the one goroutine that
    writes. Below it a small method that does little else than the access, or a method that
    takes the lock too late.
    """
    if not any(a.writes and not a.setup for a in guard.locked):
        # Who takes the lock only looks: it is for the one who writes.
        return Confidence.MEDIUM if _is_alone(guard, wrong) else None
    if _is_chance(guard):
        return None
    locked, unlocked = len(guard.locked), len(guard.unlocked)
    inner = all(not a.writes and not _is_reached(a, guard) for a in wrong)
    enough = locked + unlocked >= (_INNER_BAR if inner else _BAR)
    if enough and locked >= 3 * unlocked:
        return Confidence.HIGH if locked >= 6 * unlocked else Confidence.MEDIUM
    if _is_for_sibling(guard):
        return None
    if unlocked <= 2 and len(wrong) == unlocked:
        if all(_is_accessor(a) for a in wrong) and not _is_for_more(guard):
            return Confidence.MEDIUM
        if locked >= 2 and all(_locks_later(a, guard) for a in wrong):
            return Confidence.MEDIUM
    if _is_alone(guard, wrong) or _meets_users(guard, wrong):
        return Confidence.MEDIUM
    if locked + unlocked > _INNER_BAR and locked >= 2 * unlocked and len(wrong) == unlocked:
        return Confidence.LOW
    return None


def is_doubtful(access: FieldAccess, guard: Guard, confidence: Confidence) -> bool:
    """Return whether a small majority alone speaks against an access in an unexported function.

    Who writes there may be alone with the object; and where others write without the lock, it
    guards the place only against some. Not so where the function takes the lock itself, or is kept
    and called by a goroutine. Or whether all who write look first, without the lock, whether they
    have to: they may all run in the one goroutine that does.
    """
    if _is_first_look(access, guard):
        return True
    function = outer_function(access.node)
    decl = declaration_of(access.file, function) if function is not None else None
    if confidence is not Confidence.MEDIUM or decl is None or decl.exported or access.base is None:
        return False
    if not any(a.writes and not a.setup for a in guard.locked):
        return False
    if ways_in(access.file, access.node) == {NOBODY} or takes_guard(access, guard.lock_class):
        return False
    if kept_launch(decl) is not None and kept_without_lock(decl):
        return False
    if access.writes:
        return True
    return not has_accessor(guard) and any(a.writes and not a.setup for a in guard.unlocked)


def _is_first_look(access: FieldAccess, guard: Guard) -> bool:
    """Return whether a read decides on a write, as in each of several functions that write.

    `func (c *conn) ReadText() …` and `func (c *conn) ReadBinary() …`, where each has
    `if c.packed { c.mu.Lock(); c.packed = false; c.mu.Unlock() }`.
    """
    writes = [a for a in (*guard.locked, *guard.unlocked) if a.writes and not a.setup]
    writers = {outer_function(a.node) for a in writes}
    deciders = [a for a in guard.unlocked if not a.writes and _decides(a, writes)]
    return (
        len(writers) > 1
        and writers <= {outer_function(a.node) for a in deciders}
        and access in deciders
    )


def _decides(access: FieldAccess, writes: list[FieldAccess]) -> bool:
    """Return whether an access stands in the condition of one of some writes."""
    test = access.node.up("if_statement")
    return (
        test is not None
        and test["condition"].contains(access.node)
        and any(test["consequence"].contains(write.node) for write in writes)
    )


_LOCK_NAME = re.compile(r"(?i)_?(?:mutex|mu|mtx|lock|lk)$")


def _is_for_sibling(guard: Guard) -> bool:
    """Return whether the lock is named after another field: `nid` and `nidMutex`.

    Who takes it for that one has it by chance for what stands beside.
    """
    owner, _, lock = guard.lock_class.rpartition(".")
    place_owner, _, place = (guard.locked[0].place or "").rpartition(".")
    name = _LOCK_NAME.sub("", lock)
    package = guard.locked[0].file.package
    if not name or name in {lock, place}:
        return False
    if owner == package.key:
        return _is_for_variable(guard, name)
    if owner != place_owner:
        return False
    decl = package.lookup(owner.removeprefix(f"{package.key}."))
    struct = decl.node.get("type") if decl is not None and decl.kind == "type" else None
    if struct is None or struct.kind != "struct_type":
        return False
    names = (n.name for f in struct.find("field_declaration") for n in f.all("name"))
    return name in names


def _is_for_variable(guard: Guard, name: str) -> bool:
    """Return whether a package has a variable that its lock is named after, and not of a place.

    `queuedMu.Lock(); state.Queued = append(state.Queued[:0], queued...); queuedMu.Unlock()`
    """
    decl = guard.locked[0].file.package.lookup(name)
    if decl is None or decl.kind != "var":
        return False
    return all(
        a.base is not None and a.node.text.partition(b".")[0] != name.encode() for a in guard.locked
    )


def _is_chance(guard: Guard) -> bool:
    """Return whether one function alone takes the lock, and that of another object.

    `ss.pos` under `ss.file.mu`: the lock is for what the function does to the file.
    """
    if len({outer_function(a.node) for a in guard.locked}) != 1:
        return False
    return all(a.base is not None and _is_of_another(a, guard.lock_class) for a in guard.locked)


def _is_of_another(access: FieldAccess, lock_class: str) -> bool:
    """Return whether the lock held at an access is reached through a field of the object."""
    base = access.base.steps if access.base is not None else ()
    held = [h.access.steps for h in access.held if h.lock_class == lock_class]
    return bool(held) and all(h[: len(base)] == base and len(h) - len(base) > 1 for h in held)


def _meets_users(guard: Guard, wrong: list[FieldAccess]) -> bool:
    """Return whether a goroutine of the object looks at what the end of its work writes.

    Users end it under the lock, by a method that they may call at any time.
    """
    writes = [a for a in guard.locked if a.writes and a.held_here and _is_exported(a)]
    ends = [a for a in writes if tears_down_early(a.file, a.node)]
    return (
        bool(wrong)
        and bool(ends)
        and all(launched_root(a) is not None for a in wrong)
        and not any(launched_root(e) is launched_root(a) for e in ends for a in wrong)
    )


_SETS = re.compile(r"(?:[Ss]et|[Ww]ith|[Rr]egister|[Oo]n|[Hh]andle)(?![a-z])")


def _is_alone(guard: Guard, wrong: list[FieldAccess]) -> bool:
    """Return whether one exported method lacks the lock that all other methods take.

    Or one that takes it itself, elsewhere. How often it touches the place says nothing then: it
    was forgotten there once.
    """
    functions = {outer_function(a.node) for a in wrong}
    left = [a for a in guard.unlocked if a not in wrong and not a.setup]
    if len(functions) != 1 or any(outer_function(a.node) not in functions for a in left):
        return False
    if not all(_is_reached(a, guard) or _is_forgotten(a, guard) for a in wrong):
        return False
    others = [a for a in guard.locked if outer_function(a.node) not in functions]
    if len({outer_function(a.node) for a in others if not a.setup}) < _OTHERS:
        return False
    if any(a.writes and not a.setup for a in others):
        return True
    # Settings are made before the rest begins.
    setter = next(iter(functions))
    if setter is None or begins(setter) or _SETS.match(setter["name"].name):
        return False
    if not any(a.writes for a in wrong):
        return False
    return not all(_works_for(a.file, outer_function(a.node), setter, _LEVELS) for a in others)


def _is_forgotten(access: FieldAccess, guard: Guard) -> bool:
    """Return whether the function takes the guard itself, elsewhere, and the access needs it, too.

    A read does when users of the package get to a write: the function may run in the one
    goroutine that makes all the others.
    """
    if not takes_guard(access, guard.lock_class) and not _calls_taker(access, guard):
        return False
    function = outer_function(access.node)
    writes = [a for a in guard.locked if a.writes and not a.setup]
    return access.writes or any(
        _is_exported(a) for a in writes if outer_function(a.node) is not function
    )


def _calls_taker(access: FieldAccess, guard: Guard) -> bool:
    """Return whether the function calls another one that takes the guard for the very place.

    Nobody enters it with the lock held, then: it would wait for itself.
    """
    function = access.node.function
    takers = [outer_function(a.node) for a in guard.locked if a.holds(guard.lock_class, here=True)]
    for call in function.own() if function is not None else ():
        decl = access.file.callee(call) if call.kind == "call_expression" else None
        if decl is not None and decl.node is not function and decl.node in takers:
            if access.base is None or _is_on(access, call):
                return True
    return False


def _is_on(access: FieldAccess, call: Node) -> bool:
    """Return whether a call is one of a method on the object of an access."""
    function = call["function"]
    if function.kind != "selector_expression" or access.base is None:
        return False
    return access_of(access.file, function["operand"]) == access.base


_LEVELS = 6


def _works_for(file: GoFile, function: Node | None, beginner: Node, depth: int) -> bool:
    """Return whether a function runs only when another one calls it, or launches it, levels up."""
    decl = declaration_of(file, function) if function is not None and depth > 0 else None
    sites = list(own_callers(decl, LOCK_CALLS)) if decl is not None else []
    return bool(sites) and all(
        (caller := outer_function(site.node)) is beginner
        or caller is function
        or (site.call is not None and _works_for(site.file, caller, beginner, depth - 1))
        for site in sites
    )


def _is_exported(access: FieldAccess) -> bool:
    function = outer_function(access.node)
    return function is not None and function["name"].name[:1].isupper()


def _is_reached(access: FieldAccess, guard: Guard) -> bool:
    """Return whether users of the package get to an access: its method, or one that calls it.

    On its own object, without the lock: `func (b *Book) Convert(…) { … b.cross(…) }`, or on
    another one, where no lock is taken; or a goroutine does, which finds it in a field. What one
    function alone writes, others may well read when it has been written for good.
    """
    function = outer_function(access.node)
    decl = declaration_of(access.file, function) if function is not None else None
    if decl is None or decl.exported:
        return _is_exported(access)
    writers = {outer_function(a.node) for a in guard.locked if a.writes and not a.setup}
    sites = list(own_callers(decl, LOCK_CALLS)) if decl.kind == "method" else []
    if len(writers) <= 1 and not access.writes:
        return False
    if kept_launch(decl) is not None and kept_without_lock(decl):
        return True
    return _is_called_openly(sites, decl.receiver, guard.lock_class) and not any(
        site.call is None or site.launched for site in sites
    )


def _is_called_openly(sites: list[Site], type_name: str, lock_class: str) -> bool:
    """Return whether users get to a method: by one of its own type, or by all of other types.

    One of these that is kept as a hook may be called under the lock.
    """
    found = [(s, _calls_openly(s, type_name, lock_class)) for s in sites]
    if any(is_open and _is_of(site, type_name) for site, is_open in found):
        return True
    return bool(found) and all(is_open for _, is_open in found)


def _is_of(site: Site, type_name: str) -> bool:
    caller = site.node.function
    above = declaration_of(site.file, caller) if caller is not None else None
    return above is not None and above.receiver == type_name


def _calls_openly(site: Site, type_name: str, lock_class: str) -> bool:
    """Return whether an exported method of a type, that takes no other lock, calls on its receiver.

    One that takes the guard, and not for the call, is called by several goroutines at once. One
    of another type takes no lock, and has the object from somewhere.
    """
    caller = site.node.function
    above = declaration_of(site.file, caller) if caller is not None else None
    operand = site.call["function"].get("operand") if site.call is not None else None
    if caller is None or above is None or operand is None or above.kind != "method":
        return False
    if not above.exported or is_setup(site.file, site.node):
        return False
    operations = locks_of(site.file, caller).operations
    if above.receiver != type_name:
        object_ = access_of(site.file, operand)
        return not operations and not is_made_here(site.file, operand, object_)
    binding = site.file.binding(operand) if operand.kind == "identifier" else None
    if binding is None or binding.kind != "receiver":
        return False
    return all(o.lock_class == lock_class for o in operations)


def _is_for_more(guard: Guard) -> bool:
    """Return whether the one access under the lock stands beside others of its object.

    `c.mu.Lock(); c.count--; c.state = done`: the lock is for the count, perhaps.
    """
    first = guard.locked[0]
    function = first.node.function
    if len(guard.locked) > 1 or function is None or first.base is None:
        return False
    others = (
        FieldAccess.at(first.file, node)
        for node in function.own()
        if node.kind == "selector_expression" and node["operand"].text == first.node["operand"].text
    )
    return any(
        other.place != first.place
        and other.writes
        and other.holds(guard.lock_class)
        and _is_guarded_widely(other, guard.lock_class)
        for other in others
    )


_WIDELY = 3


def _is_guarded_widely(access: FieldAccess, lock_class: str) -> bool:
    """Return whether several functions take the lock for a place."""
    every = accesses_like(access.file.package, access.file, access.node)
    return len({outer_function(a.node) for a in every if a.holds(lock_class)}) >= _WIDELY


def _locks_later(access: FieldAccess, guard: Guard) -> bool:
    """Return whether an exported method takes the guard after the access, for the same place."""
    function = access.node.function
    return _is_exported(access) and any(
        a.node.function is function and a.node.start > access.node.start for a in guard.locked
    )


def _is_accessor(access: FieldAccess) -> bool:
    """Return whether an access stands in a short method that callers are free to call."""
    function = outer_function(access.node)
    body = function.get("body") if function is not None else None
    if body is None or access.node.function is not function or not _is_exported(access):
        return False
    calls = [n["function"] for n in body.own() if n.kind == "call_expression"]
    return len(body.statements) <= 3 and all(_is_plain(access.file, f) for f in calls)


_PLAIN = frozenset(
    {
        *("fmt", "log", "errors", "strings", "strconv", "time", "math", "sort", "slices"),
        *("maps", "encoding/json", "bytes"),
    }
)


def _is_plain(file: GoFile, function: Node) -> bool:
    """Return whether what is called is a builtin, or a function that looks at its arguments."""
    if function.kind == "selector_expression":
        operand = function["operand"]
        if operand.kind != "identifier" or file.binding(operand) is not None:
            return False
        return file.imported(operand.name) in _PLAIN
    return function.kind == "identifier" and file.resolve(function) is None
