"""Stop feeding a worker that has left

A worker ranges over a channel and returns early: an error, a result found. Its feeder knows
nothing of it and sends the next value to nobody. The feeder hangs, and when it is the function
itself, so does the caller, who would have been told the error.

Not reported:
- a channel with room for everything, or one that somebody else receives from as well;
- a feeder that selects, unless it only asks at its end for what the worker returned;
- a worker that drains the channel before it goes;
- a channel that is passed to code that is not visible.

Unsafe: the feeder now stops with values left; or, where the worker is a function or method of
its own, the worker takes what is left and throws it away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.builders import (
    BuilderError,
    add_label,
    at_margin,
    free_name,
    insert_after,
    insert_at_start,
    names_of_file,
    replace,
    taken_names,
)
from threadmend.golang.calls import has_one_caller
from threadmend.golang.capacities import is_chosen
from threadmend.golang.channel_fields import SharedChannel
from threadmend.golang.channels import (
    Channel,
    ChannelOperation,
    runner_of,
)
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.functions import result_nodes
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.leaving import owed_after
from threadmend.golang.local_fields import FieldBinding, held_channels
from threadmend.golang.locks import held_at
from threadmend.golang.makers import making
from threadmend.golang.object_makers import or_objects
from threadmend.golang.stops import endless, leaves_loop
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._drained import drained, fed_through_fields
from ._each_once import each_once
from ._fed_beside_result import Fed, fed_beside_results
from ._told_by_done import tells_otherwise, told_by_done

CATEGORY = "goroutine"
GATE = rb"<-|\bmake\(\s*(?:chan\b|\w+[,)])|\brange \w+\.\w|:= \w+(?:\[[^\n]*\])?\("

# A file without any has nothing to do with channels but through objects that functions make.
_CHANNELS = re.compile(rb"<-|\bmake\(\s*(?:chan\b|\w+[,)])|\brange \w+\.\w")


@dataclass(frozen=True, slots=True)
class _Worker:
    """The goroutine that alone receives from a channel, in a loop that it may leave."""

    launch: Launch
    receive: ChannelOperation
    exits: list[Node]

    @property
    def exit(self) -> Node:
        """Return the first early exit."""
        return self.exits[0]


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the sends in loops to a worker that may have returned."""
    if _CHANNELS.search(file.data):
        yield from each_once(file, _of_others, _of_locals)
    else:
        yield from _of_locals(file)


def _of_locals(file: GoFile) -> Iterator[Finding]:
    for function in file.functions(or_objects(file.package, making(file.package))):
        for channel in held_channels(file, function, objects=True):
            if channel.escapes or channel.of("len", "compare") or not _bounded(file, channel):
                continue
            worker = _worker(function, channel)
            fed = _feeder(function, channel, worker) if worker is not None else None
            if worker is not None and fed is not None:
                yield _finding(file, function, channel, worker, fed)


def _of_others(file: GoFile) -> Iterator[Finding]:
    for shared, receive, send in fed_through_fields(file):
        loop = receive.node.parent
        exits = _early_exits(loop, receive) if loop is not None else []
        fix = drained(shared, receive, exits, send) if exits else None
        if fix is not None:
            yield _of_a_field(shared, send, exits[0], fix)
    for told in told_by_done(file):
        exits = _early_exits(told.loop, told.receive)
        if exits and not any(tells_otherwise(e) for e in exits):
            yield _of_a_field(told.channel, told.send.node, exits[0], told.fix(exits))
    for fed in fed_beside_results(file):
        exits = [e for e in _early_exits(fed.loop, fed.receive) if _tells(e, fed)]
        if exits and not fed.is_told:
            yield _beside_a_result(fed, exits[0])


def _tells(exit_: Node, fed: Fed) -> bool:
    """Return whether the result is sent at an exit: by what called the worker, or right before."""
    worker, before = fed.receive.node.function, exit_.previous
    if worker is not None and worker.kind != "func_literal":
        return True
    return before is not None and before.text.startswith(fed.result.encode() + b" <-")


