"""Publish: a goroutine that also looks at the error it assigns does so in a variable of its own.

    err = work()                →      err2 := work()
    if err != nil { log(err) }         mu.Lock()
                                       if err == nil { err = err2 }
                                       mu.Unlock()
                                       if err2 != nil { log(err2) }

Sound: the goroutine reads what it assigned itself and nothing else, and whoever waits for
it finds the first error that any goroutine had.
"""

from __future__ import annotations

from threadmend.golang.builders import BuilderError
from threadmend.golang.builders.blocks import place
from threadmend.golang.builders.regions import Region
from threadmend.golang.captured import CapturedAccess
from threadmend.golang.strands import Strand
from threadmend.golang.syntax import Node
from threadmend.model import Edit

from ._racy import Race
from ._racy_copy import exposed, short_declaration
from ._racy_statements import Guarded


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
            found.append(_rewritten(race, lock, strand))
            done.add(strand.body)
    return found, done


def _reads_its_own(race: Race, strand: Strand) -> bool:
    uses = race.inside(strand.body)
    if any(a.node.function is not strand.body or a.kind not in {"read", "write"} for a in uses):
        return False
    writes = [a for a in uses if a.writes]
    reads = [a for a in uses if not a.writes]
    if len(writes) != 1 or not reads or not writes[0].whole:
        return False
    return not exposed(race, strand.body)


def _rewritten(race: Race, lock: str, strand: Strand) -> Guarded:
    uses = race.inside(strand.body)
    write = next(a for a in uses if a.writes)
    edits = short_declaration(race, write, uses)
    statement = write.node.statement
    if edits is None or statement is None:
        raise BuilderError(f"the goroutine uses {race.name} for itself as well")
    name = race.names.free(race.name)
    renamed = [Edit(a.node.path, a.node.start, a.node.end, name.encode()) for a in uses]
    code = f"{lock}.Lock()\nif {race.name} == nil {{\n\t{race.name} = {name}\n}}\n{lock}.Unlock()"
    region = _region(race, statement, write, code)
    return Guarded([*edits, *renamed], [region])


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
