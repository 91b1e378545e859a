"""Let a send end when nobody will receive any more

A plain send waits until somebody receives. When the receiver has left (its context was
cancelled, its stop channel closed, its caller had enough), the sender waits for ever: the
goroutine, its stack and all that it refers to stay, and so does whoever waits for it.

Seven forms are found:
- a goroutine that sends in a loop (or in a callback or closure that it runs again and again),
  with a context or stop channel in scope that it ignores;
- a send of an object's goroutine where the object closes a stop that nobody listens to;
- a send on a field's channel whose receivers all leave on a stop that is in scope here;
- a send in the default case of the select that asks for the stop: it comes too late there;
- a send on a parameter or a result in a loop that leaves on its context, but not from the send;
- a send below a look at the context, to a receiver that cancels it and leaves;
- a goroutine that sends in a loop to the function that launched it, which leaves its range early.

Not reported:
- a channel that is drained to its end, or has room for what is sent;
- the reply to a request of the same round that has room, or whose requester waits for it alone;
- a send under a lock, or in the function that closes the stop itself.

A hint (low confidence): the one send of an exported method without a result, which no goroutine
of the module calls: its callers may know that nothing is asked for after the stop, and would not
learn that their value was dropped.

Unsafe: the function now leaves without having sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from threadmend.golang.access import selector_meant
from threadmend.golang.calls import callers
from threadmend.golang.channel_index import Behind, behind
from threadmend.golang.channels import ChannelOperation, runner_of
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.infer import is_decl
from threadmend.golang.leaving import Leave
from threadmend.golang.locks import declaration_of, held_at
from threadmend.golang.runners import only_launches
from threadmend.golang.stops import Stop, endless, leaves_loop, listens, stops_at
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Finding, Fix

from ._asked_before import asked_before
from ._behind_default import behind_default
from ._bodies import bodies
from ._in_callbacks import leave_of, runs_again_in
from ._left_behind import is_asked_alone, left_by
from ._left_ranges import left_ranges
from ._outgoing import outgoing
from ._replies import is_reply
from ._result_takers import Taken, taken, taken_of_field
from ._stop_cases import finding, in_select, partners_too
from ._stop_unheard import unheard_by
from ._streamed import streamed, with_context

CATEGORY = "goroutine"
GATE = rb"<-"

_SENDS = re.compile(rb"<-")
_REASON = "the function now leaves without having sent"
_DROPS = "what is left then is dropped"


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the sends that wait for a receiver who may have left."""
    seen: set[Node] = set()
    for send in _goroutine_sends(file):
        stop = _ignored(file, send)
        if stop is not None:
            seen.add(send)
            message = f"the goroutine sends on {send['channel'].name}"
            message += f" without listening to {stop.receive}"
            fix = in_select(file, send, stop, _REASON, leave=leave_of(file, send))
            if isinstance(fix, str) and _comes_round(file, send):
                fix = in_select(file, send, stop, _DROPS, leave=Leave(""))
            if isinstance(fix, Fix):
                also = partners_too(behind(file, send), stop, "receive")
                fix = replace(fix, edits=fix.edits + also)
            found = finding(file, send, message, fix)
            if _taken(file, send) is Taken.PART:
                yield found
            elif _taken(file, send) is Taken.PERHAPS:
                yield replace(found, confidence=Confidence.LOW)
            continue
        given = streamed(file, send)
        if given is not None:
            seen.add(send)
            message = f"the goroutine sends on {send['channel'].name}"
            message += f" without listening to {given.calls[0][2].receive} of who launched it"
            yield finding(file, send, message, with_context(file, send, given))
    for send in file.find("send_statement", _SENDS):
        if send in seen or send.field == "communication":
            continue
        if send.parent is not None and send.parent.kind == "default_case":
            yield from behind_default(file, send)
            continue
        stop = left_by(file, send)
        if stop is not None:
            message = f"whoever receives from {send['channel'].name} leaves on {stop.receive},"
            message += " and this send does not"
            seen.add(send)
            found = finding(file, send, message, in_select(file, send, stop, _REASON))
            yield replace(found, confidence=Confidence.LOW) if is_asked_alone(file, send) else found
            continue
        unheard = unheard_by(file, send)
        if unheard is not None:
            message = f"nobody listens to {unheard.stop.receive}, and the goroutine waits for ever"
            message += f" on its send to {send['channel'].name}"
            seen.add(send)
            yield finding(file, send, message, unheard.fix)
            continue
        out = outgoing(file, send)
        fix = out.fix(file) if out is not None else ""
        if out is not None and isinstance(fix, Fix):
            seen.add(send)
            found = finding(file, send, out.message, fix)
            if _taken(file, send) is Taken.PART:
                yield found
            elif _taken(file, send) is Taken.PERHAPS:
                yield replace(found, confidence=Confidence.LOW)
            continue
        asked = asked_before(file, send)
        if asked is not None:
            stop, leave = asked
            message = f"{stop.context} is asked before, and the send on"
            message += f" {send['channel'].name} waits for ever when its receiver leaves then"
            seen.add(send)
            yield finding(file, send, message, in_select(file, send, stop, _REASON, leave=leave))
    told = {(send.path, send.start) for send in seen}
    yield from (found for found in left_ranges(file) if (found.path, found.start) not in told)