def _beside_a_result(fed: Fed, exit_: Node) -> Finding:
    send, fix = fed.send.node, fed.fix()
    return Finding(
        path=send.path,
        start=send.start,
        end=send.end,
        message=f"nobody receives from {send['channel'].name} when the worker has returned early",
        fixes=(fix,) if isinstance(fix, Fix) else (),
        related=(Related(exit_.path, exit_.start, exit_.end, "leaves here"),),
        reason="" if isinstance(fix, Fix) else fix,
        confidence=Confidence.MEDIUM if fed.send.file.is_test else Confidence.HIGH,
    )


def _of_a_field(channel: SharedChannel, send: Node, exit_: Node, fix: Fix | str) -> Finding:
    name = f"{channel.decl.name}.{channel.name}"
    return Finding(
        path=send.path,
        start=send.start,
        end=send.end,
        message=f"nobody receives from {name} when the worker has returned early",
        fixes=(fix,) if isinstance(fix, Fix) else (),
        related=(Related(exit_.path, exit_.start, exit_.end, "leaves here"),),
        reason="" if isinstance(fix, Fix) else fix,
    )


def _bounded(file: GoFile, channel: Channel) -> bool:
    return channel.capacity is None or is_chosen(file, channel.capacity)


def _worker(function: Node, channel: Channel) -> _Worker | None:
    receives = channel.of("receive", "range")
    if len(receives) != 1:
        return None
    receive = receives[0]
    if isinstance(channel.binding, FieldBinding) and not _is_called_once(receive):
        return None  # a method, which others may call
    launch = runner_of(receive, function)
    if not isinstance(launch, Launch) or launch.kind == "timer" or launch.body is None:
        return None
    if launch.function is not function or not _is_run_by(launch, receive):
        return None
    loop = receive.node.parent if receive.kind == "range" else innermost_loop(receive.node)
    if loop is None or loop.kind != "for_statement":
        return None
    exits = [e for e in _early_exits(loop, receive) if not _closes_at(channel, receive, e)]
    return _Worker(launch, receive, exits) if exits else None


def _closes_at(channel: Channel, receive: ChannelOperation, exit_: Node) -> bool:
    """Return whether the worker closes the channel as it leaves: the next send does not hang, it
    panics, and no select keeps it from that.
    """
    flow = flow_of(exit_.function) if exit_.function is not None else None
    left = flow.point_of(exit_) if flow is not None else None
    again = flow.point_of(receive.node) if flow is not None else None
    for close in channel.of("close"):
        if flow is None or left is None or close.node.function is not exit_.function:
            continue
        point = flow.point_of(close.node)
        if close.node.up("defer_statement") is not None or point is None:
            return True
        if point in flow.reachable(left, stop=lambda p: p is again):
            return True
        if left in flow.reachable(point, stop=lambda p: p is again):
            return True
    return False


def _is_run_by(launch: Launch, receive: ChannelOperation) -> bool:
    """Return whether the goroutine's own function receives, or the one that it calls for it."""
    if receive.node.function is launch.body:
        return True
    call = receive.calls[0] if len(receive.calls) == 1 else None
    if call is None or receive.kind != "range" or call.function is not launch.body:
        return False
    if innermost_loop(call) is not None:
        return False  # it is called again for what is left
    return _is_called_once(receive)


def _is_called_once(receive: ChannelOperation) -> bool:
    """Return whether the functions in which a receive stands have but the call that leads there."""
    for call in receive.calls:
        decl = receive.file.package.workspace.file_of(call).callee(call)
        if decl is None or not has_one_caller(decl):
            return False
    return True


def _early_exits(loop: Node, receive: ChannelOperation) -> list[Node]:
    """Return the statements by which a worker leaves its loop although more may come."""
    if receive.kind != "range" and (not endless(loop) or receive.select is not None):
        return []
    found: list[Node] = []
    if not leaves_loop(loop):
        return found
    for node in loop["body"].own():
        if node.kind not in {"return_statement", "break_statement"}:
            continue
        if node.kind == "break_statement" and not _leaves(node, loop):
            continue
        test = node.up("if_statement")
        if receive.kind == "receive" and test is not None and _CLOSED.match(test["condition"].text):
            continue  # the channel is closed, or the value says that it was the last
        if test is not None and _counts_rounds(loop, test):
            continue  # it has been told how many come
        found.append(node)
    return found


