"""Let a receive end when nobody will send any more

A receive waits until somebody sends or closes. When the goroutine that should send has an exit
on which it does neither, or has left because its stop channel was closed, the function that
waits for its answer never returns, whatever its caller does with the context.

Six forms are found:
- a receive from a channel made here, whose only sender has a path without a send or close,
  in a function that has a context;
- a receive from a channel made here that was given to an interface's method or a function
  value, for one answer, when the context of this function was not;
- a receive from a field's channel whose senders all leave on a stop that is in scope here;
- a receive from the channel of a request that was just made, and that who answers looks up in a
  map, in a function that is given a context and never uses it;
- a receive from a channel that an object has in a list or map of its own, for news that may
  never come, when the context of this function was given to nobody;
- a receive from a field's channel on which nobody in the project sends, and which nobody
  closes (no rewrite is offered).

Not reported: a channel that is closed by a defer, or by somebody else; a receive that is one
of several cases of a select; a field that is exported, set from outside or handed out.

Unsafe: the function now leaves without having received.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import with_capacity
from threadmend.golang.channel_fields import SharedChannel
from threadmend.golang.channel_index import Behind, behind
from threadmend.golang.channels import Channel, ChannelOperation, runner_of
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Flow, Point, flow_of
from threadmend.golang.flow_graph import Label
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.locks import held_at
from threadmend.golang.runners import only_launches
from threadmend.golang.scope import Binding, bindings_in
from threadmend.golang.stops import Stop, stops_at
from threadmend.golang.syntax import Node
from threadmend.model import Finding, Fix

from ._answered import answers_what_it_took
from ._asked import asked, begun, with_room_for_one
from ._context_ignored import ignored_context, leaving_room
from ._deserted_copies import left_by_copies
from ._nobody_sends import never_sent
from ._registered import registered
from ._stop_cases import deserted_by, finding, in_select, name_of

CATEGORY = "goroutine"
GATE = rb"<-"

_RECEIVES = re.compile(rb"<-")
_REASON = "the function now leaves without having received"


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the receives that wait for a sender who may have left."""
    for receive in file.find("unary_expression", _RECEIVES):
        if receive["operator"].kind != "<-":
            continue
        yield from never_sent(file, receive)
        if _in_case(receive):
            continue
        yield from _begun(file, receive)
        yield from _registered(file, receive)
        operand = receive["operand"]
        if operand.kind not in {"identifier", "selector_expression"}:
            continue
        channel = behind(file, receive)
        if channel.local:
            yield from _missing(file, receive, channel)
            yield from _asked(file, receive, channel)
        elif operand.kind == "selector_expression" and channel.shared is not None:
            if not channel.unbuffered and _gives_back(receive):
                continue
            ignored = ignored_context(file, receive, channel.shared)
            if ignored is not None:
                name = operand.name
                message = f"the receive from {name} does not listen to {ignored.receive},"
                message += " which the function is given and never uses"
                fix = leaving_room(file, receive, ignored, channel.shared, _REASON)
                yield finding(file, receive, message, fix)
                continue
            yield from _deserted(file, receive, channel)
            yield from _unanswered(file, receive, channel.shared)


def _gives_back(receive: Node) -> bool:
    """Return whether a receive drops its value: with a buffer, it gives back a token."""
    return receive.parent is not None and receive.parent.kind == "expression_statement"


def _in_case(receive: Node) -> bool:
    for ancestor in receive.ancestors():
        if ancestor.kind == "communication_case":
            communication = ancestor.get("communication")
            return communication is not None and communication.contains(receive)
        if ancestor.kind == "block":
            return False
    return False


# -- a sender that may leave without sending -----------------------------------------------


def _missing(file: GoFile, receive: Node, channel: Behind) -> Iterator[Finding]:
    if len(channel.local) != 1 or channel.local[0].escapes:
        return
    made = channel.local[0]
    if made.function is not receive.function:
        return
    exit_ = _exit_without(made)
    if exit_ is None:
        return
    name = made.binding.name
    for stop in stops_at(file, receive):
        if stop.context and stop.receive != name and not held_at(file, receive):
            message = f"the sender of {name} may return without sending,"
            message += f" and the receive does not listen to {stop.receive}"
            fix = in_select(file, receive, stop, _REASON)
            if isinstance(fix, Fix) and made.unbuffered:
                fix = _with_room(made, fix)
            yield finding(file, receive, message, fix)
            return


