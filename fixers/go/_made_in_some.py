"""Channel fields that one constructor makes and another one forgets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.builders import BuilderError, add_element
from threadmend.golang.channel_fields import Make, SharedChannel, literals_of
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.functions import result_nodes
from threadmend.golang.makers import capacity_of, is_make
from threadmend.golang.syntax import Node
from threadmend.model import Fix, Safety

from ._unmade import sets_field

__all__ = ["Forgotten", "forgotten"]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A literal without the channel that others have, and an operation that hangs on nil."""

    file: GoFile
    literal: Node
    operation: ChannelOperation
    fix: Fix | None


def forgotten(channel: SharedChannel, hangs: ChannelOperation | None) -> Iterator[Forgotten]:
    """Yield the constructors' literals that leave a field out which all others make.

    Nothing but literals gives the field a value, and an operation outside of selects shows
    that nil is not meant.
    """
    if hangs is None or channel.nils or channel.stores or channel.exported:
        return
    if any(e.parent is not None and e.parent.kind == "unary_expression" for e in channel.escapes):
        return
    found = list(literals_of(channel.decl, tests=False))
    with_it = [n for _, n in found if sets_field(n, channel.name)]
    if not with_it or len(channel.makes) != len(with_it):
        return  # some code makes it later
    for file, literal in found:
        if sets_field(literal, channel.name) or not literal["body"].children:
            continue
        if file.package is not channel.package or not _is_constructed(channel, literal):
            continue
        if _comes_complete(channel, literal, with_it):
            continue
        if any(_keys(one) - _keys(literal) <= _channels(one) for one in with_it):
            yield Forgotten(file, literal, hangs, _fix(channel, literal))


def _comes_complete(channel: SharedChannel, literal: Node, with_it: list[Node]) -> bool:
    """Return whether a literal has at once what the others wait for, so that it needs no channel.

    `if c.reader == nil { <-c.ready }`, where this one alone sets `reader`.
    """
    own = _keys(literal).difference(*(_keys(one) for one in with_it))
    receives = channel.of("receive", "range")
    return bool(receives) and all(
        any(
            test.kind == "if_statement"
            and test["consequence"].contains(receive.node)
            and any(test["condition"].text.endswith(b".%b == nil" % n.encode()) for n in own)
            for test in receive.node.ancestors()
        )
        for receive in receives
    )


def _keys(literal: Node) -> set[str]:
    elements = literal["body"].children
    return {e.children[0].name for e in elements if e.kind == "keyed_element"}


def _channels(literal: Node) -> set[str]:
    """Return the fields for which a literal makes a channel: what else is missing elsewhere
    speaks of another kind of value.
    """
    elements = [e for e in literal["body"].children if e.kind == "keyed_element"]
    return {e.children[0].name for e in elements if _MAKES.match(e.children[-1].text)}


_MAKES = re.compile(rb"make\(\s*(?:(?:<-\s*)?chan\b|\w+[,)])")


def _is_constructed(channel: SharedChannel, literal: Node) -> bool:
    """Return whether a literal is what its function, a constructor, makes and returns."""
    function = literal.function
    if function is None or function.kind != "function_declaration":
        return False
    results = [r.text.lstrip(b"*").partition(b"[")[0] for r in result_nodes(function)]
    return channel.decl.name.encode() in results


def _fix(channel: SharedChannel, literal: Node) -> Fix | None:
    """Make the channel there as the others do.

    Sound: on nil its operations only hang or panic.
    """
    made = {m.call.name for m in channel.makes}
    constant = all(m.capacity is None or m.capacity.kind == "int_literal" for m in channel.makes)
    home = {m.file.path for m in channel.makes} == {literal.path}
    text = made.pop()
    if not constant and not made:
        sized = _as_beside(channel.makes[0], literal)
        constant, text = sized is not None, sized or text
    if made or not constant or ("." in text and not home):
        return None
    try:
        edits = add_element(literal, f"{channel.name}: {text}")
    except BuilderError:
        return None
    title = f"Make {channel.name} here, too"
    return Fix(title, tuple(edits), Safety.UNSAFE, "these values get a channel as well")


def _as_beside(make: Make, literal: Node) -> str | None:
    """Return the make with the capacity that a channel beside it has in a literal, where both
    have the same room in the literal that has both.
    """
    whole = next((n for n in make.call.ancestors() if n.kind == "composite_literal"), None)
    if whole is None or make.maker is not None or make.capacity is None:
        return None
    found = set()
    for name, capacity in _capacities(whole):
        if capacity is not make.capacity and capacity.text == make.capacity.text:
            found |= {c.name for n, c in _capacities(literal) if n == name}
    if len(found) != 1:
        return None
    return f"make({make.call['arguments'].children[0].name}, {found.pop()})"


def _capacities(literal: Node) -> Iterator[tuple[str, Node]]:
    """Yield the fields for which a literal makes a channel with room, and how much."""
    for element in literal["body"].children:
        if element.kind != "keyed_element" or not element.children[-1].children:
            continue
        value = element.children[-1].children[0]
        if value.kind == "call_expression" and is_make(value):
            capacity = capacity_of(value)
            if capacity is not None:
                yield element.children[0].name, capacity
