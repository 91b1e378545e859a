"""A map that a function has by a name of its own while others have it by a guarded field.

One of the maps that a guarded map holds, taken out under the lock and written after it:

    d.mu.Lock()                        d.mu.Lock()
    group := d.groups[route]           group := d.groups[route]
    d.mu.Unlock()                      group[key] = v
    group[key] = v                →    d.mu.Unlock()

And one that the function has built and put into the field, where others store into it from
then on: `r.names = names; r.mu.Unlock(); report(len(names))`.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import classify, is_assigned_once
from threadmend.golang.callers_locks import caller_classes
from threadmend.golang.field_accesses import FieldAccess
from threadmend.golang.functions import outer_function
from threadmend.golang.guards import guard_of, guarded_places
from threadmend.golang.lock_operations import ordered
from threadmend.golang.locks import Held
from threadmend.golang.mutations import mutations
from threadmend.golang.package import Package
from threadmend.golang.scope import Binding, declared_by
from threadmend.golang.setup import is_setup
from threadmend.golang.spoken import is_explained
from threadmend.golang.syntax import Node
from threadmend.golang.types import Map
from threadmend.model import Finding

from ._map_kept import found_in_use, touches, without

__all__ = ["maps_shared"]


def maps_shared(package: Package) -> Iterator[Finding]:
    """Yield the uses, without the lock, of maps that a guarded field leads to as well."""
    for place, accesses in guarded_places(package).items():
        type_ = accesses[0].file.underlying(accesses[0].file.type_of(accesses[0].node))
        if not isinstance(type_, Map):
            continue
        nested = isinstance(accesses[0].file.underlying(type_.elem), Map)
        for access in accesses:
            if access.writes:
                yield from _put_there(place, access, accesses)
            elif nested:
                yield from _taken_out(access, accesses)


def _lock(access: FieldAccess, accesses: list[FieldAccess]) -> Held | None:
    """Return the lock that guards the field, when the function of an access takes it itself."""
    guard = guard_of(accesses, written=False)
    held = next((h for h in ordered(access.held_here) if access.belongs(h) and h.mode), None)
    outer = outer_function(access.node)
    if guard is None or held is None or held.lock_class != guard.lock_class or outer is None:
        return None
    if access.fresh or is_setup(access.file, access.node):
        return None
    if is_explained(access.file, access.node) or held.lock_class in caller_classes(
        access.file, outer
    ):
        return None
    return held


# -- a map out of a map ---------------------------------------------------------------


def _taken_out(access: FieldAccess, accesses: list[FieldAccess]) -> Iterator[Finding]:
    variable = _inner_name(access)
    held = _lock(access, accesses) if variable is not None else None
    if variable is None or held is None or held.lock_class is None:
        return
    uses = without(access, variable, held.lock_class)
    if not any(classify(use, variable).kind == "store" for use in uses):
        return
    for other in accesses:
        if other.node.function is access.node.function or other.setup or not other.held:
            continue
        if other.holds(held.lock_class) and (inner := _inner_use(other)) is not None:
            what = "one of the maps of"
            yield found_in_use(access, variable, held, uses, inner, other, what)
            return


def _inner_name(access: FieldAccess) -> Binding | None:
    """Return the variable that gets an element: `group, ok := d.groups[route]`.

    It may be another map later, which the field gets as well: a fresh one.
    """
    element = access.node.parent
    if element is None or element.kind != "index_expression" or access.node.field != "operand":
        return None
    values = element.parent
    statement = values.parent if values is not None else None
    if statement is None or statement.kind != "short_var_declaration":
        return None
    if len(statement["right"].children) != 1:
        return None
    binding = declared_by(statement["left"].children[0])
    if binding is None or not isinstance(access.file.underlying(access.file.type_of(element)), Map):
        return None
    for use in binding.uses:
        if use is not binding.node and classify(use, binding).kind == "write":
            if not _makes_map(use):
                return None
    return binding


def _makes_map(target: Node) -> bool:
    """Return whether a variable gets a map that is made right there."""
    statement = target.statement
    if statement is None or statement.kind != "assignment_statement":
        return False
    values = statement["right"].children
    if len(values) != 1:
        return False
    made = values[0].kind == "call_expression" and values[0]["function"].text == b"make"
    return made or values[0].kind == "composite_literal"


def _inner_use(access: FieldAccess) -> Node | None:
    """Return where the function of an access looks into one of the maps, by a name or without."""
    element = access.node.parent
    if element is None:
        return None
    name: Node | None = None
    if element.kind == "index_expression" and access.node.field == "operand":
        if touches(element):
            return element
        statement = element.parent.parent if element.parent is not None else None
        if statement is not None and statement.kind == "short_var_declaration":
            name = statement["left"].children[0]
    elif element.kind == "range_clause" and access.node.field == "right":
        left = element.get("left")
        name = left.children[1] if left is not None and len(left.children) > 1 else None
    binding = access.file.binding(name) if name is not None else None
    uses = binding.uses if binding is not None else ()
    return next((u for u in uses if touches(u) and u.function is access.node.function), None)


# -- a map that was built here --------------------------------------------------------


def _put_there(place: str, access: FieldAccess, accesses: list[FieldAccess]) -> Iterator[Finding]:
    variable = _put(access)
    held = _lock(access, accesses) if variable is not None else None
    if variable is None or held is None or held.lock_class is None:
        return
    end = access.node.end
    uses = [u for u in without(access, variable, held.lock_class) if u.start > end]
    name = access.node["field"].name if access.node.kind == "selector_expression" else ""
    for change in mutations(access.file.package, place, name or access.node.name) if uses else ():
        if change.kind != "store" or change.initial or not change.under(held.lock_class):
            continue
        if change.node.function is access.node.function or is_setup(change.file, change.node):
            continue
        shown = next((a for a in accesses if change.node.contains(a.node)), None)
        if shown is not None:
            yield found_in_use(access, variable, held, uses, change.node, shown)
            return


def _put(access: FieldAccess) -> Binding | None:
    """Return the local variable whose map a field gets: `r.names = names`."""
    statement = access.node.statement
    if access.kind != "write" or statement is None or statement.kind != "assignment_statement":
        return None
    targets, values = statement["left"].children, statement["right"].children
    if len(targets) != len(values) or statement.up("for_statement") is not None:
        return None
    value = values[next((i for i, t in enumerate(targets) if t is access.node), 0)]
    binding = access.file.binding(value) if value.kind == "identifier" else None
    if binding is None or binding.kind != "variable" or not is_assigned_once(binding):
        return None
    return binding if binding.function is access.node.function else None
