"""Order the accesses of a variable that goroutines share.

A goroutine writes a variable of the function around it while another goroutine, or that
function itself, reads or writes it too, and nothing makes one wait for the other. What is
read then is not just old or new: appends get lost, counters miscount, two results mix, and
concurrent use of a map ends the process. Tests rarely see it, production does. It gets, in
this order: a variable of the goroutine's own where nobody else needs the value; an element
of its own for each iteration; an atomic counter or flag; a mutex beside the variable, under
which the first of several errors is kept.

Likewise a variable whose address a function gets that a loop launches, and one that a loop
writes on while a goroutine that it launched reads it: each goroutine gets a copy. Likewise what
the function writes after the launch and the goroutine only reads.

Not reported:
- what a Wait, a receive, a lock, sync.Once or an atomic operation may order, also in a call
  that is not visible and shares an object with the goroutine;
- elements `xs[i]` at an index that differs, fields that differ, variables that are only read;
- goroutines that are waited for within the iteration that launches them;
- a branch that one goroutine alone takes (`if i == 0`, a won compare-and-swap);
- functions that are passed on, whose caller decides when they run.

Unsafe: where a read decides about a later write in another critical section, where a call
stays under the new lock, where an empty slice replaces a nil one, where a goroutine gets a
copy of what its loop writes.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import classify
from threadmend.golang.captured import CapturedAccess, accesses_of, conflict, is_buffer
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import captures, launches
from threadmend.golang.map_arguments import is_stored_into
from threadmend.golang.ordering import Ordering
from threadmend.golang.scope import Binding
from threadmend.golang.spoken import is_claimed_safe
from threadmend.golang.syntax import Node
from threadmend.golang.types import Map, Pointer
from threadmend.model import Confidence, Finding, Related

from ._fanned_out import fanned_out
from ._launched_parameter import passed_pointers
from ._loop_carried import loop_carried
from ._parent_writes import parent_writes
from ._passed_on import passed_on
from ._racy import Names, Race, top_of
from ._racy_choice import fixes_of
from ._signal_skipped import is_kept_until
from ._waits_sometimes import may_be_answered, may_have_waited
from ._without_done import ends_unsaid, without_done

CATEGORY = "shared-state"
GATE = rb"\bgo\b|\.(?:Try)?Go\(|\bAfterFunc\b|\bfunc\("

_WRITES = frozenset({"write", "update", "store"})


def check(file: GoFile) -> Iterator[Finding]:
    """Yield one finding for each variable that goroutines access without order."""
    names: dict[Node, Names] = {}
    known: set[Binding] = set()
    for binding in _candidates(file):
        pairs = _pairs(file, binding)
        if pairs is not None:
            known.add(binding)
            top = top_of(binding.node)
            if top not in names:
                names[top] = Names.of(file, top)
            yield _finding(_race(file, binding, *pairs, names[top]))
    yield from loop_carried(file, known)
    yield from parent_writes(file, known)
    yield from passed_on(file)
    yield from fanned_out(file, known)
    yield from passed_pointers(file)


# -- find -----------------------------------------------------------------------------


def _candidates(file: GoFile) -> list[Binding]:
    """Return the local variables that a launched literal may write, in source order."""
    found: dict[Binding, None] = {}
    for launch in launches(file):
        literal = launch.literal
        if literal is None or literal.path != file.path:
            continue
        for binding, uses in captures(literal).items():
            if binding.kind in {"variable", "result", "parameter"} and binding not in found:
                if any(_may_write(file, use, binding) for use in uses):
                    found[binding] = None
    return sorted(found, key=lambda b: b.node.start)


def _may_write(file: GoFile, use: Node, binding: Binding) -> bool:
    kind = classify(use, binding).kind
    if kind in _WRITES or is_stored_into(file, use):
        return True
    parent = use.parent
    called = parent is not None and parent.kind == "selector_expression"
    return (called or kind == "address") and is_buffer(file.type_of(use))


Pair = tuple[CapturedAccess, CapturedAccess]


def _pairs(file: GoFile, binding: Binding) -> tuple[list[CapturedAccess], list[Pair]] | None:
    """Return all accesses of a variable, and those pairs that may happen at the same time."""
    accesses = accesses_of(file, binding)
    writes = [a for a in accesses or () if a.writes and a.inside]
    if accesses is None or not writes or _is_foreign(file, binding, writes):
        return None
    if any(is_claimed_safe(file, write.node) for write in writes):
        return None
    order = Ordering(file, binding)
    pairs = [
        (one, other)
        for one in writes
        for other in accesses
        if conflict(file, binding, one, other)
        if any(order.concurrent(a, b) for a in one.places or () for b in other.places or ())
    ]
    pairs = [(a, b) for a, b in pairs if not _is_waited_for(file, a, b)]
    return (accesses, pairs) if pairs else None


def _is_waited_for(file: GoFile, one: CapturedAccess, other: CapturedAccess) -> bool:
    """Return whether a Wait would order two accesses if the goroutine did call Done.

    It is counted and does not say that it has ended, never or on this path: what mends that is
    go/waitgroup-missing-done or go/waitgroup-done-not-deferred. Likewise a receive.
    """
    if one.inside == other.inside:
        return False
    inner, outer = (one.node, other.node) if one.inside else (other.node, one.node)
    for add, launch in without_done(file):
        if launch.body is not None and launch.body.contains(inner):
            for call in file.calls("Wait"):
                waits = launch.node.end <= call.start and call.end <= outer.start
                if waits and call["function"]["operand"].text == add.waitgroup.text:
                    return True
    around = [x for x in launches(file) if x.body is not None and x.body.contains(inner)]
    if any(is_kept_until(file, launch, inner, outer) for launch in around):
        return True
    return any(
        ends_unsaid(file, launch, inner, call)
        for launch in around
        for call in file.calls("Wait")
        if launch.node.end <= call.start and call.end <= outer.start
        if call.function is launch.function
    )


def _is_foreign(file: GoFile, binding: Binding, writes: list[CapturedAccess]) -> bool:
    """Return whether the writes go to an object from elsewhere, whose locks are not known.

    A pointer that is a parameter or the result of a call, and not a variable's address or
    a value made here.
    """
    type_ = file.underlying(file.package.workspace.inference.binding_type(binding))
    if not any(a.steps for a in writes) or not isinstance(type_, Pointer | None):
        return False
    if type_ is None:
        return True
    value = binding.value
    if value is None:
        return True
    if value.kind == "unary_expression" and value["operator"].kind == "&":
        return value["operand"].kind != "composite_literal"
    return value.kind != "call_expression" or value["function"].text != b"new"


# -- decide ---------------------------------------------------------------------------


def _race(
    file: GoFile, binding: Binding, accesses: list[CapturedAccess], pairs: list[Pair], names: Names
) -> Race:
    inference = file.package.workspace.inference
    racing = _all_racing(file, binding, accesses, pairs)
    type_ = inference.binding_type(binding)
    return Race(file, binding, type_, accesses, racing, pairs, names)


def _all_racing(
    file: GoFile, binding: Binding, accesses: list[CapturedAccess], pairs: list[Pair]
) -> list[CapturedAccess]:
    """Return what takes part in a race; once there is one, also what is only supposed to wait."""
    shown = [a for a in accesses if any(a is one or a is other for one, other in pairs)]
    order = Ordering(file, binding)
    return [
        access
        for access in accesses
        if any(access is a for a in shown)
        or any(
            order.concurrent(a, b, supposed=False)
            for one in shown
            if one.writes and one.inside and conflict(file, binding, one, access)
            for a in one.places or ()
            for b in access.places or ()
        )
    ]


# -- say ------------------------------------------------------------------------------


def _finding(race: Race) -> Finding:
    first, second = min(race.pairs, key=lambda pair: (pair[0].node.start, pair[1].node.start))
    fixes, reason = fixes_of(race)
    related = [_place(race.binding, "declared here")]
    for access in race.racing:
        if access is not first and not _assigns_itself(access, race.racing):
            word = "written" if access.writes else "read"
            where = "" if access.inside else " by the function that launches"
            start, end = access.target.start, access.target.end
            related.append(Related(race.file.path, start, end, f"{word} here{where}"))
    return Finding(
        path=race.file.path,
        start=first.target.start,
        end=first.target.end,
        message=_message(race, first, second),
        fixes=fixes,
        related=tuple(related),
        reason="" if fixes else reason,
        confidence=_confidence(race),
    )


def _confidence(race: Race) -> Confidence:
    if may_have_waited(race.pairs) or may_be_answered(race.pairs):
        return Confidence.LOW
    return Confidence.HIGH


def _assigns_itself(access: CapturedAccess, racing: list[CapturedAccess]) -> bool:
    """Return whether a read is part of an assignment to the same variable: `x = append(x, …)`."""
    statement = access.node.statement
    if access.writes or statement is None or statement.kind != "assignment_statement":
        return False
    return any(a.writes and statement["left"].contains(a.node) for a in racing)


def _place(binding: Binding, message: str) -> Related:
    return Related(binding.node.path, binding.node.start, binding.node.end, message)


def _message(race: Race, first: CapturedAccess, second: CapturedAccess) -> str:
    name = race.name
    if any(_same_strand(one, other) for one, other in race.pairs):
        if isinstance(race.file.underlying(race.type), Map) and first.steps:
            return f"several goroutines write the map {name} at the same time"
        return f"several goroutines {_verb(first)} {name} at the same time"
    word = "write" if second.writes else "read"
    if second.inside:
        return f"the goroutine writes {name} while another one may {word} it"
    if second.node.kind == "return_statement":
        return f"the goroutine writes {name} while the function may return it"
    return f"the goroutine writes {name} while the function that launched it may {word} it"


def _verb(access: CapturedAccess) -> str:
    statement = access.node.statement
    if statement is not None and statement.kind == "assignment_statement":
        if statement["right"].text.startswith(b"append(" + access.target.text):
            return "append to"
    return "write"


def _same_strand(one: CapturedAccess, other: CapturedAccess) -> bool:
    return any(a.strand == b.strand for a in one.places or () for b in other.places or ())
