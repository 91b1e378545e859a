"""Mutex: every access that races is made under one lock, declared beside the variable.

    xs = append(xs, load(k))      →      value := load(k)
                                         mu.Lock()
                                         xs = append(xs, value)
                                         mu.Unlock()

Sound: the new lock is known to these statements alone, is never held while another
statement takes it, and is given back before the statement after; what may take long is done
before the lock is taken. Where that is not so, the fix says that it is unsafe.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from threadmend.golang.builders import BuilderError, add_import, insert_at_start, with_reason
from threadmend.golang.builders.lines import first_on_line, leading_start, line_indent
from threadmend.golang.builders.regions import Region, surround
from threadmend.golang.captured import CapturedAccess
from threadmend.golang.locks import held_at
from threadmend.golang.ordering import declaring_statement
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Fix, Safety

from ._racy import Guarded, NewLock, Race
from ._racy_publish import published
from ._racy_statements import guarded, is_brief, reads_once

_GROUP = b"sync.WaitGroup"


@dataclass(slots=True)
class _Plan:
    race: Race
    lock: str
    edits: list[Edit] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    reason: str = ""


@with_reason
def by_mutex(race: Race) -> Fix:
    """Return the fix that locks, or the reason why none is offered."""
    plan = _plan(race)
    title = f"Guard {race.name} with {plan.lock}"
    safety = Safety.UNSAFE if plan.reason else Safety.SAFE
    return Fix(title, tuple(dict.fromkeys(plan.edits)), safety, plan.reason)


def _plan(race: Race) -> _Plan:
    """Return the edits, with the lock of another variable of the same declaration if that fits.

    No statement may need both: it would take the lock twice.
    """
    bare, held = _lock(race)
    beside = declaring_statement(race.binding) if held is None else None
    if not all(_is_run_here(race, a.node) for a in bare):
        beside = None  # a call under the lock might come to it
    others = race.names.locks.get(beside) if beside is not None else None
    if others is not None:
        plan = _with(race, others.name, bare, held, others.above)
        spans = _spans(plan)
        if not any(a < d and c < b for a, b in spans for c, d in others.spans) and not any(
            "defer " in region.before for region in plan.regions
        ):
            others.spans.extend(spans)
            return plan
    plan = _with(race, held or race.names.free("mu"), bare, held)
    if beside is not None and others is None:
        race.names.locks[beside] = NewLock(plan.lock, race.binding, _spans(plan))
    return plan


def _is_run_here(race: Race, node: Node) -> bool:
    """Return whether a node is in the variable's own function or in what that launches."""
    function = node.function
    if function is None or function is race.binding.function:
        return True
    return any(strand.body is function for strand in race.strands)


def _spans(plan: _Plan) -> list[tuple[int, int]]:
    """Return where a plan takes its lock."""
    edits = [(e.start, e.end) for e in plan.edits if e.start != e.end]
    regions = [(r.first.start, r.last.end) for r in plan.regions if plan.lock + ".Lock" in r.before]
    return edits + regions


def _with(
    race: Race,
    lock: str,
    bare: list[CapturedAccess],
    held: str | None,
    above: Binding | None = None,
) -> _Plan:
    plan = _Plan(race, lock)
    kept, literals = published(race, lock)
    for one in kept:
        _add(plan, one)
    left = [a for a in bare if not any(body.contains(a.node) for body in literals)]
    statements = _statements(race, left)
    found = [guarded(race, lock, at, accesses) for at, accesses in statements]
    for one in _merged(found):
        _add(plan, one)
    if held is None:
        _declare(plan, above or race.binding)
    plan.edits += surround(plan.regions)
    return plan


def _add(plan: _Plan, one: Guarded) -> None:
    plan.edits += one.edits
    plan.regions += one.regions
    plan.reason = plan.reason or one.reason


# -- the lock -------------------------------------------------------------------------


def _lock(race: Race) -> tuple[list[CapturedAccess], str | None]:
    """Return the racing accesses that need a lock, and the name of the one that is there.

    When some of them hold a lock already, or others that goroutines make, that one is taken.
    """
    bare = [a for a in race.racing if not _locks(race, a)]
    holding = [a for a in race.accesses if _locks(race, a) and (a.inside or a in race.racing)]
    if not holding:
        return bare, None
    common = set.intersection(*(_locks(race, a) for a in holding))
    if not common or not bare:
        raise BuilderError("the accesses hold different locks")
    name = min(common)
    first = name.split(".")[0]
    for access in bare:
        if not _visible(race, first, holding[0].node, access.node):
            raise BuilderError(f"{name} is not visible at every access")
    return bare, name


def is_partly_locked(race: Race) -> bool:
    """Return whether some access of a goroutine holds a lock of the function already."""
    return any(a.inside and _locks(race, a) for a in race.accesses)