def _goroutine_sends(file: GoFile) -> Iterator[Node]:
    """Yield the plain sends that a goroutine makes, in functions too that it calls."""
    launched = set(bodies(file))
    for send in file.find("send_statement", _SENDS):
        if send.field == "communication":
            continue
        if (
            send.function in launched
            or _runs_in_goroutine(file, send)
            or runs_again_in(file, send) is not None
            or any(
                isinstance(runner_of(operation, made.function), Launch)
                for made in behind(file, send).local
                for operation in made.of("send")
                if operation.node is send and made.function is not None
            )
        ):
            yield send


def _runs_in_goroutine(file: GoFile, send: Node) -> bool:
    """Return whether a send on a field's channel stands in a method that goroutines alone call."""
    function = send.function
    if function is None or function.kind != "method_declaration":
        return False
    if function["name"].name[:1].isupper() or selector_meant(file, send["channel"]) is None:
        return False
    return bool(only_launches(file, function))


def _comes_round(file: GoFile, send: Node) -> bool:
    """Return whether the loop of a send ends by itself, and who calls its function listens."""
    loop, function = innermost_loop(send), send.function
    if loop is None or endless(loop) or function is None:
        return False
    decl = declaration_of(file, function)
    loops = [innermost_loop(s.call) for s in callers(decl) if s.call] if decl is not None else []
    return bool(loops) and all(x is not None and listens(file, x) for x in loops)


# -- a loop that ignores what is in scope --------------------------------------------------


def _ignored(file: GoFile, send: Node) -> Stop | None:
    """Return the stop that a sending loop of a goroutine could listen to."""
    loop = innermost_loop(send)
    channel = behind(file, send)
    body = runs_again_in(file, send)
    if loop is None and body is None:
        return _unasked(file, send, channel)
    if body is not None:
        loop = body  # what repeats the send is the goroutine's own
    assert loop is not None
    if listens(file, loop) or held_at(file, send):
        return None
    if not channel.local and channel.shared is None:
        return None
    if is_reply(file, send, loop, channel):
        return None
    if any(o.has_alternative for o in channel.of("send")):
        return None
    for_ever = body is None and endless(loop) and not leaves_loop(loop)
    if channel.shared is not None:
        if not channel.shared.is_field:
            return None
        if not for_ever or send.function not in set(bodies(file)):
            return _unasked(file, send, channel)
    elif not _may_be_left(file, channel, for_ever):
        return None
    stops = [s for s in stops_at(file, send) if _given(send, s)]
    if channel.shared is None and not for_ever:
        # A stop of the whole object says nothing about one call's channel.
        stops = [s for s in stops if s.context or "." not in s.receive]
    return next((s for s in stops if s.receive != send["channel"].name), None)


