"""Helpers without a lock that all their callers enter with it, but for one: that one is to lock.

    func (k *kiln) Fire(c int) {        func (k *kiln) watch() {
        k.mu.Lock()                         c := k.probe()
        defer k.mu.Unlock()                 k.mu.Lock()
        k.aim(c)                            defer k.mu.Unlock()
    }                                       k.actual = c
                                            if c > k.target {
    func (k *kiln) aim(c int) {                 k.trip()
        k.target = c                        }
    }                                   }

A lock in the helper would be taken twice by the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from threadmend.golang.belief import Suspect
from threadmend.golang.builders import with_reason
from threadmend.golang.calls import own_callers
from threadmend.golang.field_accesses import FieldAccess
from threadmend.golang.file import GoFile
from threadmend.golang.guards import guard_of, guarded_places
from threadmend.golang.locks import LOCK_CALLS, declaration_of, held_on_entry, locks_of
from threadmend.golang.package import Decl, Package
from threadmend.golang.syntax import Node
from threadmend.model import Fix, Safety

from ._guard_edits import LockForm, put_under_lock

__all__ = ["Entry", "entries", "entry_fix"]

_DEPTH = 4

Key = tuple[Node, str]  # a function, and the class of the lock that it lacks


@dataclass(frozen=True, slots=True)
class Entry:
    """A function that lacks a lock itself, and its calls of helpers that need it."""

    function: Node
    lock_class: str
    calls: tuple[Node, ...]


def entries(beside: Mapping[Key, Sequence[Sequence[Suspect]]]) -> dict[Key, Entry]:
    """Return, for functions that lack a lock, the one that is to take it for them, and itself."""
    calls: dict[Key, dict[Node, None]] = {}
    above: dict[Key, Key] = {}
    for key, groups in beside.items():
        file = groups[0][0].access.file
        found = _top(file, *key, beside)
        if found is not None:
            function, call = found
            above[key] = (function, key[1])
            calls.setdefault(above[key], {})[call] = None
    known = {key: Entry(*key, tuple(some)) for key, some in calls.items()}
    return {**known, **{key: known[top] for key, top in above.items()}}


def _top(
    file: GoFile, function: Node, lock_class: str, lacking: Mapping[Key, object]
) -> tuple[Node, Node] | None:
    """Return the last function on the way up that lacks the lock, and its call on the way down."""
    best = None
    for _ in range(_DEPTH):
        decl = declaration_of(file, function)
        call = _bare_call(decl, lock_class) if decl is not None else None
        if call is None or call.function is None:
            break
        file, function = file.package.workspace.file_of(call), call.function
        if locks_of(file, function).operations:
            break
        if (function, lock_class) in lacking:
            best = (function, call)
    return best


def _bare_call(decl: Decl, lock_class: str) -> Node | None:
    """Return the one call, of an object's own method, that is made without a lock."""
    if decl.exported or locks_of(decl.file, decl.node).operations:
        return None
    bare: list[Node] = []
    for site in own_callers(decl, LOCK_CALLS):
        if site.call is None or site.launched or site.deferred:
            return None
        if any(h.lock_class == lock_class for h in held_on_entry(site.file, site.call, decl)):
            continue
        operand = site.call["function"].get("operand")
        binding = site.file.binding(operand) if operand is not None else None
        if binding is None or binding.kind != "receiver" or site.file.is_test:
            return None
        bare.append(site.call)
    return bare[0] if len(bare) == 1 else None


@with_reason
def entry_fix(file: GoFile, entry: Entry, lock: LockForm) -> Fix:
    """Hold the lock in the entry, over all that needs it there, to the end."""
    nodes = [a.node for a in _bare_accesses(file.package, entry)]
    edits, reason = put_under_lock(
        file, entry.function, [*nodes, *entry.calls], lock, together=True
    )
    safety = Safety.UNSAFE if reason else Safety.SAFE
    name = entry.function["name"].name
    return Fix(f"Call {lock.take.removesuffix('()')} in {name}", edits, safety, reason)


def _bare_accesses(package: Package, entry: Entry) -> Iterator[FieldAccess]:
    """Yield what the entry touches of all that the lock guards."""
    for accesses in guarded_places(package).values():
        own = [a for a in accesses if a.node.function is entry.function and not a.held]
        guard = guard_of(accesses, written=False) if own else None
        if guard is not None and guard.lock_class == entry.lock_class:
            yield from own
