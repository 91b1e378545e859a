"""Producers whose only receiver, the function that launched them, may leave its loop early.

rows := make(chan row)               rows := make(chan row)
go func() {                          stop := make(chan struct{})
    defer close(rows)                defer close(stop)
    for src.Next() {                 …
        rows <- src.Row()            select {
    }                                case rows <- src.Row():
}()                                  case <-stop:
for r := range rows {                    return
    if err := insert(r); err != nil {    }
        return err
    }
}
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import (
    BuilderError,
    add_argument,
    add_parameter,
    at_margin,
    free_name,
    insert_after,
    realigned,
    replace,
    taken_names,
    with_reason,
)
from threadmend.golang.calls import callers
from threadmend.golang.channels import Channel, ChannelOperation, runner_of
from threadmend.golang.counts import iterations
from threadmend.golang.families import CannotFollow, family
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of, is_never_after
from threadmend.golang.functions import leave_with
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.leaving import owed_after
from threadmend.golang.local_fields import held_channels
from threadmend.golang.locks import declaration_of, held_at, runs_in_place
from threadmend.golang.makers import making
from threadmend.golang.stops import ways_out
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._close_by_receiver import has_enough
from ._drained import drained

__all__ = ["left_ranges"]


@dataclass(frozen=True, slots=True)
class _Left:
    """The goroutine that alone sends in a loop, and where its receiver leaves before the end."""

    channel: Channel
    launch: Launch
    sends: tuple[ChannelOperation, ...]
    loop: Node
    exits: tuple[Node, ...]


def left_ranges(file: GoFile) -> Iterator[Finding]:
    """Yield the sends of goroutines whose receiver may have left its loop."""
    if file.is_test or file.is_test_file:
        return
    for function in file.functions(making(file.package)):
        name = function.get("name")
        if name is not None and name.name == "main" and file.package.name == "main":
            continue
        for channel in held_channels(file, function):
            left = _left(file, function, channel)
            if left is not None:
                yield _finding(file, function, left)


def _left(file: GoFile, function: Node, channel: Channel) -> _Left | None:
    receives, sends = channel.of("receive", "range"), channel.of("send")
    if channel.escapes or channel.of("len", "compare") or not is_assigned_once(channel.binding):
        return None
    if channel.capacity is not None and channel.capacity.kind != "int_literal":
        return None
    if len(receives) != 1 or receives[0].kind != "range" or len(receives[0].calls) > 1:
        return None
    loop, at = receives[0].node.parent, receives[0].anchor
    launch = _producer(function, channel)
    if loop is None or launch is None or at.function is not function:
        return None
    if receives[0].calls and (innermost_loop(loop) is not None or at.runs_later):
        return None
    outer = innermost_loop(at if receives[0].calls else loop)
    if outer is not None and not outer.contains(channel.make):
        return None
    if not any(_comes_again(send, launch) for send in sends):
        return None
    exits = tuple(e for e in ways_out(loop) if _is_early(file, channel, launch, loop, e))
    return _Left(channel, launch, tuple(sends), loop, exits) if exits else None


def _producer(function: Node, channel: Channel) -> Launch | None:
    """Return the only goroutine that sends, and that closes the channel at its end."""
    runners = [runner_of(o, function) for o in channel.of("send", "close")]
    launches = {r.node.start: r for r in runners if isinstance(r, Launch)}
    if len(launches) != 1 or not all(isinstance(r, Launch) for r in runners):
        return None
    launch = next(iter(launches.values()))
    if launch.kind != "go" or launch.function is not function or launch.loop is not None:
        return None
    if not channel.of("close") or launch.node.start > channel.of("range")[0].anchor.start:
        return None
    for send in channel.of("send"):
        if send.case is not None or held_at(send.file, send.node):
            return None
        if send.node.function is not launch.body:
            return None  # in a callback, or further down
    return launch


def _comes_again(send: ChannelOperation, launch: Launch) -> bool:
    """Return whether the goroutine comes to a send again and again."""
    flow = flow_of(launch.body) if launch.body is not None else None
    point = flow.point_of(send.node) if flow is not None else None
    return flow is not None and point is not None and point in flow.reachable(point)


def _is_early(file: GoFile, channel: Channel, launch: Launch, loop: Node, exit_: Node) -> bool:
    """Return whether more may be sent when the loop is left there.

    Not where the sender says that it was the last one, where all were counted, or where the
    program ends.
    """
    if exit_.kind not in {"return_statement", "break_statement"}:
        return False
    test = exit_.up("if_statement", "expression_case", "type_case", "default_case")
    if test is None or not loop.contains(test) or test.kind != "if_statement":
        return test is not None and loop.contains(test) and not _says_last(channel)
    if _is_told(channel, loop, test):
        return False
    return not (has_enough(exit_, loop) and _is_counted(file, channel, test))


def _says_last(channel: Channel) -> bool:
    """Return whether one of the sends is followed by no other."""
    sends = [s.node for s in channel.of("send")]
    return any(all(is_never_after(other, send) for other in sends) for send in sends)


def _is_told(channel: Channel, loop: Node, test: Node) -> bool:
    """Return whether what was received decides, and the sender may have said so by it."""
    if not _says_last(channel):
        return False
    clause = next((c for c in loop.children if c.kind == "range_clause"), None)
    left = clause.get("left") if clause is not None else None
    names = {n.name for n in left.find("identifier")} if left is not None else set()
    asked = [test["condition"], *filter(None, [test.get("initializer")])]
    return any(n.name in names for node in asked for n in node.find("identifier"))


def _is_counted(file: GoFile, channel: Channel, test: Node) -> bool:
    """Return whether a test asks for as many as the sender's loop has rounds."""
    for send in channel.of("send"):
        loop = innermost_loop(send.node)
        count = iterations(send.file, loop) if loop is not None else None
        if count is None:
            continue
        if count.is_constant or any(t.encode() in test["condition"].text for t in count.terms):
            return True
    return False