def _counts_rounds(loop: Node, test: Node) -> bool:
    """Return whether a worker leaves when it has taken as many as a variable says.

    `n++; if n == total { return }`: each round counts, not only those that found something.
    """
    condition = test["condition"]
    if condition.kind != "binary_expression" or condition["operator"].kind not in {"==", ">="}:
        return False
    counted = {s.children[0].text for s in loop["body"].statements if s.kind == "inc_statement"}
    sides = (condition["left"], condition["right"])
    bound = next((side for side in sides if side.text not in counted), None)
    return (
        len({s.text for s in sides} & counted) == 1
        and bound is not None
        and (bound.kind != "int_literal")
    )


_CLOSED = re.compile(rb"!\w*[oO]k\b|\w+ == nil$|!\w*more\b|!\w*open\b")


def _leaves(statement: Node, loop: Node) -> bool:
    if len(statement.children) > 1:
        return True
    around = statement.up("for_statement", "select_statement", *_SWITCHES)
    return around is loop


_SWITCHES = ("expression_switch_statement", "type_switch_statement")


def _feeder(function: Node, channel: Channel, worker: _Worker) -> ChannelOperation | None:
    """Return the plain send in a loop that feeds the worker, also in a function that is called."""
    for operation in channel.of("send"):
        send = operation.node
        loop = innermost_loop(send) or _loop_around(operation)
        if operation.select is not None or loop is None:
            continue
        runner = runner_of(operation, function)
        if runner is None or loop.contains(channel.make) or held_at(operation.file, send):
            continue
        if isinstance(runner, Launch) and runner.node is worker.launch.node:
            continue
        if runner is function and operation.anchor.function is not function:
            continue
        if operation.calls and not (_is_called(operation) or innermost_loop(send) is None):
            continue
        return operation
    return None


def _loop_around(send: ChannelOperation) -> Node | None:
    """Return the loop that calls a helper which sends once: `for … { b.load(s) }`."""
    body, call = send.function, send.anchor
    if len(send.calls) != 1 or body is None or body.kind == "func_literal" or call.runs_later:
        return None
    flow = flow_of(body)
    point = flow.point_of(send.node)
    return innermost_loop(call) if flow.complete and point is not None and point.live else None


def _is_called(send: ChannelOperation) -> bool:
    """Return whether one call leads to a send, in a statement of its own or for its result:
    `feed(jobs, out)`, `err := feed(jobs, out)`.
    """
    if len(send.calls) != 1 or innermost_loop(send.anchor) is not None:
        return False
    return not send.anchor.is_deferred and send.node.function is not None


def _finding(
    file: GoFile, function: Node, channel: Channel, worker: _Worker, fed: ChannelOperation
) -> Finding:
    send, exit_ = fed.node, worker.exit
    fix = _fix(file, function, channel, worker, fed)
    return Finding(
        path=send.path,
        start=send.start,
        end=send.end,
        message=f"nobody receives from {channel.binding.name} when the worker has returned early",
        fixes=(fix,) if isinstance(fix, Fix) else (),
        related=(Related(exit_.path, exit_.start, exit_.end, "leaves here"),),
        reason="" if isinstance(fix, Fix) else fix,
        confidence=Confidence.MEDIUM if file.is_test else Confidence.HIGH,
    )


