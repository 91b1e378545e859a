"""Sends to whoever gets a channel, in a loop that leaves on its context, but not from the send.

    for {
        select {
        case <-ctx.Done():
            return
        case v := <-in:
            out <- v        // whoever received may have left on the same context
        }
    }

`out` is a parameter, what the function returns, or a field that a method returns. The send may
stand in a function of its own that the loop calls, or in a method of the same object, with a
context to be had from there. A loop that only asks, `for ctx.Err() == nil`, leaves as well.
"""

from __future__ import annotations

import re
from dataclasses import replace

from threadmend.golang.builders import BuilderError
from threadmend.golang.calls import callers
from threadmend.golang.channel_index import Behind, behind
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.iterations import own_condition
from threadmend.golang.locks import declaration_of, held_at
from threadmend.golang.scope import position_of
from threadmend.golang.stops import Stop, endless, leaves_loop, stops_at
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan, is_named
from threadmend.model import Fix

from ._drained_by_caller import drained_by_caller
from ._given_context import Given, given_context
from ._outlasted import outlasts
from ._result_takers import Taken, taken_of_field
from ._stop_cases import in_select, leaves_on

__all__ = ["Outgoing", "outgoing"]

_REASON = "the function now leaves without having sent"
_DEPTH = 2


class Outgoing:
    """A send that waits although its loop leaves on `stop`; `given`: it gets the context."""

    def __init__(self, send: Node, stop: Stop, given: Given | None = None) -> None:
        self.send = send
        self.stop = stop
        self.given = given

    @property
    def message(self) -> str:
        """Return what is wrong."""
        heard = self.given.calls[0][2] if self.given is not None else self.stop
        name = self.send["channel"].name
        return f"the loop leaves on {heard.receive}, but not from this send on {name}"

    def fix(self, file: GoFile) -> Fix | str:
        """Return the select, with the edits that bring the context to it."""
        fix = in_select(file, self.send, self.stop, _REASON)
        if isinstance(fix, str) or self.given is None:
            return fix
        try:
            return replace(fix, edits=fix.edits + self.given.edits())
        except BuilderError as error:
            return str(error)


def outgoing(file: GoFile, send: Node) -> Outgoing | None:
    """Return how a plain send may outlive the loop around it, if it may."""
    if not _may_wait(file, send) or held_at(file, send):
        return None
    loop = innermost_loop(send)
    stop = _left_on(file, loop) if loop is not None else None
    if stop is not None:
        return Outgoing(send, stop)
    if not _is_fed(file, send["channel"]):
        return None
    own = next((s for s in stops_at(file, send) if s.context and _is_own(s)), None)
    if own is not None:
        return Outgoing(send, own)
    given = given_context(file, send)
    return Outgoing(send, given.stop, given) if given is not None else None


def _is_own(stop: Stop) -> bool:
    """Return whether a stop is no object's: it ends the same work as the channel."""
    return "." not in (stop.context or stop.receive).partition("(")[0].replace(".Context", "")


def _may_wait(file: GoFile, send: Node) -> bool:
    """Return whether the receiver is out of sight, or leaves before the channel is closed."""
    name = send["channel"]
    if name.kind == "selector_expression":
        return _is_handed_out(file, send)
    binding = file.binding(name) if name.kind == "identifier" else None
    if binding is None or not isinstance(file.underlying(file.type_of(name)), Chan):
        return False
    channel = behind(file, send)
    if channel.local:
        return channel.unbuffered and _is_left(channel, send)
    if binding.kind != "parameter" or binding.scope is not send.function:
        return False
    return not drained_by_caller(file, binding)


def _is_handed_out(file: GoFile, send: Node) -> bool:
    """Return whether only those receive from a field's channel whom a method gives it to."""
    channel = behind(file, send)
    shared = channel.shared
    if shared is None or not shared.is_field or shared.stores or not channel.unbuffered:
        return False
    if any(not o.file.is_test for o in shared.of("receive", "range")):
        return taken_of_field(shared) is Taken.PART
    return bool(shared.escapes) and all(_goes_out(escape) for escape in shared.escapes)


def _is_left(channel: Behind, send: Node) -> bool:
    receives = channel.of("receive", "range")
    for operation in receives:
        if operation.kind == "range":
            loop = operation.node.parent
            if loop is not None and leaves_loop(loop):
                return True
        elif leaves_on(operation) and not outlasts(operation, send):
            return True
    return not receives and any(_goes_out(e) for made in channel.local for e in made.escapes)


