"""What two places that were seen to race have in common: a field, a variable, a local."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.captured import CapturedAccess, accesses_of, conflict
from threadmend.golang.evidence import Evidence, Site, nodes_at
from threadmend.golang.field_accesses import FieldAccess, accesses_like
from threadmend.golang.file import GoFile
from threadmend.golang.infer import is_decl
from threadmend.golang.locks import held_at
from threadmend.golang.ordering import Ordering
from threadmend.golang.package import Package
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan, Map, Named, Pointer, deref

__all__ = ["LocalRace", "Meeting", "is_ordered", "local_races", "meetings"]

_SHARED = frozenset({"sync", "sync/atomic", "go.uber.org/atomic"})


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two accesses of one field or package variable that were seen at the same time."""

    one: FieldAccess
    other: FieldAccess


def meetings(package: Package, evidence: Evidence) -> list[Meeting]:
    """Return the places that both sites access, the likeliest first."""
    sides = [list(_accesses(package, site)) for site in evidence.sites[:2]]
    if len(sides) == 1:
        maps = [a for a in sides[0] if _is_map(a)]
        sides = [maps, [b for a in maps for b in _writers(package, a)]]
    found = [
        Meeting(one, other)
        for one in sides[0]
        for other in sides[1]
        if one.place == other.place and (_may_write(one) or _may_write(other))
    ]
    return sorted(found, key=lambda m: _likelihood(m, evidence))


def _accesses(package: Package, site: Site) -> Iterator[FieldAccess]:
    if site.path not in package.file_paths:
        return
    file = package.workspace.file(site.path)
    for node in nodes_at(file, site.line, "selector_expression", "identifier"):
        if node.field == "field" or not _is_shared(file, node):
            continue
        if file.is_test:  # these are nobody's witnesses, and were seen nevertheless
            yield FieldAccess.at(file, node)
            continue
        for access in accesses_like(package, file, node):
            if access.node is node:
                yield access


def _is_shared(file: GoFile, node: Node) -> bool:
    if node.kind == "identifier":
        if not is_decl(file.resolve(node), "var"):
            return False
    else:
        selection = file.selection(node)
        if selection is None or selection.kind != "field" or selection.owner is None:
            return False
        if selection.owner.package != file.package.key:
            return False
    type_ = file.type_of(node)
    named = deref(type_)
    if isinstance(file.underlying(type_), Chan):
        return False
    return not (isinstance(named, Named) and named.package in _SHARED)


def _is_map(access: FieldAccess) -> bool:
    return isinstance(access.file.underlying(access.file.type_of(access.node)), Map)


def _writers(package: Package, access: FieldAccess) -> list[FieldAccess]:
    """Return who may have met an access of a map: another write, else itself."""
    like = accesses_like(package, access.file, access.node)
    writes = [a for a in like if a.writes and not a.fresh]
    return writes[:1] or [access]


def _may_write(access: FieldAccess) -> bool:
    return access.writes or access.kind in {"address", "call"}


def _likelihood(meeting: Meeting, evidence: Evidence) -> tuple[bool, int, int, int]:
    """Return the key that puts the place first that fits what was reported best.

    Whoever is said to write writes; then whole variables before their parts.
    """
    doing = [site.doing for site in evidence.sites[:2]]
    sides = (meeting.one, meeting.other)
    fits = all(
        _may_write(access) for access, did in zip(sides, doing, strict=False) if did == "write"
    )
    size = meeting.one.node.end - meeting.one.node.start
    return (not fits, size, meeting.one.node.start, meeting.other.node.start)


def is_ordered(meeting: Meeting) -> bool:
    """Return whether both accesses hold one lock, whoever writes exclusively."""
    sides = (meeting.one, meeting.other)
    locks = [
        {h.lock_class for h in side.held if h.lock_class and (h.mode == "write" or not side.writes)}
        for side in sides
    ]
    return bool(locks[0] & locks[1])


# -- local variables ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LocalRace:
    """A local variable that both sites access: all accesses, and the pairs that may meet."""

    file: GoFile
    binding: Binding
    accesses: list[CapturedAccess]
    pairs: list[tuple[CapturedAccess, CapturedAccess]]


def local_races(package: Package, evidence: Evidence) -> Iterator[LocalRace]:
    """Yield the local variables that both sites access, one of them to write."""
    sites = evidence.sites[:2]
    paths = {site.path for site in sites}
    if len(paths) != 1 or not paths <= set(package.file_paths):
        return
    file = package.workspace.file(sites[0].path)
    sides = [_bindings(file, site) for site in sites]
    for binding in sides[0]:
        if binding in sides[-1]:
            race = _race_on(file, binding, sites[0], sites[-1])
            if race is not None:
                yield race
                return


def _bindings(file: GoFile, site: Site) -> dict[Binding, None]:
    found: dict[Binding, None] = {}
    for node in nodes_at(file, site.line, "identifier"):
        binding = file.binding(node)
        if isinstance(binding, Binding) and binding.kind in {"variable", "result", "parameter"}:
            found[binding] = None
    return found


def _locked_together(file: GoFile, one: CapturedAccess, other: CapturedAccess) -> bool:
    ours, theirs = ({h.access for h in held_at(file, a.node)} for a in (one, other))
    return bool(ours & theirs)


def _is_elsewhere(
    file: GoFile, binding: Binding, pairs: list[tuple[CapturedAccess, CapturedAccess]]
) -> bool:
    """Return whether the memory may be another than the variable: each call has its own.

    What a parameter or receiver points to; a variable that no function literal captures.
    """
    if all(a.node.function is binding.function for pair in pairs for a in pair):
        return True
    if not any(a.steps for pair in pairs for a in pair):
        return False
    type_ = file.underlying(file.package.workspace.inference.binding_type(binding))
    return type_ is None or (binding.kind == "parameter" and isinstance(type_, Pointer))


def _race_on(file: GoFile, binding: Binding, one: Site, other: Site) -> LocalRace | None:
    accesses = accesses_of(file, binding)
    if accesses is None:
        return None
    line = file.source.line_of
    first = [a for a in accesses if line(a.node.start) == one.line]
    second = [a for a in accesses if line(a.node.start) == other.line]
    pairs = [
        (a, b) if a.writes else (b, a)
        for a in first
        for b in second
        if conflict(file, binding, a, b) and not _locked_together(file, a, b)
    ]
    if not pairs or binding.function is None or _is_elsewhere(file, binding, pairs):
        return None
    order = Ordering(file, binding)
    for a in accesses:
        for b in accesses:
            if a.writes and a.inside and conflict(file, binding, a, b):
                if any(order.concurrent(x, y) for x in a.places or () for y in b.places or ()):
                    pairs.append((a, b))
    seen: set[tuple[int, int]] = set()
    unique = []
    for a, b in pairs:
        key = (a.node.start, b.node.start)
        if key not in seen:
            seen.add(key)
            unique.append((a, b))
    return LocalRace(file, binding, accesses, unique)
