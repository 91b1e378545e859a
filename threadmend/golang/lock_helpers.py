"""Lock helpers: functions that only lock, for their callers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.locks import LOCK_CALLS, Held, locks_of
from threadmend.golang.one_liners import naming
from threadmend.golang.releases import net_releases
from threadmend.golang.syntax import Node
from threadmend.golang.wording import bind

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package

__all__ = ["leaves_locked", "net_acquires", "taking"]

_ROUNDS = 3  # helpers that call helpers
_TAKES = re.compile(rb"\.R?Lock\(\)")
_GIVES = re.compile(rb"Unlock|\bdefer\b")


def net_acquires(package: Package) -> dict[tuple[str, int], frozenset[Held]]:
    """Return, by `Decl.key`, the locks that a function takes and leaves to its caller.

    Only helpers without a branch and without any release: `func (s *T) lock() { s.mu.Lock() }`,
    one that calls such a helper, or one that returns `s.mu.Unlock`.
    """
    known: dict[tuple[str, int], frozenset[Held]] | None = package.facts.get("net_acquires")
    if known is not None:
        return known
    found: dict[tuple[str, int], frozenset[Held]] = {}
    package.facts["net_acquires"] = found
    for decl in _only_taking(package, _TAKES):
        operations = locks_of(decl.file, decl.node).operations
        body = decl.node["body"]
        if any(o.call.up("block") is not body for o in operations):
            continue
        held = frozenset(o.held for o in operations if o.acquires and o.held is not None)
        if held and not any(o.releases for o in operations):
            found[decl.key] = held
    fresh = set(found)
    for _ in range(_ROUNDS):
        if not fresh:
            break
        calls = re.compile(naming(d.name for d in package.functions() if d.key in fresh))
        fresh = set()
        for decl in _only_taking(package, calls):
            held = found.get(decl.key, frozenset())
            if not held >= (more := _through(decl, found)):
                found[decl.key] = held | more
                fresh.add(decl.key)
    return found


def taking(package: Package) -> re.Pattern[bytes]:
    """Return what code that takes locks looks like: itself, or through helpers that only lock."""
    known: re.Pattern[bytes] | None = package.facts.get("taking")
    if known is None:
        known = package.facts["taking"] = _taking(package)
    return known


def _taking(package: Package) -> re.Pattern[bytes]:
    helpers = net_acquires(package)
    names = {d.name for d in package.functions() if d.key in helpers}
    return re.compile(LOCK_CALLS.pattern + b"|" + naming(names)) if names else LOCK_CALLS


def _only_taking(package: Package, takes: re.Pattern[bytes]) -> Iterator[Decl]:
    """Yield the short functions in which a pattern is found, and no release."""
    for decl in package.functions():
        start, end = decl.span
        data = decl.file.data
        if decl.has_body and end - start <= 800 and decl.sound and takes.search(data, start, end):
            given = [m.start() for m in _GIVES.finditer(data, start, end)]
            last = decl.node["body"].statements[-1:] if given else []
            if not given or (last and _returns_release(last[0], given)):
                yield decl


def _returns_release(last: Node, given: list[int]) -> bool:
    """Return whether releases, by their places, are all in what the last statement returns."""
    if last.kind != "return_statement" or b"defer" in last.text:
        return False
    return all(last.start < at < last.end for at in given)


def _through(decl: Decl, known: dict[tuple[str, int], frozenset[Held]]) -> frozenset[Held]:
    """Return the locks that a function's statements take by calls of helpers.

    None where it calls what releases: `s.enter()`, and `s.leave()` at the end.
    """
    held: frozenset[Held] = frozenset()
    gives = net_releases(decl.file.package)
    called = map(decl.file.callee, decl.node.find("call_expression"))
    if any(callee is not None and callee.key in gives for callee in called):
        return held
    for statement in decl.node["body"].statements:
        call = statement.children[0] if statement.kind == "expression_statement" else None
        if call is None or call.kind != "call_expression":
            continue
        callee = decl.file.callee(call)
        if callee is not None and callee.key in known and callee.key != decl.key:
            held |= bind(decl.file, call, callee.node, known[callee.key])
    return held


def leaves_locked(file: GoFile, node: Node, lock_class: str | None) -> bool:
    """Return whether the function around a node takes a lock and leaves the release to others."""
    function = node.function
    operations = locks_of(file, function).operations if function is not None else ()
    same = [o for o in operations if o.lock_class == lock_class]
    return any(o.acquires for o in same) and not any(o.releases for o in same)
