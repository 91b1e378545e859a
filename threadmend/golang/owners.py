"""Owners of channels: those that nobody sends on, receives from, or closes, though they should.

A channel is judged only where every use of it is known: a local one that does not escape,
the channel of an unexported field or variable that nothing else is stored in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.access import lock_class
from threadmend.golang.channel_fields import SharedChannel, shared_channel_of
from threadmend.golang.channels import Channel, ChannelOperation, local_channels
from threadmend.golang.functions import outer_function
from threadmend.golang.makers import is_make, making
from threadmend.golang.stops import leaves_loop
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan
from threadmend.inventory import Channel as Entry
from threadmend.inventory import Spot

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package

__all__ = ["channels", "unclosed_ranges"]

_CHAN = (b"chan", b"<-chan", b"(chan")


def channels(package: Package, files: list[GoFile]) -> Iterator[Entry]:
    """Yield the channels that are made in some files of a package, by their makes."""
    judged: dict[Node, tuple[str, str]] = {}
    for file in files:
        for function in file.functions(making(file.package)):
            for channel in local_channels(file, function):
                if not channel.escapes:
                    name = lock_class(file, channel.binding.node) or channel.binding.name
                    judged[channel.make] = (name, _problem(channel))
    for shared in _shared(package):
        if _is_known(shared):
            name = f"{package.path}.{shared.decl.name}"
            name += f".{shared.name}" if shared.is_field else ""
            for make in shared.makes:
                judged[make.call] = (name, _problem(shared))
    for file in files:
        for call in file.calls("make"):
            if is_make(call) and isinstance(file.underlying(file.type_of(call)), Chan):
                spot = Spot(file.path, file.source.line_of(call.start))
                name, problem = judged.get(call, ("", ""))
                yield Entry(name, spot, call in judged, problem)


def _shared(package: Package) -> Iterator[SharedChannel]:
    """Yield the channels that the package's struct fields and variables hold."""
    for name, decls in package.names.items():
        for decl in decls:
            if decl.kind == "type" and b"chan" in decl.file.data[slice(*decl.span)]:
                for field in decl.node.find("field_declaration"):
                    type_ = field.get("type")
                    if type_ is not None and type_.text.startswith(_CHAN):
                        for one in field.all("name"):
                            yield shared_channel_of(decl, one.name)
            elif decl.kind == "var" and b"chan" in decl.file.data[slice(*decl.span)]:
                yield shared_channel_of(decl, name)


def _problem(channel: Channel | SharedChannel) -> str:
    """Return what is missing at one end of a channel whose every use is known."""
    receives, sends = channel.of("receive", "range"), channel.of("send")
    closes = channel.of("close")
    if not receives:
        return "sent on, never received from" if sends and not channel.of("len") else ""
    if not sends and not closes:
        return "received from, but nobody sends or closes"
    if not closes and any(_waits_for_close(o) for o in channel.of("range")):
        return "ranged over, never closed"
    if isinstance(channel, SharedChannel) and len(channel.makes) > 1:
        return ""  # made anew after it was closed
    closers = {outer_function(o.node) for o in closes}
    return f"closed by {len(closers)} functions" if len(closers) > 1 else ""


def _waits_for_close(operation: ChannelOperation) -> bool:
    loop = operation.node.parent
    return loop is not None and not leaves_loop(loop)


def unclosed_ranges(package: Package, files: list[GoFile]) -> set[tuple[str, int]]:
    """Return the range clauses (path, start) over channels that certainly nobody closes."""
    found: list[Channel | SharedChannel] = [
        channel
        for file in files
        for function in file.functions(making(file.package))
        for channel in local_channels(file, function)
        if not channel.escapes
    ]
    found += [c for c in _shared(package) if c.makes and _is_known(c)]
    return {
        (operation.node.path, operation.node.start)
        for channel in found
        if not channel.of("close")
        for operation in channel.of("range")
    }


def _is_known(channel: SharedChannel) -> bool:
    return not (channel.escapes or channel.stores or channel.exported)
