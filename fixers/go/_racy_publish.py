"""Publish: a goroutine that also looks at the error it assigns does so in a variable of its own.

    err = work()                →      err2 := work()
    if err != nil { log(err) }         mu.Lock()
                                       if err == nil { err = err2 }
                                       mu.Unlock()
                                       if err2 != nil { log(err2) }

Each assignment has a variable of its own; one that is followed by another must be the last word
where it is not nil (`if err = f(); err != nil { return }`), for a later success replaces no error.

Where assignments and reads are mixed, the goroutine has one variable, and hands it on by a defer
that runs before those that tell somebody that it is done.

Sound: the goroutine reads what it assigned itself and nothing else, and whoever waits for
it finds the first error that any goroutine had.
"""

from __future__ import annotations

from threadmend.golang.builders import BuilderError, insert_after, insert_at_start
from threadmend.golang.builders.blocks import place
from threadmend.golang.builders.regions import Region
from threadmend.golang.captured import CapturedAccess
from threadmend.golang.flow import flow_of
from threadmend.golang.iterations import point_in
from threadmend.golang.strands import Strand
from threadmend.golang.syntax import Node
from threadmend.model import Edit

from ._racy import Guarded, Race
from ._racy_copy import exposed, short_declaration


def published(race: Race, lock: str) -> tuple[list[Guarded], set[Node]]:
    """Return how goroutines keep their errors apart, and the literals that are done so.

    Those that assign the error, read it after, and never need the value from outside.
    """
    found: list[Guarded] = []
    done: set[Node] = set()
    if str(race.type) != "error":
        return found, done
    for strand in race.strands:
        if strand.body not in done and _reads_its_own(race, strand):
            try:
                found.append(_rewritten(race, lock, strand))
            except BuilderError:
                found.append(_handed_on_at_the_end(race, lock, strand))
            done.add(strand.body)
    return found, done


def _reads_its_own(race: Race, strand: Strand) -> bool:
    uses = race.inside(strand.body)
    if any(a.node.function is not strand.body or a.kind not in {"read", "write"} for a in uses):
        return False
    writes = [a for a in uses if a.writes]
    if len(writes) == len(uses) or not all(a.whole for a in writes):
        return False
    return bool(writes) and not exposed(race, strand.body)


def _rewritten(race: Race, lock: str, strand: Strand) -> Guarded:
    """Return how each assignment of a goroutine gets a variable, and hands its error on."""
    uses = race.inside(strand.body)
    several = sum(a.writes for a in uses) > 1
    edits: list[Edit] = []
    regions: list[Region] = []
    while uses:
        write = uses[0]
        inside = _segment(uses) if several else uses
        if several and not _is_last_word(race, strand, write, inside):
            raise BuilderError(f"the goroutine goes on after it assigned {race.name}")
        found = _declaration(race, write, inside)
        statement = write.node.statement
        if found is None or statement is None:
            raise BuilderError(f"the goroutine uses {race.name} for itself as well")
        name = race.names.free(race.name)
        edits += [*found, *(Edit(a.node.path, *_span(a), name.encode()) for a in inside)]
        code = (
            f"{lock}.Lock()\nif {race.name} == nil {{\n\t{race.name} = {name}\n}}\n{lock}.Unlock()"
        )
        regions.append(_region(race, statement, write, code))
        uses = [a for a in uses if a not in inside]
    return Guarded(edits, regions)


def _handed_on_at_the_end(race: Race, lock: str, strand: Strand) -> Guarded:
    """Return how a goroutine works on a variable of its own, and a defer hands on what is in it."""
    body = strand.body["body"]
    uses = race.inside(strand.body)
    first: Node | None = None
    for statement in body.statements:
        if statement.kind != "defer_statement" or any(statement.contains(a.node) for a in uses):
            break
        first = statement
    rest = [s for s in body.statements if first is None or s.start > first.end]
    if any(_tells(node) for s in rest for node in s.walk()):
        raise BuilderError("an assignment is read where another one may have been made")
    name = race.names.free(race.name)
    code = (
        f"var {name} error\ndefer func() {{\n\t{lock}.Lock()\n\tdefer {lock}.Unlock()\n"
        f"\tif {race.name} == nil {{\n\t\t{race.name} = {name}\n\t}}\n}}()"
    )
    edits = [Edit(a.node.path, *_span(a), name.encode()) for a in uses]
    placed = insert_at_start(body, code) if first is None else insert_after(first, code)
    return Guarded([*placed, *edits], [])


def _tells(node: Node) -> bool:
    """Return whether code may tell somebody that the goroutine is done before it ends."""
    if node.kind == "send_statement":
        return True
    if node.kind != "call_expression":
        return False
    function = node["function"]
    last = function.get("field") if function.kind == "selector_expression" else function
    return last is not None and last.name in {"Done", "close", "Release", "Signal", "Broadcast"}


def _span(access: CapturedAccess) -> tuple[int, int]:
    return access.node.start, access.node.end


def _segment(uses: list[CapturedAccess]) -> list[CapturedAccess]:
    """Return the first assignment and the reads that see what it assigned."""
    write = uses[0]
    statement = write.node.statement
    if not write.writes or statement is None:
        raise BuilderError("an assignment is read where another one may have been made")
    if statement.kind == "if_statement":
        inside = [a for a in uses if statement.contains(a.node)]
    else:
        following = [i for i, a in enumerate(uses) if i and a.writes]
        inside = uses[: following[0]] if following else uses
    if sum(a.writes for a in inside) > 1 or any(_loops_between(write, a) for a in inside[1:]):
        raise BuilderError("an assignment is read where another one may have been made")
    return inside


def _loops_between(write: CapturedAccess, read: CapturedAccess) -> bool:
    """Return whether a loop holds the read, and not the assignment."""
    loop = read.node.up("for_statement")
    return loop is not None and not loop.contains(write.node)


def _declaration(
    race: Race, write: CapturedAccess, inside: list[CapturedAccess]
) -> tuple[Edit, ...] | None:
    if len(inside) > 1:
        return short_declaration(race, write, inside)
    assignment = write.node.statement
    if assignment is None or assignment.kind != "assignment_statement":
        return None
    # The code that hands the error on is the read that Go asks for.
    return short_declaration(race, write, inside, read=True)


def _is_last_word(
    race: Race, strand: Strand, write: CapturedAccess, inside: list[CapturedAccess]
) -> bool:
    """Return whether an error, once handed on, is not replaced by the same goroutine.

    Nothing else is assigned after it, or only after it was found to be nil.
    """
    flow = flow_of(strand.body)
    point = point_in(flow, write.node)
    if point is None or not flow.complete:
        return False
    others = {point_in(flow, a.node) for a in race.inside(strand.body) if a.writes}
    if not others & flow.reachable(point):
        return True
    statement = write.node.statement
    if statement is None or statement.kind != "if_statement":
        return False
    body = statement["consequence"].statements
    return bool(body) and body[-1].kind == "return_statement"


def _region(race: Race, statement: Node, write: CapturedAccess, code: str) -> Region:
    """Return where the error is handed on: after its assignment, or where it is not nil."""
    if statement.kind == "assignment_statement":
        return Region(statement, statement, "", code)
    condition = statement.get("condition") if statement.kind == "if_statement" else None
    if condition is None or condition.name != f"{race.name} != nil":
        raise BuilderError(f"{race.name} is assigned in the header of a statement")
    body = statement["consequence"].statements
    if not body:
        raise BuilderError(f"{race.name} is assigned in the header of a statement")
    place(body[0])
    return Region(body[0], body[0], code)