def _finding(file: GoFile, function: Node, left: _Left) -> Finding:
    send = next(s.node for s in left.sends if _comes_again(s, left.launch))
    fix, reason = _fix(file, function, left)
    exit_ = left.exits[0]
    return Finding(
        path=send.path,
        start=send.start,
        end=send.end,
        message=f"nobody receives from {send['channel'].name} when its receiver has left early",
        fixes=(fix,) if fix is not None else (),
        related=(Related(exit_.path, exit_.start, exit_.end, "leaves here"),),
        reason=reason,
        confidence=Confidence.LOW if _ends_soon(file, function) else Confidence.MEDIUM,
    )


def _ends_soon(file: GoFile, function: Node) -> bool:
    """Return whether `main` alone calls a function of a program: the process may end then."""
    decl = declaration_of(file, function)
    if file.package.name != "main" or decl is None:
        return False
    return all(
        site.node.function is not None and site.node.function.text.startswith(b"func main(")
        for site in callers(decl)
    )


@with_reason
def _fix(file: GoFile, function: Node, left: _Left) -> Fix:
    """Tell the goroutine to end when the function leaves.

    Sound: until then every value is sent as before, and nobody receives after it.
    """
    made, body = left.channel.make.statement, left.launch.body
    if made is None or made.parent is not function["body"] or body is None:
        raise BuilderError("the channel is not made in the function's own block")
    if not _is_over_here(left.channel.of("range")[0]):
        raise BuilderError("the receiver may run when the function has returned")
    if _waits_then(function, left):
        receive = left.channel.of("range")[0]
        rest = drained(left.channel, receive, left.exits, left.sends[0].node)
        if rest is None or receive.calls:
            raise BuilderError("the function waits for the goroutine after the loop")
        return rest
    leave = leave_with(body, "")
    if leave is None or any(_owes(body, s.node, left.channel) for s in left.sends):
        raise BuilderError("the goroutine has more to do when it has sent")
    taken = {*taken_names(function), *taken_names(body)}
    name = free_name("stop", taken)
    edits: list[Edit] = [
        *insert_after(made, f"{name} := make(chan struct{{}})\ndefer close({name})")
    ]
    if body.kind != "func_literal":
        edits += _handed_on(left.launch, name)
    elif left.launch.literal is None or not left.launch.node.contains(body):
        raise BuilderError("what is launched stands elsewhere")
    for send in left.sends:
        code = f"select {{\ncase {at_margin(send.node)}:\ncase <-{name}:\n\t{leave}\n}}"
        edits += replace(send.node, code)
    title = f"Let the goroutine end when {left.channel.binding.name} is left"
    reason = "the goroutine ends when its receiver has left"
    return Fix(title, realigned(file.package.workspace, edits), Safety.UNSAFE, reason)


def _is_over_here(receive: ChannelOperation) -> bool:
    """Return whether a receive is over when the function, or what it calls, returns.

    Not in `func feed(in chan T) *step { return &step{run: func() { for x := range in {…} }} }`.
    """
    within = receive.node.function
    while within is not None and within.kind == "func_literal" and receive.calls:
        if not runs_in_place(receive.file, within):
            return False
        within = within.function
    return True


def _owes(body: Node, node: Node, channel: Channel) -> bool:
    """Return whether somebody waits for what follows a send, but for the close that nobody sees."""
    closes = {close.node.parent for close in channel.of("close")}
    owed = owed_after(body, node)
    while owed is not None and owed in closes:
        node, owed = owed, owed_after(body, owed)
    return owed is not None


_WAITS = re.compile(rb"\.Wait\(|<-")


def _waits_then(function: Node, left: _Left) -> bool:
    """Return whether the function may wait for the goroutine before a deferred close comes."""
    flow, receive = flow_of(function), left.channel.of("range")[0]
    points = [flow.point_of(at) for at in (receive.calls or left.exits)]
    after = {p for point in points if point is not None for p in flow.reachable(point)}
    if any(_WAITS.search(p.node.text) for p in after if p is not flow.end):
        return True
    made = left.channel.make
    deferred = (n for n in function.own() if n.kind == "defer_statement" and n.start > made.end)
    return any(_WAITS.search(node.text) for node in deferred)


def _handed_on(launch: Launch, name: str) -> tuple[Edit, ...]:
    """Return the edits that give the launched function the channel to listen to."""
    decl, call = launch.decl, launch.call
    if decl is None or call is None or not call.is_launched:
        raise BuilderError("what is launched cannot be given a channel")
    try:
        found = family(decl)
    except CannotFollow as error:
        raise BuilderError(str(error)) from error
    if len(found.sites) != 1 or len(found.signatures) != 1 or found.sites[0].call is not call:
        raise BuilderError(f"{decl.name} is used elsewhere too")
    edits = add_parameter(decl.node, name, "<-chan struct{}")
    return (*edits, *add_argument(call, name, index=len(call["arguments"].children)))
