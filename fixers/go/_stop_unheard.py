"""Sends of an object's goroutine where nobody listens to the stop that the object closes.

func (c *Cursor) fill() {                  func (c *Cursor) emit(f Folio) { c.pages <- f }
    defer close(c.pages)
    for _, f := range c.shelf() {          func (c *Cursor) Close() { close(c.quit) }
        c.emit(f)
    }
}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from threadmend.golang.callback_fields import all_sites
from threadmend.golang.calls import callers
from threadmend.golang.channel_fields import shared_channel_of
from threadmend.golang.channel_index import behind
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.functions import outer_function, result_nodes
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.leaving import Leave
from threadmend.golang.locks import declaration_of, held_at
from threadmend.golang.package import Decl
from threadmend.golang.runners import only_launches
from threadmend.golang.stops import Stop, leaves_loop, stops_at
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Fix

from ._pause_of_object import left_behind
from ._stop_cases import in_select

__all__ = ["Unheard", "unheard_by"]

_REASON = "the goroutine now leaves without having sent"


@dataclass(frozen=True, slots=True)
class Unheard:
    """The stop that nobody listens to, and the fix or why there is none."""

    stop: Stop
    fix: Fix | str


def unheard_by(file: GoFile, send: Node) -> Unheard | None:
    """Return the stop of an object for which its goroutine's send could listen, as nobody does.

    The goroutine sends in a loop, by itself or through a method that does nothing else; what it
    sends has no room.
    """
    function = send.function
    decl = declaration_of(file, function) if function is not None else None
    if decl is None or decl.kind != "method" or decl.exported or function is None or file.is_test:
        return None
    operand = send["channel"].get("operand")
    channel = behind(file, send)
    if operand is None or operand.kind != "identifier" or held_at(file, send):
        return None
    if channel.shared is None or not channel.shared.is_field or not channel.unbuffered:
        return None
    if any(o.has_alternative for o in channel.of("send")):
        return None
    if not only_launches(file, function, through_fields=True):
        return None
    drained = channel.of("receive", "range")
    if drained and all(_takes_all(o) for o in drained):
        return None
    own = _own_stops(file, send, operand.name)
    stop = next((s for s in own if _is_unheard(decl, s, drained)), None)
    if stop is None:
        return None
    if innermost_loop(send) is not None:
        return Unheard(stop, in_select(file, send, stop, _REASON))
    return _through_helper(file, function, decl, send, stop)


def _takes_all(receive: ChannelOperation) -> bool:
    """Return whether a loop goes on until the channel is closed: its sender never waits long."""
    loop = receive.node.parent
    return receive.kind == "range" and loop is not None and not leaves_loop(loop)


def _own_stops(file: GoFile, send: Node, owner: str) -> Iterator[Stop]:
    for stop in stops_at(file, send):
        if not stop.context and stop.receive.startswith(f"{owner}."):
            yield stop


def _is_unheard(method: Decl, stop: Stop, drained: list[ChannelOperation]) -> bool:
    """Return whether a stop is closed, and nothing ever receives from it.

    Who closes it does not take what is left, either.
    """
    owner = method.file.package.lookup(method.receiver)
    name = stop.receive.rpartition(".")[2]
    if owner is None or owner.kind != "type":
        return False
    channel = shared_channel_of(owner, name)
    if not channel.makes or channel.exported or channel.escapes or channel.stores:
        return False
    operations = [o for o in channel.operations if not o.file.is_test]
    closing = {outer_function(o.node) for o in operations}
    if any(outer_function(o.node) in closing for o in drained):
        return False
    return {o.kind for o in operations} == {"close"}


def _through_helper(
    file: GoFile, function: Node, decl: Decl, send: Node, stop: Stop
) -> Unheard | None:
    """Return the finding of a method that only sends: its callers leave their loops."""
    if _tells_success(function, send):
        return _told_to_callers(file, decl, send, stop)
    if function["body"].statements != [send] or result_nodes(function):
        return None
    field = stop.receive.rpartition(".")[2]
    edits: tuple[Edit, ...] = ()
    for site in callers(decl):
        call = site.call
        if call is None or site.launched or site.deferred or innermost_loop(call) is None:
            return None
        left = left_behind(site.file, call, field)
        if left is None:
            return Unheard(stop, "where a caller would go on then cannot be told")
        edits += left
    fix = in_select(file, send, stop, _REASON, leave=Leave(""))
    return Unheard(stop, replace(fix, edits=fix.edits + edits) if isinstance(fix, Fix) else fix)


def _tells_success(function: Node, send: Node) -> bool:
    """Return whether a method sends and returns true, whatever happens."""
    results, statements = result_nodes(function), function["body"].statements
    return (
        len(statements) == 2
        and statements[0] is send
        and statements[1].text == b"return true"
        and [r.text for r in results] == [b"bool"]
    )


def _told_to_callers(file: GoFile, decl: Decl, send: Node, stop: Stop) -> Unheard | None:
    """Return the finding of a method whose callers all leave when it returns false."""
    sites = all_sites(decl)
    if not sites or not all(s.call is not None and _leaves_without(s.call) for s in sites):
        return None
    return Unheard(stop, in_select(file, send, stop, _REASON, leave=Leave("return false")))


def _leaves_without(call: Node) -> bool:
    """Return whether a call in a loop is asked in `if !emit(line) { return }`."""
    test = call.parent
    above = test.parent if test is not None else None
    if test is None or above is None or innermost_loop(call) is None:
        return False
    if test.kind != "unary_expression" or test["operator"].kind != "!":
        return False
    if above.kind != "if_statement" or test.field != "condition":
        return False
    last = above["consequence"].statements[-1:]
    return bool(last) and last[0].kind in {"return_statement", "break_statement"}
