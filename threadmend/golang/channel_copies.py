"""Channel copies: fields that hold a channel which another field holds as well.

d.dispatch(&reporter{out: d.wire})     // what is sent to r.out is sent to d.wire
newReporter(d.wire)                    // which does `return &reporter{out: out}`: likewise
r.out = d.wire                         // where nothing else is ever stored in the field

All objects of a type share what is known about its field, so that it counts only where every
value of the copy comes from the one original. A field of the same type is none: the stages of
a chain, `next.in = prev.out`, have different channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from threadmend.golang.channel_fields import (
    SharedChannel,
    arguments_of,
    field_stored_in,
    shared_channel,
)
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["by_any_name", "copied_from", "original_of"]

_DEPTH = 3  # parameters that a channel passes on its way into a field; copies of copies


def by_any_name(channel: SharedChannel) -> SharedChannel:
    """Return a field's channel with what is done to it by the fields that it is copied to.

    Asked for a copy, it is that of the original. `copies` are the fields that count.
    """
    known: dict[tuple[tuple[str, int], int, str], SharedChannel]
    known = channel.package.facts.setdefault("channels by any name", {})
    key = (channel.decl.key, channel.decl.index, channel.name)
    if key not in known:
        known[key] = channel  # one that is copied to itself
        original = original_of(channel)
        known[key] = by_any_name(original) if original is not None else _joined(channel)
    return known[key]


def original_of(channel: SharedChannel) -> SharedChannel | None:
    """Return the field that all values of another one are taken from."""
    if not channel.is_field or channel.makes or channel.nils or channel.exported:
        return None
    file_of = channel.package.workspace.file_of
    sources = [copied_from(file_of(value), value) for value in channel.stores]
    first = sources[0] if sources else None
    if first is None or any(s is None or s[0] is not first[0] for s in sources):
        return None
    source = first[0]
    if not source.is_field or source.exported or _is_of(source, channel):
        return None
    return source


def copied_from(
    file: GoFile, value: Node, depth: int = _DEPTH
) -> tuple[SharedChannel, Node] | None:
    """Return the field's channel that a value is, also of a parameter, and where it is named.

    Where a parameter has several callers, all have to give the same one; the first is named.
    """
    channel = shared_channel(file, value)
    if channel is not None:
        return channel, value
    binding = file.binding(value) if value.kind == "identifier" else None
    if binding is None or binding.kind != "parameter" or depth == 0:
        return None
    given = arguments_of(file, binding)
    found = [copied_from(f, argument, depth - 1) for f, argument in given or ()]
    first = found[0] if found else None
    if first is None or any(s is None or s[0] is not first[0] for s in found):
        return None
    return first


def _is_of(one: SharedChannel, other: SharedChannel) -> bool:
    return one.decl.key == other.decl.key and one.decl.index == other.decl.index


def _joined(channel: SharedChannel) -> SharedChannel:
    """Return a channel with the operations of its copies, and theirs to follow."""
    if not channel.is_field or not channel.escapes or channel.exported:
        return channel
    copies: list[SharedChannel] = []
    escapes = list(_left_over(channel, channel.escapes, copies))
    if not copies:
        return channel
    operations = list(channel.operations)
    for copy in copies:
        operations += [o for o in copy.operations if all(o.node is not x.node for x in operations)]
    return replace(channel, operations=operations, escapes=escapes, copies=copies)


def _left_over(
    channel: SharedChannel, escapes: list[Node], copies: list[SharedChannel], depth: int = _DEPTH
) -> Iterator[Node]:
    """Yield the uses that no copy explains, and add the copies."""
    file_of = channel.package.workspace.file_of
    for node in escapes:
        copy = field_stored_in(file_of(node), node)
        if copy is None or depth == 0 or original_of(copy) is not channel:
            yield node
        elif all(copy is not known for known in copies):
            copies.append(copy)
            yield from _left_over(copy, copy.escapes, copies, depth - 1)
