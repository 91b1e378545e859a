"""Lock runners: functions that call what they are given under a lock.

    func (s *store) withLock(change func()) { s.mu.Lock(); defer s.mu.Unlock(); change() }

A literal that is handed to one holds that lock all through, and what its surroundings hold.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.keepers import parameter_name
from threadmend.golang.lock_helpers import taking
from threadmend.golang.locks import Held, held_at, held_inside
from threadmend.golang.one_liners import naming
from threadmend.golang.releases import net_releases
from threadmend.golang.syntax import Node
from threadmend.golang.wording import bind

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package

__all__ = ["held_by_runner", "locking"]

_DEPTH = 3


def locking(package: Package) -> re.Pattern[bytes]:
    """Return what code looks like that takes locks, or has something run under them."""
    known: re.Pattern[bytes] | None = package.facts.get("locking")
    if known is None:
        known = package.facts["locking"] = _locking(package)
    return known


def _locking(package: Package) -> re.Pattern[bytes]:
    takes = fresh = taking(package)
    names: set[str] = set()
    for _ in range(_DEPTH):
        found = {decl.name for decl in package.functions() if _is_runner(decl, fresh)} - names
        if not found:
            break
        names |= found
        fresh = re.compile(naming(found))
    return re.compile(takes.pattern + b"|" + naming(names)) if names else takes


def _is_runner(decl: Decl, takes: re.Pattern[bytes]) -> bool:
    """Return whether a function takes a function and a lock, and calls one under the other."""
    start, end = decl.span
    data = decl.file.data
    if not decl.sound or not decl.has_body or not takes.search(data, start, end):
        return False
    if data.find(b"func", start + 4, end) < 0:
        return False  # a parameter of a named type of functions is rare
    count = sum(len(p.all("name")) for p in decl.node["parameters"].children)
    return any(_runs_under(decl, index, _DEPTH) for index in range(count))


def held_by_runner(file: GoFile, literal: Node) -> frozenset[Held]:
    """Return the locks under which a function runs the literal that it is given, and those held
    around; none where it might do anything else with it.
    """
    found = _given_to(file, literal)
    if found is None:
        return frozenset()
    call, decl, index = found
    held = _runs_under(decl, index, _DEPTH)
    if not held or decl.key in net_releases(decl.file.package):
        return frozenset()
    return bind(file, call, decl.node, held) | held_at(file, literal)


def _given_to(file: GoFile, argument: Node) -> tuple[Node, Decl, int] | None:
    """Return the call that a literal or a parameter is an argument of, what it calls, and which
    argument it is.
    """
    outer = argument.parent
    call = outer.parent if outer is not None and outer.kind == "argument_list" else None
    if outer is None or call is None or call.kind != "call_expression" or call.runs_later:
        return None
    decl = file.callee(call)
    if decl is None or decl.kind not in {"func", "method"} or not decl.has_body:
        return None
    index = next(i for i, child in enumerate(outer.children) if child is argument)
    return call, decl, index


def _runs_under(decl: Decl, index: int, depth: int) -> frozenset[Held]:
    """Return the locks that a function holds wherever it calls its parameter, if calling it (or
    handing it to one that does so) is all that it does with it.
    """
    known: dict[tuple[tuple[str, int], int], frozenset[Held]]
    known = decl.file.package.facts.setdefault("runs under", {})
    key = (decl.key, index)
    if key not in known:
        known[key] = frozenset()  # a function that hands it on to itself
        if depth and decl.sound and decl.has_body:
            known[key] = _decide(decl, index, depth)
    return known[key]


def _decide(decl: Decl, index: int, depth: int) -> frozenset[Held]:
    file, function = decl.file, decl.node
    start, end = decl.span
    name = parameter_name(function, index)
    binding = None if name is None else file.binding(name)
    if binding is None:
        return frozenset()
    takes = taking(file.package).search(file.data, start, end) is not None
    result: frozenset[Held] | None = None
    for use in binding.uses:
        outer = use.parent
        if use is name or (outer is not None and outer.kind == "binary_expression"):
            continue  # a comparison with nil
        if outer is None or use.function is not function:
            return frozenset()
        if outer.kind == "call_expression" and use.field == "function":
            if outer.runs_later:
                return frozenset()
            held = held_inside(file, outer) if takes else frozenset()
        else:
            handed = _given_to(file, use)
            if handed is None:
                return frozenset()
            call, callee, at = handed
            inner = _runs_under(callee, at, depth - 1)
            if not inner:
                return frozenset()
            held = bind(file, call, callee.node, inner)
            held |= held_inside(file, call) if takes else frozenset()
        result = held if result is None else result & held
    return result or frozenset()
