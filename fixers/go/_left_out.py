"""What go/unguarded-access says about encounters: one takes the lock, and the other does not.

    func (c *cache) sweep() { c.mu.Lock(); …; c.entries = kept }    // in a goroutine

    c := New()               →   c := New()
    c.list.Print()               c.mu.Lock()
                                 c.list.Print()
                                 c.mu.Unlock()

The goroutine's lock is looked for along the path of the other one: in the innermost function
that has the lock's object by name, at last in the function that both come from.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import Access
from threadmend.golang.awaited_flags import is_handed_over_by_flag
from threadmend.golang.builders.regions import Region, surround
from threadmend.golang.callers_locks import caller_classes
from threadmend.golang.effects import effects_of
from threadmend.golang.encounters import Encounter, encounters
from threadmend.golang.field_accesses import accesses_like
from threadmend.golang.file import GoFile
from threadmend.golang.functions import outer_function
from threadmend.golang.guards import guard_of
from threadmend.golang.lock_helpers import leaves_locked
from threadmend.golang.lock_operations import ordered
from threadmend.golang.locks import Held
from threadmend.golang.package import Package
from threadmend.golang.preparing import may_be_held
from threadmend.golang.races import explained
from threadmend.golang.scope import Binding, bindings_in
from threadmend.golang.spoken import speaks_of_locks
from threadmend.golang.syntax import Node
from threadmend.golang.targets import targets
from threadmend.golang.touches import Touch
from threadmend.golang.wording import translated
from threadmend.model import Finding, Fix, Related, Safety

__all__ = ["found_by_encounter", "left_out"]


def left_out(package: Package) -> Iterator[tuple[Encounter, Touch, Touch, Held]]:
    """Yield the encounters in which one side holds a lock of the object and the other none."""
    for encounter in encounters(package):
        for locked, bare in (
            (encounter.one, encounter.other),
            (encounter.other, encounter.one),
        ):
            if locked.in_channel or bare.in_channel:
                continue
            if locked.locks and not bare.locks and not _is_explained(bare):
                held = _own_lock(locked)
                if held is None or _is_entered(bare, held) or _is_handed_over(package, bare):
                    continue
                # Whoever ends a section that goes on may wait for the other goroutine meanwhile.
                if not leaves_locked(locked.file, locked.node, held.lock_class):
                    yield encounter, locked, bare, held


def _is_handed_over(package: Package, bare: Touch) -> bool:
    """Return whether a flag tells that the access has the place for itself by then."""
    accesses = accesses_like(package, bare.file, bare.node)
    guard = guard_of(accesses, written=False)
    return guard is not None and any(
        access.node is bare.node and is_handed_over_by_flag(access, guard) for access in accesses
    )


def _is_explained(bare: Touch) -> bool:
    """Return whether the access, or a function on the way to it, says why there is no lock.

    "mu must be held": what the callers hold is not always certain.
    """
    if explained(bare.file, bare.node) or may_be_held(bare.file, bare.node):
        return True
    functions = {outer_function(n) for n in bare.path[1:]}
    return any(
        f is not None and speaks_of_locks(bare.file.package.workspace.file_of(f), f)
        for f in functions
    )


def _is_entered(bare: Touch, held: Held) -> bool:
    """Return whether some caller of a function on the way to the access holds the lock."""
    functions = [outer_function(n) for n in bare.path]
    workspace = bare.file.package.workspace
    return any(
        function is not None
        and held.lock_class in caller_classes(workspace.file_of(function), function)
        for function in functions
    )


def _own_lock(touch: Touch) -> Held | None:
    """Return the lock of an object that the path of a touch leads through."""
    found = [
        h
        for h in ordered(touch.held)
        if h.access.owner is not None and touch.access.under(h.access.owner)
    ]
    return max(found, key=lambda h: len(h.access.steps), default=None)


def found_by_encounter(
    encounter: Encounter, locked: Touch, bare: Touch, held: Held
) -> Finding | None:
    """Return the finding for an access that the lock's owner has no part in."""
    place = _frame(encounter.file, bare, held)
    if place is None:
        return None
    file, node, lock = place
    fix, reason = _fix(file, node, lock, held, bare)
    verb = "written" if bare.writes else "read"
    what = bare.node.name.rpartition(".")[2]
    return Finding(
        path=file.path,
        start=node.start,
        end=node.end,
        message=f"{what} is {verb} without {lock}, which a goroutine holds at the same time",
        fixes=(fix,) if fix is not None else (),
        related=(
            Related(
                locked.node.path,
                locked.node.start,
                locked.node.end,
                f"{'written' if locked.writes else 'read'} under the lock here",
            ),
        ),
        reason=reason,
    )