def _with_room(channel: Channel, fix: Fix) -> Fix | str:
    """Give the channel room for the one value that may come after the receiver has left."""
    sends = [operation.node for operation in channel.of("send")]
    body = sends[0].function
    if body is None:
        return "the sender cannot be told"
    flow = flow_of(body)
    points = [flow.point_of(send) for send in sends]
    for point in points:
        if point is not None and any(p in flow.reachable(point) for p in points if p):
            return "the sender may send more than one value"
    room = with_capacity(channel.make, "1", channel.maker)
    title = f"{fix.title}, and make {channel.binding.name} with a buffer of 1"
    return Fix(title, (*fix.edits, room), fix.safety, fix.reason)


def _asked(file: GoFile, receive: Node, channel: Behind) -> Iterator[Finding]:
    """Yield the wait for an answer of code that cannot be seen, and that knows no context."""
    made = channel.local[0]
    if len(channel.local) != 1 or made.function is not receive.function:
        return
    stop = asked(file, receive, made)
    if stop is not None:
        message = f"an answer on {made.binding.name} may never come,"
        message += f" and the receive does not listen to {stop.receive}"
        yield finding(file, receive, message, with_room_for_one(file, receive, stop, made, _REASON))


def _begun(file: GoFile, receive: Node) -> Iterator[Finding]:
    """Yield the wait for a goroutine that a called function launched, and that may take long."""
    found = begun(file, receive)
    if found is not None:
        stop, made, name = found
        message = f"what {name} began may never end,"
        message += f" and the receive does not listen to {stop.receive}"
        yield finding(file, receive, message, with_room_for_one(file, receive, stop, made, _REASON))


def _registered(file: GoFile, receive: Node) -> Iterator[Finding]:
    """Yield the wait for what an object sends, some day, to the channels that it has in a list."""
    found = registered(file, receive)
    if found is not None:
        stop, made = found
        message = f"nobody may ever send on {_named(receive['operand'])},"
        message += f" and the receive does not listen to {stop.receive}"
        yield finding(file, receive, message, with_room_for_one(file, receive, stop, made, _REASON))


def _named(operand: Node) -> str:
    """Return a channel as a message names it: what was called for it, or the variable."""
    call = operand.kind == "call_expression"
    return f"what {operand['function'].name} returns" if call else operand.name


def _exit_without(channel: Channel) -> Node | None:
    """Return the exit on which the only goroutine that sends neither sends nor closes."""
    function = channel.function
    operations = channel.of("send", "close")
    if function is None or not channel.of("send"):
        return None
    runners = [runner_of(operation, function) for operation in operations]
    bodies = {id(r.body): r for r in runners if isinstance(r, Launch) and r.kind != "timer"}
    if len(bodies) != 1 or not all(isinstance(r, Launch) for r in runners):
        return None
    launch = next(iter(bodies.values()))
    body = launch.body
    if body is None or launch.loop is not None:
        return None
    if any(o.node.function is not body or o.has_alternative for o in operations):
        return None
    return _exit_before(body, operations, {"return", "end", "goexit"})


def _exit_before(body: Node, operations: list[ChannelOperation], kinds: set[str]) -> Node | None:
    """Return an exit of some kind that a function reaches without any of its operations."""
    flow = flow_of(body)
    points = {flow.point_of(operation.node) for operation in operations}
    if None in points or not flow.complete or any(flow.in_loop(p) for p in points if p):
        return None
    asked = {o.node["channel"].text for o in operations if o.node.kind == "send_statement"}
    start, label = _where_asked(body, flow, asked)
    exits = flow.exits_from(start, stop=lambda p: p in points, label=label)
    return next((e.node for e in exits if e.kind in kinds), None)


def _where_asked(body: Node, flow: Flow, channels: set[bytes]) -> tuple[Point, Label | None]:
    """Return from where on there is a channel: `if r.reply != nil { … }`. Nobody waits else."""
    for test in body.own() if len(channels) == 1 else ():
        condition = test.get("condition") if test.kind == "if_statement" else None
        if condition is None or condition.kind != "binary_expression":
            continue
        point = flow.point_of(condition)
        if condition["left"].text in channels and condition["right"].kind == "nil":
            if point is not None and condition["operator"].kind in {"!=", "=="}:
                return point, "true" if condition["operator"].kind == "!=" else "false"
    return flow.entry, None


# -- a request that may stay without an answer ---------------------------------------------


