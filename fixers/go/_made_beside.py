"""Channels of exported fields that a literal leaves out beside the others that it makes.

    bus := &signals.Bus{                      // package signals
        Readings: make(chan Reading),         func (b *Bus) Trip(t Trip) { b.Trips <- t }
        Shut:     make(chan struct{}),
    }

Code out of sight may well set the field of its own values; this one is made here, whole, and
nothing in the project ever gives the field a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import BuilderError, add_element
from threadmend.golang.builders.spelling import spelled
from threadmend.golang.calls import callers, importers
from threadmend.golang.channel_fields import SharedChannel, literals_of
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.functions import outer_function
from threadmend.golang.literal_fields import field_value
from threadmend.golang.locks import declaration_of
from threadmend.golang.makers import is_make
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan
from threadmend.model import Fix, Safety

from ._made_in_some import Forgotten

__all__ = ["made_beside"]


def made_beside(
    channel: SharedChannel, hangs: ChannelOperation | None, type_: Node
) -> Iterator[Forgotten]:
    """Yield the literals that make other channels of a struct, and leave this one nil.

    Only where a called method operates on it outside of selects, without asking for nil.
    """
    if hangs is None or not channel.exported or channel.makes or channel.stores or channel.nils:
        return
    if channel.escapes or channel.shown or not _is_come_to(hangs) or _is_set(channel):
        return
    for file, literal in literals_of(channel.decl):
        if file.is_test or file.generated or not _makes_others(file, literal):
            continue
        yield Forgotten(file, literal, hangs, _fix(channel, file, literal, type_))


def _is_come_to(hangs: ChannelOperation) -> bool:
    """Return whether the project calls the function that an operation stands in."""
    function = outer_function(hangs.node)
    decl = declaration_of(hangs.file, function) if function is not None else None
    return decl is not None and any(
        s.call is not None and not s.file.is_test for s in callers(decl)
    )


def _is_set(channel: SharedChannel) -> bool:
    """Return whether some bytes look as if a field of this name were given a value."""
    word = re.escape(channel.name.encode())
    pattern = re.compile(
        rb"(?<![.\w])" + word + rb"\s*:[^=]"  # in a literal, not `case <-b.Trips:`
        rb"|\b" + word + rb"(?:\s*=[^=]|,[^\n{}]*[^:=!<>]=[^=])"
        rb"|&\w[\w.]*\." + word + rb"\b"
    )
    return any(
        f.holds(pattern) for p in (channel.package, *importers(channel.package)) for f in p.files
    )


def _makes_others(file: GoFile, literal: Node) -> bool:
    """Return whether a literal names its fields, and two or more of them get a new channel."""
    elements = literal["body"].children
    if any(e.kind != "keyed_element" for e in elements):
        return False
    names = [e.children[0].name for e in elements]
    values = [v for n in names if (v := field_value(file, literal, n)) is not None]
    made = [v for v in values if v.kind == "call_expression" and is_make(v)]
    return len([v for v in made if isinstance(file.underlying(file.type_of(v)), Chan)]) > 1


def _fix(channel: SharedChannel, file: GoFile, literal: Node, type_: Node) -> Fix | None:
    """Make the channel there, too, without room.

    Sound: on nil its operations only hang or panic.
    """
    home = channel.decl.file
    under = home.underlying(home.type_from(type_))
    elem = under.elem if isinstance(under, Chan) else None
    name = "struct{}" if str(elem) == "struct{}" else spelled(file, elem)
    if name is None:
        return None
    try:
        edits = add_element(literal, f"{channel.name}: make(chan {name})")
    except BuilderError:
        return None
    title = f"Make {channel.name} here, too"
    return Fix(title, tuple(edits), Safety.UNSAFE, "these values get a channel as well")
