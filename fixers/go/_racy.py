"""What the rewrites of racy-capture share: the race, names for variables, edits of a statement."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from threadmend.golang.builders import free_name, taken_names
from threadmend.golang.builders.regions import Region
from threadmend.golang.captured import CapturedAccess
from threadmend.golang.file import GoFile
from threadmend.golang.scope import Binding
from threadmend.golang.strands import Strand
from threadmend.golang.syntax import Node
from threadmend.golang.types import Type
from threadmend.model import Edit


class NewLock(NamedTuple):
    """A lock that variables of one statement share: above which it stands, where it is taken."""

    name: str
    above: Binding
    spans: list[tuple[int, int]]


@dataclass(slots=True)
class Names:
    """Free names in one top-level function; what is given away once is taken from then on.

    `locks`: by declaration, the lock that is made beside its variables.
    """

    file: GoFile
    taken: set[str]
    locks: dict[Node, NewLock] = field(default_factory=dict)

    @classmethod
    def of(cls, file: GoFile, top: Node) -> Names:
        """Return the free names of a top-level declaration."""
        return cls(file, set(taken_names(top)))

    def free(self, base: str) -> str:
        """Return a name that nothing in the function, package or imports has."""
        taken = set(self.taken)
        while True:
            name = free_name(base, taken)
            if self.file.package.lookup(name) is None and self.file.imported(name) is None:
                self.taken.add(name)
                return name
            taken.add(name)


@dataclass(slots=True)
class Race:
    """A variable that goroutines access without order.

    `racing` are the accesses that take part, `pairs` which with which (the first one writes,
    in a launched goroutine); `accesses` are all, in source order.
    """

    file: GoFile
    binding: Binding
    type: Type | None
    accesses: list[CapturedAccess]
    racing: list[CapturedAccess]
    pairs: list[tuple[CapturedAccess, CapturedAccess]]
    names: Names
    many: set[Strand] = field(default_factory=set)
    shown: bool = False
    """Whether a run showed the race: then functions that are passed on run side by side."""

    @property
    def name(self) -> str:
        """Return the variable's name."""
        return self.binding.name

    @property
    def strands(self) -> list[Strand]:
        """Return the launched goroutines that access the variable, in source order."""
        found: dict[Strand, None] = {}
        for access in self.accesses:
            for place in access.places or ():
                if place.strand.launch is not None:
                    found[place.strand] = None
        return list(found)

    def inside(self, literal: Node) -> list[CapturedAccess]:
        """Return the accesses that stand in a literal, in source order."""
        return [a for a in self.accesses if literal.contains(a.node)]


def top_of(node: Node) -> Node:
    """Return the top-level declaration around a node."""
    return ([node, *node.ancestors()])[-1]


@dataclass(slots=True)
class Guarded:
    """The edits of one statement and the code around it.

    `plain`: it is only surrounded, so that it may share a critical section with the next.
    """

    edits: list[Edit]
    regions: list[Region]
    reason: str = ""
    plain: bool = False
