"""Let a send have a receiver, or room

A send on an unbuffered channel waits until somebody receives. When the goroutine that sends
is the one that would receive later, or that launches the receiver further down, it waits for
itself: the runtime says "all goroutines are asleep", or, when others still run, nothing. The
same goes for a field's channel from which no code receives.

Not reported: a channel that was stored or passed to code that is not visible before the send;
a send in a select that has another case; a receiver that is launched before the send, on some
path at least.

Unsafe: when the number of sends has no name, the sending loop moves into a goroutine; when the
channel is handed to others afterwards, or a goroutine sends too: they find the buffer that was
made for this send; when some path leaves the stuck send out; when the launch of the receiver
moves up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import is_assigned_once, uses_of
from threadmend.golang.builders import BuilderError, with_capacity, with_reason, wrap
from threadmend.golang.channels import Channel, ChannelOperation, runner_of
from threadmend.golang.counts import Count
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Flow, Point, flow_of
from threadmend.golang.functions import result_nodes
from threadmend.golang.goroutines import Launch, captures, innermost_loop
from threadmend.golang.local_fields import handed_channels, held_channels
from threadmend.golang.makers import making
from threadmend.golang.object_makers import FieldMaker, naming_makers
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._called_before_launch import called_before_launch
from ._closer import anchor_in
from ._each_once import each_once
from ._fed_before_launch import fed_before_launch
from ._nobody_receives import never_received
from ._sends_total import outermost_of, total_of
from ._sent_alone import behind_launch, sent_alone
from ._too_early import sent_too_early
from ._waits_before_receive import too_small, waited_for

CATEGORY = "channel"
GATE = rb"<-|\bgo \w+(?:\.\w+)+\(|:= \w+(?:\[[^\n]*\])?\("

_MAKES = re.compile(rb"\bmake\(\s*(?:chan\b|\w+[,)])")


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the sends that wait for a receiver which cannot come before them."""
    yield from each_once(
        file,
        _of_locals,
        never_received,
        sent_too_early,
        fed_before_launch,
        called_before_launch,
        _before_handed_on,
        _of_objects,
    )


def _of_objects(file: GoFile) -> Iterator[Finding]:
    """Yield those on channels of an object that a function gets from what makes it, and keeps."""
    calls = naming_makers(file.package)
    for function in file.functions(calls) if calls is not None else ():
        own = {channel.make for channel in held_channels(file, function)}
        for channel in held_channels(file, function, objects=True):
            flow = flow_of(function)
            if channel.make in own or channel.escapes or not channel.unbuffered:
                continue
            stuck = _stuck(function, channel, flow) if flow.complete else None
            if stuck is not None and channel.of("receive", "range"):
                yield _finding(file, function, channel, stuck)


def _before_handed_on(file: GoFile) -> Iterator[Finding]:
    """Yield those on channels in fields of an object that nobody else has yet."""
    for function in file.functions(making(file.package, _MAKES)):
        flow = flow_of(function)
        for channel in handed_channels(file, function):
            if flow.complete and channel.unbuffered and is_assigned_once(channel.binding):
                stuck = _stuck(function, channel, flow)
                if stuck is not None and len(stuck.calls) < 2:
                    yield _finding(file, function, channel, stuck)


def _of_locals(file: GoFile) -> Iterator[Finding]:
    """Yield those on channels of variables and of a local object's fields."""
    for function in file.functions(making(file.package, _MAKES)):
        for channel in held_channels(file, function):
            if not is_assigned_once(channel.binding):
                continue
            flow = flow_of(function)
            if not channel.unbuffered:
                yield from too_small(file, function, channel, flow)
                continue
            if any(e.function is not function for e in channel.escapes):
                continue
            waited = None
            if not channel.escapes:
                waited = waited_for(file, function, channel, flow)
            if waited is not None:
                yield waited
            elif flow.complete:
                stuck = _stuck(function, channel, flow)
                if stuck is not None:
                    yield _finding(file, function, channel, stuck)


def _stuck(function: Node, channel: Channel, flow: Flow) -> ChannelOperation | None:
    return next(_all_stuck(function, channel, flow), None)


def _all_stuck(function: Node, channel: Channel, flow: Flow) -> Iterator[ChannelOperation]:
    """Yield the sends of the function itself that no receiver can have been ready for.

    Where the channel escapes, somebody may receive from then on: what is sent before, waits.
    """
    receivers: list[Point] = []
    for escape in channel.escapes:
        gone = flow.point_of(escape)
        if gone is None:
            return
        receivers.append(gone)
    for receive in channel.of("receive", "range"):
        runner = runner_of(receive, function)
        if runner is function:
            continue
        launch = outermost_of(runner, function) if isinstance(runner, Launch) else None
        point = flow.point_of(launch) if launch is not None else None
        if point is None:
            return  # a literal that somebody else may run
        receivers.append(point)
    for send in channel.of("send"):
        if runner_of(send, function) is not function or send.has_alternative:
            continue
        if _in_select_with_default(send) or send.anchor.up("defer_statement") is not None:
            continue
        if send.anchor.function is not function or (send.calls and not _may_send(send)):
            continue
        point = flow.point_of(send.anchor)
        if point is None or not point.live:
            continue
        if not any(point in flow.reachable(r, feasible=False) for r in receivers):
            yield send