def _fix(
    file: GoFile, function: Node, channel: Channel, worker: _Worker, fed: ChannelOperation
) -> Fix | str:
    """Let the feeder select on the worker's end.

    Sound: while the worker runs, every value is sent as before.
    """
    send = fed.node
    if fed.calls:
        feeding = _loop_around(fed) or fed.anchor.statement
        fix = drained(channel, worker.receive, worker.exits, send, feeding)
        return fix or "the feeder is a function of its own"
    stop, told = _stop(file, function, channel, worker)
    if worker.receive.node.function is not worker.launch.body:
        fix = drained(channel, worker.receive, worker.exits, send)
        return fix or "the worker's loop is in a function of its own"
    if stop is None and worker.launch.loop is None and worker.launch.kind != "errgroup":
        fix = drained(channel, worker.receive, worker.exits, send)
        if fix is not None:
            return fix
    if stop is None:
        return told if isinstance(told, str) else "the worker's end cannot be told"
    loop = innermost_loop(send)
    assert loop is not None
    assert not isinstance(told, str)
    try:
        leave, label = _leave(function, send, loop)
        code = f"select {{\ncase {at_margin(send)}:\ncase <-{stop}:\n\t{leave}\n}}"
        edits = told + label + replace(send, code)
    except BuilderError as error:
        return str(error)
    reason = "the feeder stops when the worker has returned"
    return Fix("Stop feeding when the worker has returned", edits, Safety.UNSAFE, reason)


def _leave(function: Node, send: Node, loop: Node) -> tuple[str, tuple[Edit, ...]]:
    """Return how the feeder leaves its loop: what follows still runs, as a close of the channel."""
    feeder = send.function
    if feeder is not None and feeder is not function and not result_nodes(feeder):
        if owed_after(feeder, send) is None:
            return "return", ()
    parent = loop.parent
    if parent is not None and parent.kind == "labeled_statement":
        return f"break {parent['label'].name}", ()
    taken = {n["label"].name for n in function.find("labeled_statement")}
    label = next(n for n in ("feed", "loop", "feed2", "loop2", "feed3") if n not in taken)
    return f"break {label}", add_label(loop, label)


def _stop(
    file: GoFile, function: Node, channel: Channel, worker: _Worker
) -> tuple[str | None, tuple[Edit, ...] | str]:
    """Return what is ready when the worker has returned, and the edits that make it so."""
    body = worker.launch.literal
    group = _group_context(function, worker)
    if group is not None:
        return f"{group}.Done()", ()
    if worker.launch.loop is not None:
        return None, "several workers receive, and the feeder may stop when all have returned"
    if body is None:
        return None, "the worker is a function of its own"
    for node in body["body"].statements:
        found = re.fullmatch(rb"defer close\((\w+)\)", node.text)
        if found is not None and found[1] != channel.binding.name.encode():
            return found[1].decode(), ()
    statement = channel.make.statement
    if statement is None:
        return None, "the channel is made in the header of a statement"
    name = free_name("exited", taken_names(function, names=names_of_file(file)))
    try:
        edits = insert_after(statement, f"{name} := make(chan struct{{}})")
        edits += insert_at_start(body["body"], f"defer close({name})")
    except BuilderError as error:
        return None, str(error)
    return name, edits


def _group_context(function: Node, worker: _Worker) -> str | None:
    """Return the context of the errgroup that runs the worker and ends with its error."""
    if worker.launch.kind != "errgroup":
        return _cancelled(function, worker)
    group = worker.launch.node.text.partition(b".")[0]
    found = re.search(
        rb"\b" + re.escape(group) + rb", (\w+) :?= errgroup\.WithContext\(", function.text
    )
    if found is None or worker.exit.kind != "return_statement":
        return None
    returned = worker.exit.children[-1].text if len(worker.exit.children) > 1 else b"nil"
    return found[1].decode() if returned != b"nil" else None


def _cancelled(function: Node, worker: _Worker) -> str | None:
    """Return the context that the worker itself cancels in a defer."""
    body = worker.launch.literal
    for node in body["body"].statements if body is not None else ():
        found = re.fullmatch(rb"defer (\w*[cC]ancel\w*)\(\)", node.text)
        made = found and re.search(
            rb"\b(\w+), " + re.escape(found[1]) + rb" :?= \w+\.With\w+\(", function.text
        )
        if made:
            return made[1].decode()
    return None
