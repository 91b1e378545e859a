"""Where a struct takes a field beside that of a channel."""

from __future__ import annotations

from dataclasses import dataclass

from threadmend.golang.builders import (
    BuilderError,
    add_field,
    fields,
    free_name,
    package_name,
    reach_import,
)
from threadmend.golang.channel_fields import SharedChannel, literals_of
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["Beside", "beside", "refuse_copies", "senders_beside"]


@dataclass(frozen=True, slots=True)
class Beside:
    """The struct of a channel, the channel's own field and the names that are taken there."""

    struct: Node
    field: Node
    taken: frozenset[str]

    def free(self, wanted: str) -> str:
        """Return a name for another field."""
        return free_name(wanted, set(self.taken))


def beside(channel: SharedChannel) -> Beside:
    """Return where the struct of a channel field takes another field.

    Raises `BuilderError` where the struct cannot have one without other changes.
    """
    struct = channel.decl.node.get("type")
    if struct is None or struct.kind != "struct_type":
        raise BuilderError("the struct is not declared with the type")
    for _, literal in literals_of(channel.decl):
        if any(e.kind != "keyed_element" for e in literal["body"].children):
            raise BuilderError("values of the type are written without field names")
    declared = fields(struct)
    own = next((f for f in declared if any(n.name == channel.name for n in f.all("name"))), None)
    if own is None:
        raise BuilderError("the struct does not name the channel")
    taken = {n.name for f in declared for n in f.all("name")}
    return Beside(struct, own, frozenset(taken | set(channel.package.methods(channel.decl.name))))


def refuse_copies(channel: SharedChannel) -> None:
    """Raise BuilderError where a method of the channel's type has a copy of its object."""
    methods = (d for some in channel.package.methods(channel.decl.name).values() for d in some)
    if not all(d.node["receiver"].text.count(b"*") for d in methods):
        raise BuilderError("a method has a copy of the object")


def senders_beside(channel: SharedChannel) -> tuple[str, list[Edit]]:
    """Return the name of a new WaitGroup beside a channel field, for those who send, and its edits.

    Raises `BuilderError` where the struct cannot have one.
    """
    refuse_copies(channel)
    place = beside(channel)
    name = place.free("senders")
    declaring = channel.package.workspace.file_of(place.struct)
    group = f"{package_name(declaring.tree, 'sync')}.WaitGroup"
    edits = [*reach_import(declaring.tree, "sync")]
    edits += add_field(place.struct, name, group, after=place.field)
    return name, edits
