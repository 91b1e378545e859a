"""Who has left on a stop that he knows by another name: his fields have copies of both channels.

w := &worker{in: p.jobs, end: p.quit}      // leaves on w.end, as p.Put could, which sends on p.jobs
"""

from __future__ import annotations

from threadmend.golang.channel_copies import by_any_name
from threadmend.golang.channel_fields import SharedChannel, shared_channel, shared_channel_of
from threadmend.golang.channel_index import Behind, operand_of
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.infer import is_decl
from threadmend.golang.stops import Stop, stops_at
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, deref

from ._stop_cases import leaving_cases

__all__ = ["left_by_copies"]


def left_by_copies(
    file: GoFile, operation: Node, channel: Behind, kinds: tuple[str, ...]
) -> Stop | None:
    """Return the stop, of the object at hand, on which everybody at the other end leaves."""
    shared, owner = channel.shared, operand_of(operation).get("operand")
    if shared is None or not shared.copies or shared.escapes or owner is None or file.is_test:
        return None
    partners = [p for p in channel.of(*kinds) if not p.file.is_test]
    if not partners or any(p.node.function is operation.function for p in partners):
        return None
    for stop in stops_at(file, operation):
        if stop.context or not stop.receive.startswith(f"{owner.name}."):
            continue
        meant = _field(file, owner, stop.receive.rpartition(".")[2])
        if meant is not None and all(_leaves(partner, meant) for partner in partners):
            return stop
    return None


def _field(file: GoFile, owner: Node, name: str) -> SharedChannel | None:
    """Return the channel of an object's own field, by any name."""
    type_ = deref(file.type_of(owner))
    if not isinstance(type_, Named) or type_.local or type_.package != file.package.key:
        return None
    decl = file.package.lookup(type_.name)
    return by_any_name(shared_channel_of(decl, name)) if is_decl(decl, "type") else None


def _leaves(partner: ChannelOperation, stop: SharedChannel) -> bool:
    """Return whether the loop around an operation ends when a stop is ready."""
    return any(
        (heard := shared_channel(partner.file, receive["operand"])) is not None
        and by_any_name(heard) is stop
        for case in leaving_cases(partner)
        for receive in case["communication"].find("unary_expression")
    )
