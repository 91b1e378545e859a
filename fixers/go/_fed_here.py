"""Workers that range over a channel which one function makes, feeds and forgets to close."""

from __future__ import annotations

from threadmend.golang.builders import or_reason
from threadmend.golang.channel_fields import SharedChannel
from threadmend.golang.channels import Channel, local_channels
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop, launch_sites
from threadmend.golang.locks import declaration_of
from threadmend.golang.syntax import Node
from threadmend.model import Fix, Safety

from ._closer import after_sends

__all__ = ["fed_here"]


def fed_here(file: GoFile, body: Node, shared: SharedChannel) -> tuple[str, Fix | str] | None:
    """Return the name of the function that feeds the workers it launches, and the fix.

    The workers get the channel in a field; who makes it alone sends, in plain statements, and
    its last send is the end of the work.
    """
    made = shared.makes[0] if len(shared.makes) == 1 else None
    feeder = made.call.function if made is not None else None
    decl = declaration_of(file, body)
    if made is None or feeder is None or decl is None or feeder.get("name") is None:
        return None
    sites = launch_sites(file.package).get(decl.key, [])
    if not sites or any(site.function is not feeder for site in sites):
        return None
    sends = shared.of("send")
    if not sends or any(s.calls or s.node.function is not feeder for s in sends):
        return None
    if all(innermost_loop(s.node) is None for s in sends):
        return None
    channel = next((c for c in local_channels(made.file, feeder) if c.make is made.call), None)
    if channel is None:
        return None
    return feeder["name"].name, _fix(made.file, feeder, channel)


@or_reason
def _fix(file: GoFile, feeder: Node, channel: Channel) -> Fix:
    """Close below the last send.

    Sound: nobody else has the channel to send on it, and the workers range over it.
    """
    edits = tuple(after_sends(file, feeder, channel))
    title = f"Close {channel.binding.name} after the last send"
    return Fix(title, edits, Safety.UNSAFE, "the workers now end")
