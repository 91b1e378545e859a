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
    if _is_told(file, binding, launch, inside):
        inside = [n for n in inside if not _is_unset(n)]
    if not any(classify(n, binding).kind in _CHANGES for n in inside):
        return None
    return first_meeting(file, binding, literal, inside, _CHANGES, _meet)


def _is_told(file: GoFile, binding: Binding, launch: Launch, inside: list[Node]) -> bool:
    """Return whether the loop unsets a variable when the goroutine has told that it is done.

    `case err := <-stopped: cmd = nil`, where the goroutine sends to `stopped`.
    """
    literal = launch.literal
    sends = literal.find("send_statement") if literal is not None else ()
    channels = {file.binding(s["channel"]) for s in sends if s["channel"].kind == "identifier"}
    for node in inside:
        statement, case = node.statement, node.up("communication_case")
        if case is None or statement is None or statement.kind != "assignment_statement":
            continue
        received = case["communication"].find("unary_expression")
        told = any(
            r["operator"].kind == "<-"
            and r["operand"].kind == "identifier"
            and file.binding(r["operand"]) in channels - {None}
            for r in received
        )
        if told and statement["right"].text in _NOTHING and classify(node, binding).kind == "write":
            return True
    return False


_NOTHING = frozenset({b"nil", b"false"})


def _is_unset(node: Node) -> bool:
    """Return whether a variable that is not set is what lets the loop come here."""
    inner = node
    for outer in node.ancestors():
        if outer.kind in {"for_statement", "func_literal"}:
            return False
        if outer.kind == "if_statement" and inner is outer["consequence"]:
            if outer["condition"].text in {node.text + b" == nil", b"!" + node.text}:
                return True
        inner = outer
    return False


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