def _frame(file: GoFile, touch: Touch, held: Held) -> tuple[GoFile, Node, str] | None:
    """Return the innermost place on a touch's way where the lock has a name: `s.mu`."""
    best = None
    known: dict[Binding, Access] = {}
    for node in touch.path:
        name = _name_of(held, known, node)
        if name is not None:
            best = (file, node, name)
        if node is touch.node:
            break
        target = targets(file, node).certain
        if target is None:
            break
        inner: dict[Binding, Access] = {}
        for group in bindings_in(target.node).values():
            for binding in group:
                if binding.kind in {"receiver", "parameter"}:
                    given = translated(file, node, target.node, Access(binding))
                    if given is not None and isinstance(given.root, Binding) and known:
                        base = known.get(given.root)
                        given = Access(base.root, base.steps + given.steps) if base else None
                    if given is not None:
                        inner[binding] = given
        file, known = target.file, inner
    return best


def _name_of(held: Held, known: dict[Binding, Access], node: Node) -> str | None:
    """Return how a lock is written at a node, where `known` says what the variables mean."""
    owner = held.access.owner
    if owner is None or any(s.startswith("[") for s in held.access.steps):
        return None
    if not known:
        return str(held.access) if isinstance(held.access.root, Binding) else None
    for binding, access in known.items():
        if held.access.under(access) and binding.name != "_":
            return ".".join([binding.name, *held.access.steps[len(access.steps) :]])
    return None


def _fix(file: GoFile, node: Node, lock: str, held: Held, touch: Touch) -> tuple[Fix | None, str]:
    statement = node.statement
    if statement is None or statement.kind not in _SIMPLE:
        return None, "the access is a part of a larger statement"
    target = targets(file, node).certain if node.kind == "call_expression" else None
    if target is not None:
        for event in effects_of(target):
            if event.kind == "acquire" and event.lock_class == held.lock_class:
                return None, f"the call takes {lock} itself at another place"
            if event.kind == "block":
                return None, "the call waits"
    read = not touch.writes and _is_rw(file, node, held)
    take, give = ("RLock", "RUnlock") if read else ("Lock", "Unlock")
    edits = surround([Region(statement, statement, f"{lock}.{take}()", f"{lock}.{give}()")])
    reason = "the whole statement runs under the lock"
    return Fix(f"Call {lock}.{take} around the access", tuple(edits), Safety.UNSAFE, reason), ""


_SIMPLE = frozenset(
    {"expression_statement", "assignment_statement", "inc_statement", "dec_statement"}
)


def _is_rw(file: GoFile, node: Node, held: Held) -> bool:
    """Return whether the lock is one that readers share, told by the struct that declares it."""
    owner, _, name = (held.lock_class or "").rpartition(".")
    decl = file.package.lookup(owner.rpartition(".")[2])
    if decl is None or decl.kind != "type":
        return False
    for field in decl.node.find("field_declaration"):
        names = [n.name for n in field.all("name")]
        type_ = field.get("type")
        if type_ is not None and type_.text == b"sync.RWMutex" and name in (names or ["RWMutex"]):
            return True
    return False