def _locks(race: Race, access: CapturedAccess) -> set[str]:
    found = set()
    for place in access.places or ():
        for level in place.levels:
            for held in held_at(race.file, level.node):
                if isinstance(held.access.root, Binding):
                    found.add(str(held.access))
    return found


def _visible(race: Race, name: str, there: Node, here: Node) -> bool:
    """Return whether a name means the same variable at two places."""
    from threadmend.golang.scope import bindings_in

    def lookup(at: Node) -> Binding | None:
        for scope in at.ancestors():
            for binding in reversed(bindings_in(scope).get(name, [])):
                if binding.visible <= at.start:
                    return binding
        return None

    return lookup(there) is lookup(here)


def _declare(plan: _Plan, variable: Binding) -> None:
    """Declare the lock above a variable, or before the first statement that takes it.

    All whose lock it is declare it above the same one, so that these edits are one.
    """
    race = plan.race
    code = f"var {plan.lock} sync.Mutex"
    statement = declaring_statement(race.binding)
    spec = variable.node.up("var_spec")
    if statement is None:
        function = race.binding.function
        body = function.get("body") if function is not None else None
        if body is None:
            raise BuilderError("the function has no body")
        statement = _first_use(race, body)
        if statement is None:
            plan.edits += insert_at_start(body, code)
    if statement is not None and spec is not None and _is_listed(spec):
        at = leading_start(spec.tree, spec.start)
        line = line_indent(spec.tree, spec.start) + f"{plan.lock} sync.Mutex".encode()
        plan.edits.append(Edit(spec.path, at, at, line + spec.tree.source.newline))
    elif statement is not None:
        plan.regions.insert(0, Region(statement, statement, code))
    if race.file.imported("sync") not in {None, "sync"} or (
        race.file.imported("sync") is None and "sync" in race.names.taken
    ):
        raise BuilderError("the name sync is taken")
    plan.edits += add_import(race.file.tree, "sync")


def _is_listed(spec: Node) -> bool:
    """Return whether a variable is declared on a line of its own in `var (…)`."""
    above = spec.parent
    return (
        above is not None
        and above.kind == "var_spec_list"
        and first_on_line(spec.tree, spec.start)
        and not first_on_line(spec.tree, above.start)
    )


def _first_use(race: Race, body: Node) -> Node | None:
    """Return the statement of a body where the lock of a named result or parameter is declared.

    Beside the WaitGroup of the goroutines, if it is declared right above; None where the
    statement has to be put under the lock itself.
    """
    for statement in body.statements:
        inside = [a.node for a in race.racing if statement.contains(a.node)]
        if not inside:
            continue
        if any(node.statement is statement for node in inside):
            return None
        above = next((s for s in body.statements if s.next is statement), None)
        if above is None or above.kind != "var_declaration" or _GROUP not in above.text:
            return statement
        return above
    return None


# -- the statements -------------------------------------------------------------------


def _statements(race: Race, bare: list[CapturedAccess]) -> list[tuple[Node, list[CapturedAccess]]]:
    """Return the statements that have to hold the lock, each with its accesses."""
    if any(a.node.kind == "return_statement" for a in race.racing):
        raise BuilderError(f"the function may return while the goroutine still writes {race.name}")
    if not race.shown and any(a.places is None for a in race.accesses if a.writes):
        raise BuilderError(f"a function that is passed on writes {race.name} too")
    found: dict[Node, list[CapturedAccess]] = {}
    for access in bare:
        statement = access.node.statement
        if statement is None:
            raise BuilderError("an access is in no statement")
        found.setdefault(statement, []).append(access)
    ordered = sorted(found.items(), key=lambda item: (item[0].start, -item[0].end))
    kept: list[tuple[Node, list[CapturedAccess]]] = []
    whole: list[Node] = []
    for statement, accesses in ordered:
        if any(outer.contains(statement) for outer in whole):
            continue
        if reads_once(race, statement):
            accesses = [a for a in bare if statement.contains(a.node)]
        kept.append((statement, accesses))
        if covers(race, statement):
            whole.append(statement)
    return kept


def covers(race: Race, statement: Node) -> bool:
    """Return whether a compound statement is put under the lock as a whole, or looks once."""
    if reads_once(race, statement):
        return True
    compound = statement.kind in {"if_statement", "for_statement", "expression_switch_statement"}
    return compound and is_brief(race, statement)


def _merged(found: list[Guarded]) -> list[Guarded]:
    """Put statements that follow one another into one critical section."""
    merged: list[Guarded] = []
    for one in found:
        last = merged[-1] if merged else None
        if last is not None and last.plain and one.plain:
            ours, theirs = last.regions[0], one.regions[0]
            if ours.last.next is theirs.first and ours.after and ours.last.parent is not None:
                region = Region(ours.first, theirs.last, ours.before, theirs.after)
                reason = last.reason or one.reason
                both = Guarded([*last.edits, *one.edits], [region], reason, one.plain)
                merged[-1] = both
                continue
        merged.append(one)
    return merged
