"""A map that a function reads from a field under the lock, and goes on using without.

    d.mu.Lock()                    d.mu.Lock()
    networks := d.networks         networks := d.networks
    d.mu.Unlock()                  n, ok := networks[id]
    n, ok := networks[id]     →    d.mu.Unlock()

The variable is another name for the map of the field, and not a copy of it: whoever stores
into the map under the lock does so while it is read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import classify, is_assigned_once
from threadmend.golang.builders import BuilderError
from threadmend.golang.callers_locks import caller_classes
from threadmend.golang.clones import clone
from threadmend.golang.field_accesses import FieldAccess
from threadmend.golang.functions import outer_function
from threadmend.golang.guards import guard_of, guarded_places
from threadmend.golang.lock_operations import is_wrapped, ordered
from threadmend.golang.locks import Held, held_at
from threadmend.golang.mutations import mutations
from threadmend.golang.package import Package
from threadmend.golang.preparing import may_be_held
from threadmend.golang.scope import Binding, declared_by, declared_name
from threadmend.golang.setup import is_setup
from threadmend.golang.spoken import is_explained
from threadmend.golang.syntax import Node
from threadmend.golang.types import Map
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._guard_edits import put_under_lock
from ._held_guard import lock_form, operation_of

__all__ = ["found_in_use", "maps_kept", "touches", "without"]


def maps_kept(package: Package) -> Iterator[Finding]:
    """Yield the uses, without the lock, of a map that was read from a field under it."""
    for place, accesses in guarded_places(package).items():
        if not any(_is_map(a) for a in accesses[:1]):
            continue
        for access in accesses:
            variable = _named_here(access)
            if variable is None:
                continue
            found = _unlocked(place, access, variable, accesses)
            if found is not None:
                yield found_in_use(access, variable, *found)


def _is_map(access: FieldAccess) -> bool:
    return isinstance(access.file.underlying(access.file.type_of(access.node)), Map)


def _named_here(access: FieldAccess) -> Binding | None:
    """Return the variable that gets the map of a field: `networks := d.networks`."""
    name = declared_name(access.node)
    if name is None or name.parent is None or name.parent.kind == "var_spec":
        return None
    binding = declared_by(name)
    return binding if binding is not None and is_assigned_once(binding) else None


def _unlocked(
    place: str, access: FieldAccess, variable: Binding, accesses: list[FieldAccess]
) -> tuple[Held, list[Node], Node, FieldAccess] | None:
    """Return the lock, the uses of a variable without it, and where others change the map.

    None where the map is taken away with the name (`d.networks = nil`), or may be nobody else's.
    """
    file, function = access.file, access.node.function
    guard = guard_of(accesses, written=False)
    held = next((h for h in ordered(access.held_here) if access.belongs(h) and h.mode), None)
    if guard is None or held is None or held.lock_class != guard.lock_class or function is None:
        return None
    if any(a.kind == "write" and a.node.function is function for a in accesses):
        return None
    if access.fresh or is_setup(file, access.node) or is_explained(file, access.node):
        return None
    outer = outer_function(access.node)
    if outer is None or guard.lock_class in caller_classes(file, outer):
        return None
    uses = without(access, variable, guard.lock_class)
    writes = [use for use in uses if classify(use, variable).kind == "store"]
    name = access.node["field"].name if access.node.kind == "selector_expression" else ""
    changes = [
        m
        for m in mutations(file.package, place, name or access.node.name)
        if m.kind == "store"
        and m.under(guard.lock_class)
        and not m.initial
        and not is_setup(m.file, m.node)
        and m.node.function is not function
    ]
    if uses and changes:
        shown = next((a for a in guard.locked if changes[0].node.contains(a.node)), None)
        if shown is not None:
            return held, uses, changes[0].node, shown
    if not writes:
        return None
    others = [a for a in guard.locked if a.node.function is not function and not a.setup]
    return (held, uses, others[0].node, others[0]) if others else None


def without(access: FieldAccess, variable: Binding, lock_class: str) -> list[Node]:
    """Return the uses of a map by a variable, in the function of an access, without a lock."""
    return [
        use
        for use in variable.uses
        if use.function is access.node.function
        and touches(use)
        and not any(h.lock_class == lock_class for h in held_at(access.file, use))
        and not may_be_held(access.file, use, lock_class)
    ]


_BUILTINS = re.compile(r"delete|len|clear")


def touches(use: Node) -> bool:
    """Return whether a use reads or changes what the map holds."""
    parent = use.parent
    if parent is None:
        return False
    if parent.kind == "index_expression":
        return use.field == "operand"
    if parent.kind == "range_clause":
        return use.field == "right"
    call = parent.parent
    return (
        parent.kind == "argument_list"
        and call is not None
        and call.kind == "call_expression"
        and parent.children[0] is use
        and _BUILTINS.fullmatch(call["function"].name) is not None
    )


def found_in_use(
    access: FieldAccess,
    variable: Binding,
    held: Held,
    uses: list[Node],
    change: Node,
    shown: FieldAccess,
    what: str = "the map of",
) -> Finding:
    """Build the finding of uses, without a lock, of a map that a field has as well."""
    file, function = access.file, access.node.function
    assert function is not None
    assert held.lock_class is not None
    first = uses[0]
    verb = "written" if access.kind == "write" else "read"
    writes = [u for u in uses if classify(u, variable).kind == "store"]
    operation = operation_of(access, held.lock_class)
    reads = not writes
    lock = None
    if operation is not None:
        lock = lock_form(file, access.base, held.lock_class, operation, reads=reads)
    fix, reason = None, "the lock has no name here"
    ranged = any(u.parent is not None and u.parent.kind == "range_clause" for u in uses)
    if ranged and verb == "written":
        reason = f"{variable.name} is gone through here"
    elif ranged:
        fix, reason = _copied(access, writes)
    elif lock is not None:
        try:
            edits, reason = put_under_lock(file, function, uses, lock, together=False)
            if writes and len(uses) > len(writes) and not reason:
                reason = "somebody else may store between the look and the store"
            safety = Safety.UNSAFE if reason else Safety.SAFE
            title = f"Call {lock.take.removesuffix('()')} around the access"
            fix, reason = Fix(title, edits, safety, reason), ""
        except BuilderError as error:
            reason = str(error)
    name = lock.name if lock is not None else (held.lock_class or "").rpartition(".")[2]
    if operation is not None and operation.via and not is_wrapped(held.lock_class):
        name = f"the lock of {name}"
    return Finding(
        path=file.path,
        start=first.start,
        end=first.end,
        message=f"{variable.name} is {what} {access.node.name}, and used here without {name}",
        fixes=(fix,) if fix is not None else (),
        related=(
            Related(file.path, access.node.start, access.node.end, f"{verb} under the lock here"),
            Related(shown.file.path, change.start, change.end, "others hold it here"),
        ),
        reason=reason,
    )


def _copied(access: FieldAccess, writes: list[Node]) -> tuple[Fix | None, str]:
    """Copy the map where it is read: who goes through it may take long.

    Sound: the copy has what was there at that moment, and is nobody else's.
    """
    file, node, function = access.file, access.node, access.node.function
    if writes or function is None:
        return None, f"{node.name} is gone through here and changed"
    copied = clone(file, function, node.name, file.type_of(node))
    if copied is None:
        return None, "the copy needs a loop before Go 1.21"
    text, imports = copied
    edits = (Edit(file.path, node.start, node.end, text.encode()), *imports)
    return Fix(f"Copy {node.name} under the lock", edits), ""
