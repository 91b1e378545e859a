"""Order two accesses that a run showed to race

The race detector (or the runtime, about a map) saw two goroutines use one variable at the
same time, one of them to write. `threadmend fix --from` reads such reports; without one,
this rule says nothing. The variable is what both places access, and all of its accesses in
the package are put in order: by the lock that its other accesses or its neighbours hold, by
a new mutex, or for a local variable by a copy, an element, an atomic value. What a function
sets right after it launched the goroutine that uses it is set before the launch instead.

Not reported: places that no variable of the package connects; accesses that hold a common
lock by now.

Unsafe: every function of the package that uses a field or package variable takes the lock.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import BuilderError
from threadmend.golang.evidence import Evidence, evidence_in
from threadmend.golang.field_accesses import FieldAccess, accesses_like
from threadmend.golang.functions import outer_function
from threadmend.golang.guards import guard_of
from threadmend.golang.package import Package
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._atomic_field import atomic_field
from ._guard_edits import put_under_lock
from ._held_guard import lock_form, operation_of, witness
from ._launch_later import launch_later, launched_after
from ._new_lock import guard_fields, guard_variable
from ._racy import Names, Race, top_of
from ._racy_choice import fixes_of
from ._seen import LocalRace, Meeting, is_ordered, local_races, meetings

CATEGORY = "shared-state"


def check(package: Package) -> Iterator[Finding]:
    """Yield a finding for each struct, package variable or local that was seen to race."""
    if not package.workspace.evidence:
        return
    groups: dict[str, list[Meeting]] = {}
    locals_: dict[Node, tuple[LocalRace, Evidence]] = {}
    for evidence in evidence_in(package, "race"):
        found = [m for m in meetings(package, evidence) if not _is_ordered(m)]
        if found:
            groups.setdefault(_owner(found[0]), []).append(found[0])
            continue
        for race in local_races(package, evidence):
            locals_.setdefault(race.binding.node, (race, evidence))
    for group in groups.values():
        yield _finding(package, group)
    names: dict[Node, Names] = {}
    for race, _ in locals_.values():
        top = top_of(race.binding.node)
        yield _local(race, names.setdefault(top, Names.of(race.file, top)))


def _is_ordered(meeting: Meeting) -> bool:
    one, other = meeting.one, meeting.other
    return is_ordered(meeting) or launched_after(one, other) or launched_after(other, one)


def _owner(meeting: Meeting) -> str:
    """Return what shares one lock: the struct of a field, a package variable itself."""
    place = meeting.one.place or ""
    return place if meeting.one.base is None else place.rpartition(".")[0]


# -- fields and package variables -----------------------------------------------------------


def _finding(package: Package, group: list[Meeting]) -> Finding:
    one = group[0].one
    fixes, reason = _fixes(package, group)
    return Finding(
        path=one.file.path,
        start=one.node.start,
        end=one.node.end,
        message=f"{one.node.name} was seen to be accessed by two goroutines at the same time",
        fixes=fixes,
        related=tuple(_related(group)),
        reason=reason,
    )


def _fixes(package: Package, group: list[Meeting]) -> tuple[tuple[Fix, ...], str]:
    """Return the rewrites, best first: a flag becomes atomic, other things get a lock."""
    later = _later(group)
    if later is not None:
        return (later,), ""
    places = {m.one.place for m in group}
    atomic = atomic_field(package, group[0].one) if len(places) == 1 else None
    if atomic is not None and atomic.flag:
        return (atomic.fix,), ""
    try:
        locked = _fix(package, group)
    except BuilderError as error:
        return ((atomic.fix,), "") if atomic is not None else ((), str(error))
    return (locked,) if atomic is None else (locked, atomic.fix), ""


def _later(group: list[Meeting]) -> Fix | None:
    """Return the fix that launches a goroutine when all that it was seen to race with is set.

    A lock would end the race, but let the goroutine go on with what is not set yet.
    """
    sides = [[(m.one, m.other) for m in group], [(m.other, m.one) for m in group]]
    for pairs in (sides[0], sides[1]):
        found = launch_later(pairs)
        if found is not None:
            return found
    return None


def _related(group: list[Meeting]) -> Iterator[Related]:
    seen = {group[0].one.node}
    for meeting in group:
        for access in (meeting.one, meeting.other):
            if access.node not in seen:
                seen.add(access.node)
                word = "written" if access.writes else "read"
                place = (access.file.path, access.node.start, access.node.end)
                yield Related(*place, f"{word} at the same time here")


def _fix(package: Package, group: list[Meeting]) -> Fix:
    """Return the fix for all races of one struct or variable."""
    unique = {m.one.place: m.other if m.one.file.is_test else m.one for m in group}
    if all(access.file.is_test for access in unique.values()):
        raise BuilderError("only tests access it")
    tops = {outer_function(a.node) for m in group for a in (m.one, m.other)}
    seen = [a for m in group for a in (m.one, m.other)]
    guarded = [_by_guard(package, access, seen) for access in unique.values()]
    if all(fix is not None for fix in guarded):
        known = [fix for fix in guarded if fix is not None]
        edits = tuple(dict.fromkeys(edit for fix in known for edit in fix.edits))
        reason = next((fix.reason for fix in known if fix.reason), "")
        safety = Safety.UNSAFE if reason else Safety.SAFE
        return Fix(known[0].title, edits, safety, reason)
    first = next(iter(unique.values()))
    if first.base is None:
        return guard_variable(package, first, tops, seen)
    return guard_fields(package, list(unique.values()), tops, seen)


def _by_guard(package: Package, access: FieldAccess, seen: list[FieldAccess]) -> Fix | None:
    """Return the fix that takes the lock which other accesses of the place hold already.

    What was `seen` to race needs it, even where it looks like set-up.
    """
    accesses = accesses_like(package, access.file, access.node)
    guard = guard_of(accesses, written=False)
    if guard is None or not guard.locked:
        return None
    operation = operation_of(witness(guard.locked), guard.lock_class)
    if operation is None:
        return None
    if any(_only_reads(a, guard.lock_class) for a in guard.locked if a.writes):
        raise BuilderError(f"{access.node.name} is written while {operation.lock.name} is only "
                           "held for reading")  # fmt: skip
    groups: dict[Node, list[FieldAccess]] = {}
    bare = [a for a in seen if a.place == access.place and not a.holds(guard.lock_class)]
    for one in dict.fromkeys([*(a for a in guard.unlocked if not a.setup), *bare]):
        if one.node.function is not None:
            groups.setdefault(one.node.function, []).append(one)
    edits: list[Edit] = []
    reason = ""
    for function, group in groups.items():
        reads = not any(a.writes for a in group)
        lock = lock_form(group[0].file, group[0].base, guard.lock_class, operation, reads=reads)
        if lock is None:
            raise BuilderError("the lock has no name where it is missing")
        nodes = [a.node for a in group]
        together = len(nodes) > 1 and not reads
        more, why = put_under_lock(group[0].file, function, nodes, lock, together=together)
        edits += more
        reason = reason or why
    if not edits:
        raise BuilderError("every access that could take the lock holds it")
    name = operation.lock.name
    safety = Safety.UNSAFE if reason else Safety.SAFE
    return Fix(f"Hold {name} at every access", tuple(edits), safety, reason)


def _only_reads(access: FieldAccess, lock_class: str) -> bool:
    modes = {held.mode for held in access.held if held.lock_class == lock_class}
    return "write" not in modes


# -- local variables ------------------------------------------------------------------------


def _local(seen: LocalRace, names: Names) -> Finding:
    type_ = seen.file.package.workspace.inference.binding_type(seen.binding)
    racing = [a for a in seen.accesses if any(a is x or a is y for x, y in seen.pairs)]
    race = Race(
        seen.file, seen.binding, type_, seen.accesses, racing, seen.pairs, names, shown=True
    )
    fixes, reason = fixes_of(race)
    one, other = seen.pairs[0]
    related: tuple[Related, ...] = ()
    if other is not one:
        word = "written" if other.writes else "read"
        place = (other.target.start, other.target.end)
        related = (Related(seen.file.path, *place, f"{word} at the same time here"),)
    return Finding(
        path=seen.file.path,
        start=one.target.start,
        end=one.target.end,
        message=f"{seen.binding.name} was seen to be accessed by two goroutines at the same time",
        fixes=fixes,
        related=related,
        reason="" if fixes else reason,
    )