def _unanswered(file: GoFile, receive: Node, channel: SharedChannel) -> Iterator[Finding]:
    """Yield the receive of an answer, on a channel of the request, that may never be sent.

    The function made the request with its channel and gave it away, or its caller did; the one
    function that answers returns on some path without a send.
    """
    made = channel.makes[0] if len(channel.makes) == 1 else None
    if made is None or channel.of("close"):
        return
    here = made.call.function is receive.function
    if not here and not _is_asked_for(file, receive, channel):
        return
    if not channel.is_field or channel.stores or channel.escapes or held_at(file, receive):
        return
    exit_ = _exit_of_answerer(channel, receive, literals=not here)
    if exit_ is None:
        return
    stop = next((s for s in stops_at(file, receive) if s.context), None)
    if stop is None or not (here or _is_parameter(receive.function, stop)):
        return
    name = receive["operand"].name
    how = "go on" if exit_.kind == "identifier" else "return"
    message = f"who answers on {name} may {how} without an answer,"
    message += f" and the receive does not listen to {stop.receive}"
    fix = in_select(file, receive, stop, _REASON)
    if isinstance(fix, Fix) and made.unbuffered:
        room = with_capacity(made.call, "1", made.maker)
        fix = Fix(fix.title, (*fix.edits, room), fix.safety, fix.reason)
    yield finding(file, receive, message, fix)


def _is_parameter(function: Node | None, stop: Stop) -> bool:
    """Return whether a function takes a context as a parameter of its own."""
    names = bindings_in(function).get(stop.context, ()) if function is not None else ()
    return any(binding.kind == "parameter" for binding in names)


def _is_asked_for(file: GoFile, receive: Node, channel: SharedChannel) -> bool:
    """Return whether goroutines alone answer, and one function of the project receives, once.

    The request was made by its caller, who hands it over: `q := newQuestion(field)`,
    `go t.augur(ctx, q)`, `return q.answer(ctx)`.
    """
    sends = channel.of("send")
    receives = [r for r in channel.of("receive", "range") if not r.file.is_test]
    if len(receives) != 1 or receives[0].node is not receive or channel.exported or file.is_test:
        return False
    if innermost_loop(receive) is not None or channel.of("len", "compare"):
        return False
    for send in sends:
        launches = only_launches(send.file, send.node.function) if send.node.function else []
        if not launches or any(launch.kind != "go" for launch in launches):
            return False
    return bool(sends)


def _exit_of_answerer(
    channel: SharedChannel, receive: Node, *, literals: bool = False
) -> Node | None:
    """Return the exit on which the only function that answers does not send."""
    sends = channel.of("send")
    body = sends[0].node.function if sends else None
    if body is None or body is receive.function:
        return None
    if body.kind == "func_literal" and not literals:
        return None
    if any(s.node.function is not body or s.has_alternative or s.calls for s in sends):
        return None
    return _exit_before(body, sends, {"return", "end"}) or _round_without(body, sends)


def _round_without(body: Node, sends: list[ChannelOperation]) -> Node | None:
    """Return where a loop takes the next request although it has not answered the last one.

    for r := range s.requests {
        if !known(r.key) {
            continue
        }
        r.reply <- …
    }
    """
    roots = {_holder(send) for send in sends}
    binding = roots.pop() if len(roots) == 1 else None
    if binding is None or binding.function is not body:
        return None
    if not all(use is binding.node or _is_part(use) for use in binding.uses):
        return None  # somebody else may answer it
    flow = flow_of(body)
    points = {flow.point_of(send.node) for send in sends}
    start = flow.point_of(binding.node)
    loop = innermost_loop(sends[0].node)
    if start is None or None in points or not flow.complete or loop is None:
        return None
    if innermost_loop(binding.node) is not loop and binding.declaration.parent is not loop:
        return None
    return binding.node if start in flow.reachable(start, stop=points.__contains__) else None


def _holder(send: ChannelOperation) -> Binding | None:
    """Return the variable of a request on whose channel an answer is sent: r of `r.reply`."""
    operand = send.node["channel"]
    owner = operand["operand"] if operand.kind == "selector_expression" else None
    return send.file.binding(owner) if owner is not None and owner.kind == "identifier" else None


def _is_part(use: Node) -> bool:
    return use.parent is not None and use.parent.kind == "selector_expression"


# -- senders that have left ----------------------------------------------------------------


def _deserted(file: GoFile, receive: Node, channel: Behind) -> Iterator[Finding]:
    if channel.of("close") or answers_what_it_took(receive, channel.of("send")):
        return
    left = deserted_by(file, receive, channel, ("send",))
    if held_at(file, receive):
        return
    if left is None:
        stop = left_by_copies(file, receive, channel, ("send",))
    else:
        stop = _visible(file, receive, left)
    if stop is not None:
        message = f"whoever sends on {receive['operand'].name} leaves on {stop.receive},"
        message += " and this receive does not"
        yield finding(file, receive, message, in_select(file, receive, stop, _REASON))


def _visible(file: GoFile, receive: Node, left: str) -> Stop | None:
    owner = receive["operand"]["operand"].name
    for stop in stops_at(file, receive):
        if name_of(stop) == left and stop.receive.startswith(f"{owner}."):
            return stop
    return None
