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
from threadmend.golang.builders import BuilderError, insert_before, with_reason
from threadmend.golang.captured import CapturedAccess, accesses_of
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, captures, launches
from threadmend.golang.ordering import Ordering
from threadmend.golang.scope import Binding
from threadmend.golang.strands import Place
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._racy import Names, top_of

__all__ = ["is_asked_again", "loop_carried"]

_CHANGES = frozenset({"write", "update"})


def loop_carried(file: GoFile, known: set[Binding]) -> Iterator[Finding]:
    """Yield the variables that a goroutine reads while the loop around its launch writes them.

    Those of `known` are told of already.
    """
    names: dict[Node, Names] = {}
    for launch in launches(file):
        literal, loop = launch.literal, launch.loop
        if literal is None or loop is None or literal.path != file.path:
            continue
        for binding, uses in captures(literal).items():
            if binding in known or not _is_older(binding, loop, launch):
                continue
            found = _race(file, binding, launch, uses)
            if found is not None:
                known.add(binding)
                top = top_of(binding.node)
                free = names.setdefault(top, Names.of(file, top))
                yield _finding(file, binding, launch, *found, free)


def _is_older(binding: Binding, loop: Node, launch: Launch) -> bool:
    """Return whether a variable of the launching function was declared before the loop."""
    return (
        binding.kind in {"variable", "result", "parameter"}
        and binding.function is launch.function
        and not loop.contains(binding.node)
    )


def _race(
    file: GoFile, binding: Binding, launch: Launch, uses: list[Node]
) -> tuple[CapturedAccess, list[CapturedAccess]] | None:
    """Return the write of the loop, and the reads of the goroutine that it may meet.

    None when the goroutine writes the variable too, or hands it on by its address.
    """
    loop, literal = launch.loop, launch.literal
    assert loop is not None
    assert literal is not None
    if any(classify(use, binding).kind != "read" for use in uses):
        return None
    inside = [n for n in binding.uses if n.function is launch.function and loop.contains(n)]
    if not any(classify(n, binding).kind in _CHANGES for n in inside):
        return None
    accesses = accesses_of(file, binding) or []
    writes = [a for a in accesses if a.node in inside and a.kind in _CHANGES and not a.steps]
    reads = [a for a in accesses if literal.contains(a.node) and not a.writes]
    order = Ordering(file, binding)
    for write in writes:
        met = [
            read
            for read in reads
            if any(_meet(order, a, b) for a in read.places or () for b in write.places or ())
        ]
        if met:
            return write, met
    return None


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


def _finding(
    file: GoFile,
    binding: Binding,
    launch: Launch,
    write: CapturedAccess,
    reads: list[CapturedAccess],
    names: Names,
) -> Finding:
    first = reads[0].node
    fix, reason = _fix(binding, launch, names)
    return Finding(
        path=file.path,
        start=first.start,
        end=first.end,
        message=f"the goroutine reads {binding.name} while the loop that launched it writes it",
        fixes=(fix,) if fix is not None else (),
        related=(Related(file.path, write.target.start, write.target.end, "written here"),),
        reason=reason,
    )


@with_reason
def _fix(binding: Binding, launch: Launch, names: Names) -> Fix:
    """Copy the variable right above the launch.

    Unsafe: the goroutine no longer sees what the loop assigns later on. One that looks again
    and again may wait for just that, and gets no fix.
    """
    literal, statement = launch.literal, launch.statement
    assert literal is not None
    uses = [n for n in binding.uses if literal.contains(n)]
    if any(is_asked_again(use, literal) for use in uses):
        raise BuilderError(f"the goroutine may wait for what the loop assigns to {binding.name}")
    name = binding.name
    block = statement.up("block")
    later = [n for n in binding.uses if n.start >= statement.end]
    edits: list[Edit] = []
    if block is None or any(block.contains(n) for n in later):
        name = names.free(name)
        edits += [Edit(n.path, n.start, n.end, name.encode()) for n in uses]
    edits += insert_before(statement, f"{name} := {binding.name}")
    reason = f"the goroutine sees the value that {binding.name} has at its launch"
    return Fix(f"Copy {binding.name} for each goroutine", tuple(edits), Safety.UNSAFE, reason)


def is_asked_again(use: Node, literal: Node) -> bool:
    """Return whether a loop of the goroutine reads the variable in its head or body."""
    loop = use.up("for_statement")
    return loop is not None and literal.contains(loop)
