"""Variables that a goroutine only reads and its launcher writes meanwhile: finding and copy.

id := 0                       id := 0
for _, job := range jobs {    for _, job := range jobs {
    id++                          id++
    go func() {          →        id := id
        job.run(id)               go func() {
    }()                               job.run(id)
}                                 }()
                              }
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from threadmend.golang.builders import BuilderError, insert_before
from threadmend.golang.captured import CapturedAccess, accesses_of
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, captures
from threadmend.golang.ordering import Ordering
from threadmend.golang.scope import Binding
from threadmend.golang.strands import Place
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._racy import Names, top_of

__all__ = ["Meeting", "ReadRace", "first_meeting", "read_races"]

Meeting = tuple[CapturedAccess, CapturedAccess]
"""A read of the goroutine and a write of its launcher that it may meet."""


@dataclass(frozen=True, slots=True)
class ReadRace:
    """A captured variable, the first read of the goroutine and the write that it may meet."""

    file: GoFile
    binding: Binding
    launch: Launch
    read: CapturedAccess
    write: CapturedAccess
    names: Names

    @property
    def uses(self) -> list[Node]:
        """Return what the goroutine says of the variable."""
        literal = self.launch.literal
        assert literal is not None
        return [n for n in self.binding.uses if literal.contains(n)]

    def finding(self, writer: str, fix: Fix | None, reason: str) -> Finding:
        """Return the finding; `writer` is what launched the goroutine: the loop, the function."""
        name, read, written = self.binding.name, self.read.node, self.write.target
        return Finding(
            path=self.file.path,
            start=read.start,
            end=read.end,
            message=f"the goroutine reads {name} while the {writer} that launched it writes it",
            fixes=(fix,) if fix is not None else (),
            related=(Related(self.file.path, written.start, written.end, "written here"),),
            reason=reason,
        )

    def refuse_waiting(self, writer: str) -> None:
        """Raise BuilderError where a loop of the goroutine reads the variable in head or body."""
        literal = self.launch.literal
        assert literal is not None
        loops = (use.up("for_statement") for use in self.uses)
        if any(loop is not None and literal.contains(loop) for loop in loops):
            name = self.binding.name
            raise BuilderError(f"the goroutine may wait for what the {writer} assigns to {name}")

    def copied(self, name: str, title: str) -> Fix:
        """Copy the variable, under a name, right above the launch.

        Unsafe: the goroutine no longer sees what its launcher assigns later on.
        """
        variable = self.binding.name
        edits: list[Edit] = []
        if name != variable:
            edits += [Edit(n.path, n.start, n.end, name.encode()) for n in self.uses]
        edits += insert_before(self.launch.statement, f"{name} := {variable}")
        reason = f"the goroutine sees the value that {variable} has at its launch"
        return Fix(title, tuple(edits), Safety.UNSAFE, reason)


def read_races(
    file: GoFile,
    launches: Iterable[Launch],
    known: set[Binding],
    meeting: Callable[[GoFile, Binding, Launch, list[Node]], Meeting | None],
) -> Iterator[ReadRace]:
    """Yield the captured variables for which `meeting` finds a read and a write.

    Those of `known` are told of already; what is found is added to them.
    """
    names: dict[Node, Names] = {}
    for launch in launches:
        literal = launch.literal
        if literal is None or literal.path != file.path:
            continue
        for binding, uses in captures(literal).items():
            found = meeting(file, binding, launch, uses) if binding not in known else None
            if found is not None:
                known.add(binding)
                top = top_of(binding.node)
                free = names.setdefault(top, Names.of(file, top))
                yield ReadRace(file, binding, launch, *found, free)


def first_meeting(
    file: GoFile,
    binding: Binding,
    literal: Node,
    nodes: list[Node],
    changes: frozenset[str],
    meet: Callable[[Ordering, Place, Place], bool],
) -> Meeting | None:
    """Return the first of some changes of a variable that a read of the goroutine may meet.

    `nodes` are uses in the function that launches, `meet` says of two places whether they may.
    """
    accesses = accesses_of(file, binding) or []
    writes = [a for a in accesses if a.node in nodes and a.kind in changes and not a.steps]
    reads = [a for a in accesses if literal.contains(a.node) and not a.writes]
    order = Ordering(file, binding)
    for write in writes:
        for read in reads:
            if any(meet(order, a, b) for a in read.places or () for b in write.places or ()):
                return read, write
    return None