def _goes_out(escape: Node) -> bool:
    """Return whether a channel is returned, or passed to code that is not visible."""
    group = escape.parent
    if group is None or group.parent is None:
        return False
    return group.parent.kind == "return_statement" or group.kind == "argument_list"


_STOPS = re.compile(r"<-((\w+(?:\.Context\(\))?)\.Done\(\)|\w+)")
_NAMES = re.compile(r"(?i)done|stop|quit|exit|clos|shut|term|cancel|abort|kill|halt|finish|die")


def _left_on(file: GoFile, loop: Node) -> Stop | None:
    """Return the context, or the parameter named for it, on which an endless loop is left."""
    asked = _asks(file, loop)
    if asked is not None:
        return asked
    for case in loop["body"].own() if endless(loop) else ():
        communication = case.get("communication") if case.kind == "communication_case" else None
        found = _STOPS.fullmatch(communication.name) if communication else None
        last = case.statements[-1].kind if found and case.statements else ""
        if communication is not None and found is not None and last in _LEAVES:
            stop = file.binding(next(communication.find("identifier")))
            named = stop is not None and stop.kind == "parameter" and _NAMES.search(found[1])
            if found[2] or named:
                return Stop(found[1], found[2] or "")
    return None


def _asks(file: GoFile, loop: Node) -> Stop | None:
    """Return the context that a loop asks before each round: `for ctx.Err() == nil`."""
    condition = own_condition(loop)
    if condition is None or condition.kind != "binary_expression":
        return None
    call = condition["left"]
    if condition["operator"].kind != "==" or condition["right"].kind != "nil":
        return None
    if call.kind != "call_expression" or call["function"].kind != "selector_expression":
        return None
    context = call["function"]["operand"]
    if call["function"]["field"].name != "Err" or context.kind != "identifier":
        return None
    if not is_named(file.type_of(context), "context.Context"):
        return None
    return Stop(f"{context.name}.Done()", context.name)


_LEAVES = frozenset({"return_statement", "break_statement", "goto_statement"})


def _is_fed(file: GoFile, name: Node, depth: int = _DEPTH) -> bool:
    """Return whether a loop that leaves on its context hands a channel on as this parameter.

    Or as a part of the object whose method this is.
    """
    if name.kind == "selector_expression":
        return _is_fed_by_own(file, name, depth)
    binding = file.binding(name) if name.kind == "identifier" else None
    function = name.function
    if binding is None or function is None or binding.scope is not function:
        return False
    position = position_of(function, binding) if binding.kind == "parameter" else None
    decl = declaration_of(file, function)
    if position is None or decl is None or depth == 0:
        return False
    for site in callers(decl):
        arguments = site.call["arguments"].children if site.call is not None else []
        if site.call is None or site.launched or position >= len(arguments):
            continue
        given = arguments[position]
        loop, outer = innermost_loop(site.call), site.call.function
        meant = site.file.binding(given) if given.kind == "identifier" else None
        stop = _left_on(site.file, loop) if loop is not None else None
        if stop is not None and stop.context and meant is not None and meant.scope is outer:
            return True  # the channel is as old as the function, not made for this round
        if _is_fed(site.file, given, depth - 1):
            return True
    return False


def _is_fed_by_own(file: GoFile, field: Node, depth: int) -> bool:
    """Return whether a method of the same object calls this one in a loop that leaves so."""
    function = field.function
    decl = declaration_of(file, function) if function is not None else None
    if decl is None or depth == 0 or not _is_receiver(file, field["operand"]):
        return False
    for site in callers(decl):
        call, owner = site.call, site.call["function"].get("operand") if site.call else None
        if call is None or owner is None or site.launched or not _is_receiver(site.file, owner):
            continue
        loop = innermost_loop(call)
        stop = _left_on(site.file, loop) if loop is not None else None
        if (stop is not None and stop.context) or _is_fed_by_own(
            site.file, call["function"], depth - 1
        ):
            return True
    return False


def _is_receiver(file: GoFile, owner: Node) -> bool:
    """Return whether a name is that of the object whose method this is, outside of literals."""
    binding = file.binding(owner) if owner.kind == "identifier" else None
    return binding is not None and binding.kind == "receiver" and binding.scope is owner.function
