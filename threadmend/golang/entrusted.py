"""Entrusted: functions that everybody enters with a lock held, and one caller without.

`func (c *Cache) evict() { delete(c.entries, …) }` takes no lock: whoever calls it has it. The
belief needs two callers, or one and a name that says so (`evictLocked`), and a field that
somebody writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from threadmend.golang.access import access_of
from threadmend.golang.awaited import awaited_under
from threadmend.golang.callers_locks import caller_classes
from threadmend.golang.calls import Site, own_callers
from threadmend.golang.field_accesses import FieldAccess
from threadmend.golang.functions import doc_of, outer_function
from threadmend.golang.goroutines import launch_of_literal
from threadmend.golang.guards import guarded_places
from threadmend.golang.lock_operations import ordered
from threadmend.golang.locks import LOCK_CALLS, declaration_of, held_at, held_on_entry, locks_of
from threadmend.golang.remarks import needs_no_lock
from threadmend.golang.scope import Binding
from threadmend.golang.setup import is_made_here, is_setup
from threadmend.golang.spoken import is_explained, says_locked, speaks_of_locks
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.package import Decl, Package

__all__ = ["Lapse", "lapses"]


class Lapse(NamedTuple):
    """Calls in one function that lack the lock which all other callers hold.

    `others` are the calls under the lock, `reads` says that some of those hold it for reading
    only, `access` is what the callee touches.
    """

    callee: Decl
    calls: list[Site]
    lock_class: str
    others: list[Site]
    reads: bool
    access: FieldAccess


def lapses(package: Package) -> Iterator[Lapse]:
    """Yield the lapses of a package, by callee."""
    inside: dict[tuple[str, int], tuple[Decl, list[FieldAccess]]] = {}
    for accesses in guarded_places(package).values():
        for access in accesses:
            function = access.node.function
            decl = declaration_of(access.file, function) if function is not None else None
            if decl is not None and _is_internal(decl):
                inside.setdefault(decl.key, (decl, []))[1].append(access)
    for decl, accesses in list(inside.values()):
        for above in _handing_on(decl):
            inside.setdefault(above.key, (above, []))[1].extend(accesses)
    for decl, accesses in inside.values():
        yield from _lapses_of(decl, accesses)


def _handing_on(decl: Decl) -> Iterator[Decl]:
    """Yield the functions without locks that call a function on their own object.

    What that needs they need as well: `func (s *set) bump(k string) { s.entry(k).n++ }`.
    """
    if locks_of(decl.file, decl.node).operations:
        return
    seen = {decl.key}
    for site in own_callers(decl, LOCK_CALLS):
        function = site.node.function
        above = declaration_of(site.file, function) if function is not None else None
        operand = site.call["function"].get("operand") if site.call is not None else None
        if function is None or above is None or operand is None or operand.kind != "identifier":
            continue
        binding = site.file.binding(operand)
        if binding is None or binding.kind != "receiver" or site.launched or above.key in seen:
            continue
        if _is_internal(above) and not locks_of(site.file, function).operations:
            seen.add(above.key)
            yield above


def _is_internal(decl: Decl) -> bool:
    return not decl.exported or says_locked(decl.name)


def _lapses_of(decl: Decl, accesses: list[FieldAccess]) -> Iterator[Lapse]:
    if locks_of(decl.file, decl.node).operations:
        return
    locked: list[tuple[Site, dict[str, str]]] = []
    bare: list[Site] = []
    for site in own_callers(decl, LOCK_CALLS):
        if site.call is None or site.launched:
            return
        held = {h.lock_class: h.mode for h in ordered(held_on_entry(site.file, site.call, decl))}
        classes = {name: mode for name, mode in held.items() if name is not None}
        if classes:
            locked.append((site, classes))
        elif not _is_apart(site):
            bare.append(site)
    if not bare or not locked or len({outer_function(s.node) for s in bare}) != 1:
        return
    for lock_class in sorted(locked[0][1]):
        if not all(lock_class in classes for _, classes in locked):
            continue
        if not all(_lacks(s, lock_class) for s in bare):
            continue
        functions = {outer_function(site.node) for site, _ in locked}
        few = 0 if says_locked(decl.name) else 2 - len(functions)
        touched = next((a for a in accesses if _needs(a, lock_class, functions, few)), None)
        if touched is not None:
            reads = any(classes[lock_class] == "read" for _, classes in locked)
            yield Lapse(decl, bare, lock_class, [s for s, _ in locked], reads, touched)
            return


def _is_apart(site: Site) -> bool:
    """Return whether a call says nothing: it sets up, on an object that nobody else knows.

    Or stands in a function that its callers enter with a lock, or whose comment says that it is
    called before others can be there.
    """
    assert site.call is not None
    outer = outer_function(site.node)
    if is_setup(site.file, site.node) or (outer and speaks_of_locks(site.file, outer)):
        return True
    if outer is not None and _EARLY.search(doc_of(outer)):
        return True
    operand = site.call["function"].get("operand")
    base = access_of(site.file, operand) if operand is not None else None
    return is_made_here(site.file, site.node, base)


_EARLY = re.compile(rb"(?i)\bcalled before\b|\bbefore (?:it|the|any)\b[^.]*\b(?:run|start|use)")


def _lacks(site: Site, lock_class: str) -> bool:
    """Return whether nothing explains that a call is made without the lock."""
    assert site.call is not None
    file, function, outer = site.file, site.node.function, outer_function(site.node)
    decl = declaration_of(file, outer) if outer is not None else None
    if function is None or outer is None or decl is None or held_at(file, site.call):
        return False
    if function is not outer and launch_of_literal(file, function) is None:
        return False
    operand = site.call["function"].get("operand")
    if operand is not None:
        binding = file.binding(operand) if operand.kind == "identifier" else None
        if binding is None or binding.kind != "receiver":
            return False
    if function is outer and not decl.name[:1].isupper():
        if not _runs_apart(decl, _DEPTH) and not _is_open(decl):
            return False
    return not (
        _takes(site, function, lock_class)
        or _takes(site, outer, lock_class)
        or lock_class in caller_classes(file, outer)
        or is_explained(file, site.node)
        or awaited_under(file, site.node, lock_class)
    )


_DEPTH = 3


def _runs_apart(decl: Decl, depth: int) -> bool:
    """Return whether a function runs nowhere but in goroutines, which hold no lock there."""
    sites = list(own_callers(decl, LOCK_CALLS))
    return bool(sites) and depth > 0 and all(_is_apart_at(site, depth) for site in sites)


def _is_open(decl: Decl) -> bool:
    """Return whether exported methods alone call a method, on their object and under no lock."""
    sites = list(own_callers(decl, LOCK_CALLS))
    return bool(sites) and all(_is_call_by_anybody(site) for site in sites)


def _is_call_by_anybody(site: Site) -> bool:
    function = site.node.function
    caller = declaration_of(site.file, function) if function is not None else None
    operand = site.call["function"].get("operand") if site.call is not None else None
    if function is None or caller is None or operand is None or site.call is None:
        return False
    binding = site.file.binding(operand) if operand.kind == "identifier" else None
    if binding is None or binding.kind != "receiver" or not caller.exported:
        return False
    if held_at(site.file, site.call) or locks_of(site.file, function).operations:
        return False
    return not is_setup(site.file, site.node) and not speaks_of_locks(site.file, function)


def _is_apart_at(site: Site, depth: int) -> bool:
    function = site.node.function
    if site.call is None or function is None:
        return False
    if site.launched:
        return True
    if held_at(site.file, site.call):
        return False
    if function.kind == "func_literal":
        return launch_of_literal(site.file, function) is not None
    caller = declaration_of(site.file, function)
    return caller is not None and not caller.exported and _runs_apart(caller, depth - 1)


def _takes(site: Site, function: Node, lock_class: str) -> bool:
    operations = locks_of(site.file, function).operations
    return any(o.lock_class in {lock_class, None} for o in operations)


def _needs(access: FieldAccess, lock_class: str, known: set[Node | None], more: int) -> bool:
    """Return whether an access of the callee stands where the lock guards.

    As so many `more` functions show than those that are `known`, and a write.
    """
    if access.kind in {"call", "address", "declare"} or access.fresh or access.held_here:
        return False
    root = access.base.root if access.base is not None else None
    if isinstance(root, Binding) and root.kind != "receiver":
        return False
    if needs_no_lock(access.file, access.node):
        return False
    place = guarded_places(access.file.package)[access.place or ""]
    if any(a.kind == "address" for a in place):
        return False
    others = [a for a in place if not a.setup and not a.fresh]
    if not any(a.writes for a in others):
        return False
    apart = [a for a in others if a.node.function is not access.node.function]
    free = [a for a in apart if not a.held]
    if len(free) > len(apart) - len(free) or (more > 0 and not access.writes):
        return False
    return len({outer_function(a.node) for a in apart if a.holds(lock_class)} - known) >= more