def _unasked(file: GoFile, send: Node, channel: Behind) -> Stop | None:
    """Return the stop of an object for whose channel nobody in sight receives.

    The object's user receives, from what a method returns, and may stop the object instead.
    """
    if channel.shared is None or not channel.shared.is_field or not channel.unbuffered:
        return None
    if channel.of("receive", "range") or held_at(file, send):
        return None
    if not all(_ends_goroutine(close) for close in channel.of("close")):
        return None
    if any(o.has_alternative for o in channel.of("send")):
        return None
    operand = selector_meant(file, send["channel"])
    owner = operand["operand"].name if operand is not None else ""
    found = (s for s in stops_at(file, send) if s.receive.startswith(f"{owner}."))
    return next(found, None) if owner else None


def _ends_goroutine(close: ChannelOperation) -> bool:
    """Return whether a close is deferred by the goroutine: its user learns that it has ended."""
    statement, body = close.node.parent, close.node.function
    deferred = statement is not None and statement.kind == "defer_statement"
    return deferred and body in set(bodies(close.file))


def _may_be_left(file: GoFile, channel: Behind, for_ever: bool) -> bool:
    """Return whether the receivers of a local channel may go before the sender.

    Who gets the channel as a result may stop receiving whenever it likes; a visible receiver
    when its loop is left.
    """
    if for_ever:
        return True
    for made in channel.local:
        if any(_drains(operation.node) for operation in made.of("range")):
            return False
        if made.capacity is not None and not _is_constant(file, made.capacity):
            return False
        if made.capacity is not None and not made.of("range"):
            return False
        if any(_is_returned(node) for node in made.escapes):
            return True
        for operation in made.of("range"):
            clause = operation.node.parent
            if clause is not None and not made.escapes and leaves_loop(clause):
                return True
    return False


def _taken(file: GoFile, send: Node) -> Taken:
    """Return how much of what comes by a returned channel those who call for it take."""
    loop, after = innermost_loop(send), send.next
    last = after is not None and after.kind in {"return_statement", "break_statement"}
    if loop is not None and endless(loop) and not last:
        return Taken.PART  # it has no end that a receiver could wait for
    channel = behind(file, send)
    returned = [c for c in channel.local if any(map(_is_returned, c.escapes))]
    found = {taken(file, made) for made in returned}
    if channel.shared is not None:
        found.add(taken_of_field(channel.shared) or Taken.PART)
    return next((x for x in (Taken.PART, Taken.PERHAPS, Taken.WHOLE) if x in found), Taken.PART)


def _drains(clause: Node) -> bool:
    """Return whether `for range ch {}` takes what is left over, or a deferred loop to the end."""
    loop = clause.parent
    if loop is None or loop.kind != "for_statement":
        return False
    literal = loop.function
    last = literal is not None and literal.kind == "func_literal" and literal.is_deferred
    return not loop["body"].statements or (last and not leaves_loop(loop))


def _is_constant(file: GoFile, capacity: Node) -> bool:
    """Return whether a capacity is a number that has nothing to do with what is sent."""
    if capacity.kind == "int_literal":
        return True
    meant = file.resolve(capacity) if capacity.kind == "identifier" else None
    return is_decl(meant, "const")


def _is_returned(node: Node) -> bool:
    group = node.parent
    return (
        group is not None and group.parent is not None and (group.parent.kind == "return_statement")
    )


def _given(send: Node, stop: Stop) -> bool:
    """Return whether a stop is a context, or belongs to the goroutine or its method."""
    owner = stop.receive.partition(".")[0]
    if stop.context and "." not in stop.context:
        return True
    top = send.tree.declaration_at(send.start)
    receiver = top.node.get("receiver") if top is not None else None
    own = receiver is not None and any(n.name == owner for n in receiver.find("identifier"))
    return own or "." not in stop.receive or bool(stop.context)
