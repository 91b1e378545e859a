"""Callers' locks: which locks anybody above may hold when a function runs.

Of whatever object, on whatever way: this is for doubt, not for proof. A goroutine does not run
under the locks of who launched it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.calls import Site, own_callers
from threadmend.golang.functions import outer_function
from threadmend.golang.goroutines import is_handed_over, launch_of_literal
from threadmend.golang.locks import LOCK_CALLS, declaration_of, held_at, locks_of
from threadmend.golang.preparing import may_be_held

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl
    from threadmend.golang.syntax import Node

__all__ = ["caller_classes", "runner_classes", "runs_later", "taken_in"]

_LEVELS = 6


def caller_classes(file: GoFile, function: Node) -> frozenset[str]:
    """Return the classes of the locks that any caller in the package may hold, levels up."""
    decl = declaration_of(file, function)
    if decl is None:
        return frozenset()
    known: dict[tuple[str, int], frozenset[str]] = file.package.facts.setdefault("held above", {})
    if decl.key not in known:
        known[decl.key] = frozenset(_held_above(decl))
    return known[decl.key]


def _held_above(decl: Decl) -> set[str]:
    found: set[str] = set()
    seen, level = {decl.key}, [decl]
    for _ in range(_LEVELS):
        above: list[Decl] = []
        for classes, callers in map(_at_calls, level):
            found |= classes
            for caller in callers:
                if caller.key not in seen:
                    seen.add(caller.key)
                    above.append(caller)
        level = above
    return found


def _at_calls(decl: Decl) -> tuple[frozenset[str], tuple[Decl, ...]]:
    """Return the classes that may be held where a function is called, and its callers.

    Remembered: it stands above many others.
    """
    known: dict[tuple[str, int], tuple[frozenset[str], tuple[Decl, ...]]]
    known = decl.file.package.facts.setdefault("held at calls", {})
    if decl.key not in known:
        found: set[str] = set()
        callers: list[Decl] = []
        for site in own_callers(decl, LOCK_CALLS):
            if runs_later(site):
                continue
            held = held_at(site.file, site.node)
            found.update(h.lock_class for h in held if h.lock_class is not None)
            found |= runner_classes(site.file, site.node) | _maker_classes(site)
            found |= _perhaps_held(site)
            caller = _caller(site)
            if caller is not None:
                callers.append(caller)
        known[decl.key] = frozenset(found), tuple(callers)
    return known[decl.key]


def _perhaps_held(site: Site) -> frozenset[str]:
    """Return the classes of the locks that a caller took in a branch above the call.

    `if !starting { m.mu.Lock() }; m.add(disk)`: it knows when there is nobody to keep out.
    """
    function = site.node.function
    if function is None or not LOCK_CALLS.search(site.file.data, function.start, function.end):
        return frozenset()
    taken = (o.lock_class for o in locks_of(site.file, function).operations if o.acquires)
    return frozenset(c for c in taken if c is not None and may_be_held(site.file, site.node, c))


def _maker_classes(site: Site) -> frozenset[str]:
    """Return the classes of the locks that are held where the literals around a call are made.

    `valid := func(i int) bool { return m.valid(i) }` under the lock, and then `pick(valid)`.
    """
    found: set[str] = set()
    literal = site.node.function
    while literal is not None and literal.kind == "func_literal":
        if launch_of_literal(site.file, literal) is not None:
            break
        held = held_at(site.file, literal)
        found.update(h.lock_class for h in held if h.lock_class is not None)
        literal = literal.function
    return frozenset(found)


def runner_classes(file: GoFile, node: Node) -> frozenset[str]:
    """Return the classes of the locks that functions take which are given the literals around.

    `s.withSession(func() { s.report() })`: it may well call the literal with its lock held, from a
    literal of its own.
    """
    found: set[str] = set()
    literal = node.function
    while literal is not None and literal.kind == "func_literal":
        outer = literal.parent
        call = outer.parent if outer is not None and outer.kind == "argument_list" else None
        decl = file.callee(call) if call is not None and call.kind == "call_expression" else None
        if decl is not None and decl.has_body and decl.sound:
            found |= taken_in(decl)
        literal = literal.function
    return frozenset(found)


def taken_in(decl: Decl) -> frozenset[str]:
    """Return the classes of the locks that a function takes, also in its literals."""
    known: dict[tuple[str, int], frozenset[str]]
    known = decl.file.package.facts.setdefault("taken in", {})
    if decl.key not in known:
        start, end = decl.span
        functions = [decl.node] if LOCK_CALLS.search(decl.file.data, start, end) else []
        functions += [n for f in functions for n in f.find("func_literal")]
        known[decl.key] = frozenset(
            operation.lock_class
            for function in functions
            for operation in locks_of(decl.file, function).operations
            if operation.acquires and operation.lock_class is not None
        )
    return known[decl.key]


def runs_later(site: Site) -> bool:
    """Return whether a goroutine of its own, or a timer, makes the call."""
    if site.launched or site.call is not None:
        return site.launched
    value = site.node.parent if site.node.field == "field" else site.node
    return value is not None and is_handed_over(site.file, value)


def _caller(site: Site) -> Decl | None:
    """Return the function that a call stands in, None where a goroutine of its own makes it."""
    function = site.node.function
    while function is not None and function.kind == "func_literal":
        if launch_of_literal(site.file, function) is not None:
            return None
        function = function.function
    outer = outer_function(site.node)
    return declaration_of(site.file, outer) if outer is not None else None