def _may_send(send: ChannelOperation) -> bool:
    """Return whether the called function sends: on every path, or for what it is given.

    On some paths only does where the arguments leave that open.
    """
    body = send.function
    flow = flow_of(body) if body is not None else None
    point = flow.point_of(send.node) if flow is not None else None
    if flow is None or body is None or point is None or len(send.calls) > 1:
        return False
    if not flow.exits_from(flow.entry, stop=lambda p: p is point):
        return True
    if not _is_given_some(send.calls[0]):
        return False
    loop = _feeding_loop(body, send.node)
    if loop is None:
        return _is_open(send)
    inside = {p for p in flow.points if p.live and loop.contains(p.node)}
    return not flow.exits_from(flow.entry, stop=inside.__contains__)


def _is_open(send: ChannelOperation) -> bool:
    """Return whether a call's arguments do not settle that the send is left out.

    No argument is written out, and no loop, flag of the object or other call decides.
    """
    tests = [n for n in send.node.ancestors() if n.kind == "if_statement"]
    if innermost_loop(send.node) is not None or len(tests) != 1 or send.function is None:
        return False
    if any(_CONSTANT.fullmatch(a.text) for a in send.calls[0]["arguments"].children):
        return False
    receiver = send.function.get("receiver")
    mine = {n.text for n in receiver.find("identifier")} if receiver is not None else set()
    condition = tests[0]["condition"]
    return not any(
        n.kind == "call_expression" or n.text in mine
        for n in condition.find("call_expression", "identifier")
    )


_CONSTANT = re.compile(rb"true|false|-?\d+|\"[^\"]*\"")


def _feeding_loop(body: Node, send: Node) -> Node | None:
    """Return the outermost loop around a send, when a function ranges over what it is given."""
    found = None
    for outer in send.ancestors():
        if outer is body:
            break
        if outer.kind == "for_statement":
            found = outer
    clause = found.children[1] if found is not None and len(found.children) > 1 else None
    if clause is None or clause.kind != "range_clause":
        return None
    names = {n.text for p in body["parameters"].children for n in p.all("name")}
    names |= {n.text for n in (body.get("receiver") or body["parameters"]).find("identifier")}
    return found if any(n.text in names for n in clause["right"].find("identifier")) else None


def _is_given_some(call: Node) -> bool:
    """Return whether no argument of a call is nil or an empty literal: there is work."""
    return not any(_EMPTY.search(a.text) for a in call["arguments"].children)


_EMPTY = re.compile(rb"^nil$|\{\s*\}$|^\"\"$")


def _in_select_with_default(send: ChannelOperation) -> bool:
    select = send.select
    return select is not None and any(c.kind == "default_case" for c in select.children)


def _finding(file: GoFile, function: Node, channel: Channel, send: ChannelOperation) -> Finding:
    name = channel.binding.name
    receives = channel.of("receive", "range")
    why = "its receiver comes after it" if receives else "nobody receives"
    if not receives and channel.escapes:
        why = "nobody else has the channel yet"
    fix, reason = _fix(file, function, channel)
    related = [Related(channel.make.path, channel.make.start, channel.make.end, "made here")]
    if receives:
        node = receives[0].node
        related.append(Related(node.path, node.start, node.end, "received here"))
    at = send.anchor if isinstance(channel.maker, FieldMaker) else send.node
    if at is not send.node:
        related.insert(0, Related(send.node.path, send.node.start, send.node.end, "sent here"))
    return Finding(
        path=at.path,
        start=at.start,
        end=at.end,
        message=f"the send to {name} waits for ever: {why}",
        fixes=(fix,) if fix else (),
        related=tuple(related),
        reason=reason,
    )


@with_reason
def _fix(file: GoFile, function: Node, channel: Channel) -> Fix:
    total = total_of(file, function, channel)
    if total is not None and not (total.is_constant and total.factor == 0):
        try:
            return _room(file, channel, total)
        except BuilderError:
            if not isinstance(channel.maker, FieldMaker):
                raise
    return _in_goroutine(file, function, channel)


