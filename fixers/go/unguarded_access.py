"""Hold the lock that guards a field wherever the field is used

The field (or package variable) is accessed under one and the same lock nearly everywhere,
and here without it; or goroutines whose launch is visible write it at the same time, and
others take the lock. Likewise a call of a function that all other callers enter with the
lock held, a map that is read from its field under the lock and looked into later, and a look
before the lock that is repeated under it (double-checked locking). The lock protects only
those who take it: this access may see a value half written, or lose an update that another
goroutine makes at the same moment. The Go memory model promises nothing about such a program.

Not reported:
- constructors, set-up and tear-down code (`new…`, `init…`, `start…`, `close…` and what only
  they call), objects made in the function, local copies, tests;
- functions that some caller enters with the lock held, or whose name or comment speaks of
  locks, goroutines or races (`…Locked`, "the caller must hold mu");
- code that holds another lock; the one function that writes, when it reads;
- functions passed on as values, whose caller may hold the lock, and methods that loggers and
  decoders call;
- methods that make their whole object as new (`Reset`), for its next user;
- what is read before all that writes it is called or launched, or when a flag that is set once,
  with it, was found to be set; a map that is handed to a function which takes the lock;
- what a function reads that it clears itself when the others set it only while it is nil.

Hints only: what the project's tests alone call, plain writes in functions that begin something
(`Load…`, `Restore…`) to which no goroutine comes, and what a small majority alone speaks against
in unexported functions that do not take the lock themselves: writes, and reads of what is written
without the lock elsewhere, too.

Unsafe: when the function takes another lock too, or when something else runs under the new
lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from threadmend.golang.awaited import awaited_under
from threadmend.golang.awaited_flags import is_handed_over_by_flag
from threadmend.golang.belief import Suspect, suspects
from threadmend.golang.builders import with_reason
from threadmend.golang.empty_sections import is_behind_empty_section
from threadmend.golang.entrusted import lapses
from threadmend.golang.field_accesses import accesses_like
from threadmend.golang.file import GoFile
from threadmend.golang.guards import guard_of
from threadmend.golang.lock_helpers import leaves_locked
from threadmend.golang.lock_operations import is_wrapped
from threadmend.golang.other_locks import is_of_another_struct
from threadmend.golang.package import Package
from threadmend.golang.races import shared_writes
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Finding, Fix, Related, Safety

from ._double_checked import double_checked
from ._entered_by import Entry, entries, entry_fix
from ._entrusted import called_without
from ._guard_edits import LockForm, put_under_lock
from ._held_guard import form_of_helpers, lock_form, operation_of, witness
from ._left_out import found_by_encounter, left_out
from ._map_kept import maps_kept
from ._map_shared import maps_shared

CATEGORY = "shared-state"
GATE = rb"\.R?Lock\(\)"


def check(package: Package) -> Iterator[Finding]:
    """Yield the accesses that lack the lock under which the others are made."""
    twice = list(double_checked(package))
    yield from (finding for _, finding in twice)
    looks = {node for nodes, _ in twice for node in nodes}
    believed = [s for s in suspects(package) if s.access.node not in looks]
    known = looks | {s.access.node for s in believed}
    shown = [s for s in _shown(package) if s.access.node not in known]
    known.update(s.access.node for s in shown)
    shown += [s for s in _unlocked_side(package) if s.access.node not in known]
    open_calls = list(lapses(package))
    entered = {lapse.callee.node for lapse in open_calls}
    every = [s for s in (*believed, *shown) if _function(s) not in entered]
    every = [s for s in every if not _is_released_above(s)]
    places = [list(g) for _, g in groupby(sorted(every, key=_place), key=_place)]
    beside: dict[tuple[Node, str], list[list[Suspect]]] = {}
    for place in places:
        key = (_function(place[0]), place[0].guard.lock_class)
        beside.setdefault(key, []).append(place)
    entered_by = entries(beside)
    for place in places:
        key = (_function(place[0]), place[0].guard.lock_class)
        entry = entered_by.get(key)
        yield _finding(place[0].access.file, place, beside[key], _entry_fix(entry, beside))
    lacking = {_function(s[0]) for s in places}
    for lapse in open_calls:
        if lapse.calls[0].node.function not in lacking:
            yield called_without(lapse)
    yield from _met(package, {*known, *(s.access.node for s in shown)})
    yield from maps_kept(package)
    yield from maps_shared(package)


def _shown(package: Package) -> Iterator[Suspect]:
    """Yield the unlocked writes that goroutines are seen to make where a lock is at hand.

    With them goes what else the same function does to the place.
    """
    for write in shared_writes(package):
        accesses = accesses_like(package, write.access.file, write.access.node)
        guard = guard_of(accesses, written=False)
        if guard is None or not guard.locked:
            continue
        if is_of_another_struct(guard.locked[0], guard.lock_class):
            continue
        if all(leaves_locked(a.file, a.node, guard.lock_class) for a in guard.locked):
            continue  # whoever ends the section may wait for this goroutine meanwhile
        root = write.crowd.root
        if awaited_under(package.workspace.file_of(root), root, guard.lock_class):
            continue
        function = write.access.node.function
        for access in guard.unlocked:
            if access.node.function is not function or access.held_here:
                continue
            if not is_handed_over_by_flag(access, guard):
                yield Suspect(write.place, access, guard, Confidence.HIGH)


def _unlocked_side(package: Package) -> Iterator[Suspect]:
    """Yield the accesses without a lock that meet a goroutine's under the lock."""
    for _, _, bare, held in left_out(package):
        for access in accesses_like(package, bare.file, bare.node):
            if access.node is bare.node:
                guard = guard_of(accesses_like(package, bare.file, bare.node), written=False)
                if guard is not None and guard.lock_class == held.lock_class and guard.locked:
                    if access in guard.unlocked and not access.fresh:
                        yield Suspect(bare.place, access, guard, Confidence.HIGH)


