"""What a loop writes on, round after round, and a goroutine that it launched reads.

    id := 0                       id := 0
    for _, job := range jobs {    for _, job := range jobs {
        id++                          id++
        go func() {          →        id := id
            job.run(id)               go func() {
        }()                               job.run(id)
    }                                 }()
                                  }

The variable is declared before the loop, so that no version of Go gives each round its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import classify
from threadmend.golang.builders import with_reason
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, launches
from threadmend.golang.ordering import Ordering
from threadmend.golang.scope import Binding
from threadmend.golang.strands import Place
from threadmend.golang.syntax import Node
from threadmend.model import Finding, Fix

from ._launcher_writes import Meeting, ReadRace, first_meeting, read_races

__all__ = ["loop_carried"]

_CHANGES = frozenset({"write", "update"})


def loop_carried(file: GoFile, known: set[Binding]) -> Iterator[Finding]:
    """Yield the variables that a goroutine reads while the loop around its launch writes them.

    Those of `known` are told of already.
    """
    looped = (launch for launch in launches(file) if launch.loop is not None)
    for race in read_races(file, looped, known, _meeting):
        yield race.finding("loop", *_fix(race))


def _is_older(binding: Binding, loop: Node, launch: Launch) -> bool:
    """Return whether a variable of the launching function was declared before the loop."""
    return (
        binding.kind in {"variable", "result", "parameter"}
        and binding.function is launch.function
        and not loop.contains(binding.node)
    )


def _meeting(file: GoFile, binding: Binding, launch: Launch, uses: list[Node]) -> Meeting | None:
    """Return the first read of the goroutine that a write of the loop may meet, and the write.

    None when the goroutine writes the variable too, or hands it on by its address.
    """
    loop, literal = launch.loop, launch.literal
    assert loop is not None
    assert literal is not None
    if not _is_older(binding, loop, launch):
        return None
    if any(classify(use, binding).kind != "read" for use in uses):
        return None
    inside = [n for n in binding.uses if n.function is launch.function and loop.contains(n)]
    if not any(classify(n, binding).kind in _CHANGES for n in inside):
        return None
    return first_meeting(file, binding, literal, inside, _CHANGES, _meet)


def _meet(order: Ordering, read: Place, write: Place) -> bool:
    """Return whether a goroutine may read while the loop writes in its next round.

    It does in every round: a call that is not known does not wait for that, nor does an atomic
    operation, unless the goroutine asks again and again.
    """
    if order.concurrent(read, write, supposed=False):
        return True
    before = list(order.waiting.before(read))
    around = [s.node.up("for_statement", "func_literal") for s in before]
    if any(s.kind != "atomic" for s in before):
        return False
    if any(node is not None and node.kind == "for_statement" for node in around):
        return False
    after = [*order.waiting.after(read), *order.waiting.end_of(read.strand)]
    return order.reaches(read.strand, write, after)


@with_reason
def _fix(race: ReadRace) -> Fix:
    """Copy the variable right above the launch.

    Unsafe: the goroutine no longer sees what the loop assigns later on. One that looks again
    and again may wait for just that, and gets no fix.
    """
    race.refuse_waiting("loop")
    binding, statement = race.binding, race.launch.statement
    block = statement.up("block")
    later = [n for n in binding.uses if n.start >= statement.end]
    hides = block is None or any(block.contains(n) for n in later)
    name = race.names.free(binding.name) if hides else binding.name
    return race.copied(name, f"Copy {binding.name} for each goroutine")