def _room(file: GoFile, channel: Channel, total: Count) -> Fix:
    """Give the channel a slot for every send of the function.

    Sound where every other one comes after a send that never returned: no execution that got
    further can be changed; with the slots none of them waits. Who gets the
    channel without a send can only tell the difference by sending: it must not be able to.
    """
    capacity = str(total)
    edit = with_capacity(channel.make, capacity, channel.maker)
    title = f"Make {channel.binding.name} with a buffer of {capacity}"
    function = channel.function
    if function is not None:
        if any(isinstance(runner_of(send, function), Launch) for send in channel.of("send")):
            return Fix(title, (edit,), Safety.UNSAFE, "a goroutine's send finds the buffer as well")
    if not _comes_first(channel):
        reason = "where the first send is left out, those after it no longer wait for the receiver"
        return Fix(title, (edit,), Safety.UNSAFE, reason)
    if all(_only_received(file, escape) for escape in channel.escapes):
        return Fix(title, (edit,))
    return Fix(title, (edit,), Safety.UNSAFE, "who gets the channel finds a buffer")


def _comes_first(channel: Channel) -> bool:
    """Return whether the function gets to no other send but past one that never returns."""
    function = channel.function
    if function is None:
        return False
    flow = flow_of(function)
    stuck = {flow.point_of(s.anchor) for s in _all_stuck(function, channel, flow)}
    free = flow.reachable(flow.entry, stop=stuck.__contains__)
    placed = {flow.point_of(s.anchor) for s in channel.of("send")}
    return None not in placed and not placed & free


def _only_received(file: GoFile, escape: Node) -> bool:
    """Return whether a channel is returned, and as a `<-chan T`."""
    group, function = escape.parent, escape.function
    if group is None or function is None or group.parent is None:
        return False
    if group.parent.kind != "return_statement":
        return False
    index = next(i for i, child in enumerate(group.children) if child is escape)
    results = result_nodes(function)
    if len(results) != len(group.children):
        return False
    type_ = file.underlying(file.package.workspace.inference.type_from(results[index]))
    return isinstance(type_, Chan) and type_.direction == "receive"


def _in_goroutine(file: GoFile, function: Node, channel: Channel) -> Fix:
    """Let a goroutine of its own run the loop that sends, and the close behind it.

    go func() {
        for … {
            ch <- v
        }
        close(ch)
    }()
    """
    if not channel.of("receive", "range"):
        raise BuilderError("nobody receives")
    anchors = {
        anchor_in(send.anchor, channel.make).start: anchor_in(send.anchor, channel.make)
        for send in channel.of("send")
    }
    if len(anchors) != 1:
        raise BuilderError("the function sends in several places")
    loop = next(iter(anchors.values()))
    call = loop.children[0] if loop.kind == "expression_statement" else None
    if call is not None and all(s.calls == (call,) for s in channel.of("send")):
        return _called_in_goroutine(file, channel, loop, call)
    if loop.kind != "for_statement":
        raise BuilderError("the send is not in a loop of its own")
    for node in loop.own():
        if node.kind in {"return_statement", "goto_statement", "defer_statement"}:
            raise BuilderError("the loop leaves the function")
    for receive in channel.of("receive", "range"):
        if loop.contains(receive.anchor):
            raise BuilderError("the loop receives as well")
    if _changes_others(loop):
        raise BuilderError("the loop changes variables that are used elsewhere")
    following = loop.next
    closing = following is not None and any(c.node.parent is following for c in channel.of("close"))
    run = [loop, following] if closing and following is not None else [loop]
    if not sent_alone(file, channel, run):
        return behind_launch(channel, loop)
    edits = [*wrap(run, "go func() {", "}()")]
    reason = "the values are sent by a goroutine of its own"
    title = f"Send to {channel.binding.name} in a goroutine"
    return Fix(title, tuple(edits), Safety.UNSAFE, reason)


def _called_in_goroutine(file: GoFile, channel: Channel, statement: Node, call: Node) -> Fix:
    """Launch the function that sends: `go feed(ch, items)`."""
    if any(n.kind == "func_literal" for n in call["arguments"].walk()):
        raise BuilderError("the function that sends is given another one to call")
    follows = statement.next
    own = [c.node.parent for c in channel.of("close") if not c.calls]
    run = [statement, follows] if follows is not None and own == [follows] else [statement]
    if not sent_alone(file, channel, run):
        return behind_launch(channel, statement)
    if len(run) > 1:
        edits = wrap(run, "go func() {", "}()")
    else:
        edits = (Edit(statement.path, statement.start, statement.start, b"go "),)
    reason = "the values are sent by a goroutine of its own"
    title = f"Send to {channel.binding.name} in a goroutine"
    return Fix(title, tuple(edits), Safety.UNSAFE, reason)


def _changes_others(loop: Node) -> bool:
    """Return whether the loop shares a variable that it, or what follows it, changes."""
    for binding in captures(loop):
        for use in uses_of(binding):
            if use.kind in {"write", "update", "store", "address"}:
                if loop.contains(use.node) or use.node.start > loop.end:
                    return True
    return False