def _met(package: Package, known: set[Node]) -> Iterator[Finding]:
    """Yield what only the encounter shows: nobody who takes the lock touches the place itself."""
    for encounter, locked, bare, held in left_out(package):
        if bare.node not in known:
            finding = found_by_encounter(encounter, locked, bare, held)
            if finding is not None:
                known.add(bare.node)
                yield finding


def _place(suspect: Suspect) -> tuple[str, str, int]:
    return (suspect.place, suspect.access.file.path, _function(suspect).start)


def _is_released_above(suspect: Suspect) -> bool:
    """Return whether go/empty-critical-section holds the lock for this access, and for others."""
    access = suspect.access
    return is_behind_empty_section(access.file, access.node, suspect.guard.lock_class)


def _function(suspect: Suspect) -> Node:
    function = suspect.access.node.function
    assert function is not None
    return function


def _form(group: list[Suspect]) -> LockForm | None:
    """Return the lock as the function of a group names it."""
    guard = group[0].guard
    shown = witness(guard.locked)
    operation = operation_of(shown, guard.lock_class)
    if operation is None:
        return form_of_helpers(group[0].access.base, shown, guard.lock_class)
    reads = not any(s.access.writes for s in group)
    first = group[0].access
    return lock_form(first.file, first.base, guard.lock_class, operation, reads=reads)


def _entry_fix(
    entry: Entry | None, beside: dict[tuple[Node, str], list[list[Suspect]]]
) -> Fix | None:
    """Return the fix by which the one caller without the lock takes it for its helpers."""
    if entry is None:
        return None
    group = beside[entry.function, entry.lock_class][0]
    lock = _form(group)
    if lock is None:
        return None
    return entry_fix(group[0].access.file, entry, LockForm(lock.name, lock.lock_class))[0]


def _finding(
    file: GoFile, group: list[Suspect], beside: list[list[Suspect]], entered: Fix | None
) -> Finding:
    """Build the finding of a place in a function; `beside` are all that lack the same lock.

    `entered`: the fix of a function further up that takes the lock for this one.
    """
    first = group[0]
    guard, node = first.guard, first.access.node
    shown = witness(guard.locked)
    operation = operation_of(shown, guard.lock_class)
    lock = _form(group)
    fix, reason = None, "the lock has no name here"
    if lock is not None:
        fix, reason = _fix(file, group, lock)
        if entered is not None:
            fix, reason = entered, ""
        elif len(beside) > 1:
            fix = _one_section(file, beside, lock, fix) or fix
    count = len(guard.locked)
    name = lock.name if lock is not None else guard.lock_class.rpartition(".")[2]
    if operation is not None and operation.via and not is_wrapped(guard.lock_class):
        name = f"the lock of {name}"
    verb = "written" if any(s.access.writes for s in group) else "read"
    others = f"{count} other accesses hold" if count > 1 else "the other access holds"
    return Finding(
        path=file.path,
        start=node.start,
        end=node.end,
        message=f"{node.name} is {verb} without {name}, which {others}",
        fixes=(fix,) if fix is not None else (),
        related=(
            Related(
                shown.file.path,
                shown.node.start,
                shown.node.end,
                f"{'written' if shown.writes else 'read'} under the lock here",
            ),
        ),
        reason=reason,
        confidence=first.confidence,
    )


@with_reason
def _fix(file: GoFile, group: list[Suspect], lock: LockForm) -> Fix:
    nodes = list(dict.fromkeys(s.access.node for s in group))
    together = len(nodes) > 1 and any(s.access.writes for s in group)
    edits, reason = put_under_lock(file, _function(group[0]), nodes, lock, together=together)
    safety = Safety.UNSAFE if reason else Safety.SAFE
    return Fix(f"Call {lock.take.removesuffix('()')} around the access", edits, safety, reason)


def _one_section(
    file: GoFile, groups: list[list[Suspect]], lock: LockForm, alone: Fix | None
) -> Fix | None:
    """Return a fix that puts several fields' accesses into one section, None without a good one.

    All findings of the function bring the same one.
    """
    forms = [_form(group) for group in groups]
    if any(form is None or form.name != lock.name for form in forms):
        return None
    every = sorted((s for group in groups for s in group), key=lambda s: s.access.node.start)
    read = all(form is not None and form.read for form in forms)
    fix, _ = _fix(file, every, LockForm(lock.name, lock.lock_class, read))
    if fix is None or (fix.safety is not Safety.SAFE and alone is not None):
        return None
    return fix
