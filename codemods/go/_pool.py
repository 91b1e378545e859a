"""Worker pools that one function builds: its channels, its workers, who feeds, who collects."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import is_assigned_once
from threadmend.golang.channels import (
    Channel,
    ChannelOperation,
    initialised,
    local_channels,
    runner_of,
)
from threadmend.golang.counting import counter_of
from threadmend.golang.counts import Count, iterations, product
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, innermost_loop, launches_in
from threadmend.golang.makers import making
from threadmend.golang.scope import Binding
from threadmend.golang.stops import endless
from threadmend.golang.syntax import Node
from threadmend.golang.waitgroups import WaitGroupCall, waitgroup_calls

__all__ = ["Collector", "Out", "Pool", "Worker", "level", "pools"]


@dataclass(frozen=True, slots=True)
class Worker:
    """What each goroutine of the pool runs.

    `body` is the function whose `loop` receives the tasks: the literal that is launched, or a
    declared function that it (or the go statement) calls by `call`.
    """

    launch: Launch
    file: GoFile
    body: Node
    receive: ChannelOperation
    loop: Node
    call: Node | None


@dataclass(frozen=True, slots=True)
class Collector:
    """The one place where results are received.

    `statement` stands in the block of the pool; `runner` is the launch that runs it, None
    when the function itself does.
    """

    operation: ChannelOperation
    statement: Node
    loop: Node | None
    runner: Launch | None


@dataclass(frozen=True, slots=True)
class Out:
    """A channel on which the workers send, and what becomes of what they send."""

    channel: Channel
    sends: tuple[ChannelOperation, ...]
    collector: Collector | None
    returned: bool

    @property
    def name(self) -> str:
        """Return the variable's name."""
        return self.channel.binding.name

    @property
    def makes_room(self) -> bool:
        """Return whether a send is one of several cases of a select: it never has to wait."""
        return any(send.has_alternative for send in self.sends)


@dataclass(frozen=True, slots=True)
class Pool:
    """Workers launched by a loop that receive tasks from one channel.

    `block` holds the statements of all parts. `feeder` is the launch that sends the tasks,
    None when the function does; `unclear` says what keeps the pool from being understood.
    """

    file: GoFile
    function: Node
    block: Node
    tasks: Channel
    worker: Worker
    sends: tuple[ChannelOperation, ...]
    feeder: Launch | None
    outs: tuple[Out, ...]
    group: WaitGroupCall | None
    waits: tuple[WaitGroupCall, ...]
    unclear: str

    @property
    def launching(self) -> Node:
        """Return the statement of the block that launches the workers."""
        found = level(self.worker.launch.node, self.block)
        assert found is not None
        return found

    @property
    def feeding(self) -> tuple[Node, Node]:
        """Return the first and the last statement of the block that send tasks."""
        anchors = [s.anchor for s in self.sends] if self.feeder is None else [self.feeder.node]
        statements = [s for a in anchors if (s := level(a, self.block)) is not None]
        return min(statements, key=_start), max(statements, key=_start)

    def fed(self) -> Count | None:
        """Return how many tasks are sent, None when that has no name."""
        total = Count(0)
        for send in self.sends:
            count = Count()
            loop = innermost_loop(send.node)
            while loop is not None:
                times = iterations(self.file, loop)
                if times is None or send.calls:
                    return None
                count = product(count, times)
                loop = innermost_loop(loop)
            if total.factor and (total.terms or count.terms):
                return None
            total = count if not total.factor else Count(total.factor + count.factor)
        return total

    def counts_tasks(self) -> bool:
        """Return whether a worker says of each task that it is done: each one has to run."""
        calls = waitgroup_calls(self.worker.file, self.worker.loop, inside=True)
        return any(call.method == "Done" for call in calls)

    def answers_elsewhere(self) -> bool:
        """Return whether a worker sends to, or closes, what is none of the pool's results.

        Somebody may wait for that: for each task, or with the workers waiting for him.
        """
        known = {send.node for out in self.outs for send in out.sends}
        worker = self.worker
        for root in {worker.body, worker.launch.literal or worker.body}:
            for node in root.walk():
                if node.kind == "send_statement" and node not in known:
                    return True
                if node.kind == "call_expression" and node["function"].text == b"close":
                    if not any(c.node is node for o in self.outs for c in o.channel.of("close")):
                        return True
        return False

    def is_waited(self) -> bool:
        """Return whether somebody waits for the workers, or for each of the tasks."""
        worker = self.worker
        calls = list(waitgroup_calls(worker.file, worker.body, inside=True))
        if worker.launch.literal is not None:
            calls += waitgroup_calls(self.file, worker.launch.literal, inside=True)
        return bool(self.waits) or any(call.method == "Done" for call in calls)

    def number(self) -> int:
        """Return the number of workers, 1 when it is not a constant."""
        loop = self.worker.launch.loop
        count = iterations(self.file, loop) if loop is not None else None
        return count.factor if count is not None and count.is_constant else 1


def _start(node: Node) -> int:
    return node.start


def level(node: Node, block: Node) -> Node | None:
    """Return the statement of a block that holds a node, also from inside of literals."""
    at: Node | None = node
    while at is not None and at.parent is not block:
        at = at.parent
    return at


def pools(file: GoFile) -> Iterator[Pool]:
    """Yield the pools of a file's functions."""
    for function in file.functions(making(file.package)):
        if not _GO.search(file.data, function.start, function.end):
            continue
        channels = local_channels(file, function)
        for channel in channels:
            worker = _worker(file, function, channel)
            if worker is not None:
                pool = _pool(file, function, channel, worker, channels)
                if pool is not None:
                    yield pool


_GO = re.compile(rb"\bgo\s|\.Go\(")


def _worker(file: GoFile, function: Node, tasks: Channel) -> Worker | None:
    """Return what receives from a channel, if that is one loop of goroutines of one loop."""
    if tasks.escapes or tasks.of("compare") or not is_assigned_once(tasks.binding):
        return None
    receives = tasks.of("receive", "range")
    if len(receives) != 1 or receives[0].select is not None:
        return None
    receive = receives[0]
    launch = _runner(file, receive, function)
    if not isinstance(launch, Launch) or launch.kind not in {"go", "waitgroup"}:
        return None
    if launch.function is not function or launch.loop is None:
        return None
    if launch.loop.contains(tasks.make):
        return None
    loop = receive.node.parent if receive.kind == "range" else innermost_loop(receive.node)
    body = receive.node.function
    if loop is None or body is None or loop.kind != "for_statement":
        return None
    if receive.kind == "receive" and not endless(loop):
        return None
    if innermost_loop(loop) is not None:
        return None
    call = receive.calls[-1] if receive.calls else None
    if call is None and body is not launch.literal:
        return None
    return Worker(launch, receive.file, body, receive, loop, call)


def _pool(
    file: GoFile, function: Node, tasks: Channel, worker: Worker, channels: list[Channel]
) -> Pool | None:
    make = tasks.make.statement
    block = make.parent if make is not None else None
    if block is None or block.kind != "block" or level(worker.launch.node, block) is None:
        return None
    sends = tasks.of("send")
    runners = [_runner(file, send, function) for send in sends]
    feeders = {r.node: r for r in runners if isinstance(r, Launch)}
    if not sends or worker.launch.node in feeders:
        return None  # a worker that sends tasks: when it is done depends on the tasks
    unclear = ""
    if (
        any(r is None for r in runners)
        or len(feeders) > 1
        or (feeders and any(r is function for r in runners))
    ):
        unclear = f"{tasks.binding.name} is fed from several places"
    elif any(level(s.anchor, block) is None for s in sends):
        unclear = "the tasks are sent in another block"
    elif any(f.loop is not None for f in feeders.values()):
        unclear = "several goroutines feed the workers"
    outs = []
    for channel in channels:
        if channel is tasks or not any(
            _same(_runner(file, s, function), worker.launch) for s in channel.of("send")
        ):
            continue
        if all(_at_the_end(s, worker) for s in channel.of("send")):
            continue  # it says that a worker has ended
        out, why = _out(file, function, block, channel, worker)
        outs.append(out)
        unclear = unclear or why
    group = _group(file, function, worker)
    waits = tuple(_waits(file, function, group)) if group is not None else ()
    feeder = next(iter(feeders.values()), None)
    return Pool(
        file, function, block, tasks, worker, tuple(sends), feeder, tuple(outs), group, waits,
        unclear,
    )  # fmt: skip


def _runner(file: GoFile, operation: ChannelOperation, function: Node) -> Launch | Node | None:
    """Return what runs an operation, also in a literal that has a name and is only launched.

    work := func() { … }
    for … { go work() }
    """
    runner = runner_of(operation, function)
    if runner is not None or operation.calls:
        return runner
    literal = operation.node.function
    if literal is None or literal.kind != "func_literal" or literal.function is not function:
        return None
    binding = initialised(file, literal)
    if binding is None or len([u for u in binding.uses if u is not binding.node]) != 1:
        return None
    for launch in launches_in(file, function):
        if launch.literal is literal:
            return launch
    return None


def _at_the_end(send: ChannelOperation, worker: Worker) -> bool:
    """Return whether a worker sends when it has left its loop."""
    return not any(worker.loop.contains(node) for node in (send.node, *send.calls))


def _same(runner: Launch | Node | None, launch: Launch) -> bool:
    return isinstance(runner, Launch) and runner.node is launch.node


def _out(
    file: GoFile, function: Node, block: Node, channel: Channel, worker: Worker
) -> tuple[Out, str]:
    name = channel.binding.name
    sends = tuple(channel.of("send"))
    why = ""
    returned = bool(channel.escapes) and all(_is_returned(e, function) for e in channel.escapes)
    if channel.escapes and not returned:
        why = f"{name} is passed on to code that is not visible"
    elif not all(_same(_runner(file, s, function), worker.launch) for s in sends):
        why = f"others send to {name} as well as the workers"
    elif level(channel.make, block) is None:
        why = f"{name} is made in another block"
    receives = channel.of("receive", "range")
    collector = None
    if len(receives) == 1 and not returned:
        collector = _collector(function, block, receives[0])
        why = why or ("" if collector is not None else f"who receives from {name} is unclear")
    elif receives:
        why = why or f"{name} is received from in several places"
    return Out(channel, sends, collector, returned), why


def _is_returned(name: Node, function: Node) -> bool:
    group = name.parent
    if group is None or group.parent is None or group.kind != "expression_list":
        return False
    return group.parent.kind == "return_statement" and name.function is function


def _collector(function: Node, block: Node, receive: ChannelOperation) -> Collector | None:
    statement = level(receive.anchor, block)
    runner = runner_of(receive, function)
    if statement is None or runner is None or receive.calls:
        return None
    launch = runner if isinstance(runner, Launch) else None
    if launch is None and receive.node.function is not function:
        return None
    loop = receive.node.parent if receive.kind == "range" else innermost_loop(receive.node)
    if loop is not None and launch is None and loop.contains(block):
        loop = None
    return Collector(receive, statement, loop, launch)


def _group(file: GoFile, function: Node, worker: Worker) -> WaitGroupCall | None:
    """Return a call on the WaitGroup, local or not, that counts the workers."""
    launch = worker.launch
    for call in waitgroup_calls(file, function, inside=True):
        if call.method == "Go" and call.call is launch.node and _is_local(call, function):
            return call
        if call.method == "Add" and call.call.function is function and _is_local(call, function):
            counter = counter_of(file, call)
            if counter is None or counter.escapes:
                continue
            for done in counter.of("Done"):
                if worker.loop.contains(done.call):
                    continue  # it counts tasks
                if done.call.function is worker.body or launch.node.contains(done.call):
                    return call
    return None


def _is_local(call: WaitGroupCall, function: Node) -> bool:
    """Return whether a WaitGroup is a variable of the function: it counts these workers only."""
    root = call.access.root if call.access is not None else None
    if not isinstance(root, Binding) or call.access is None or call.access.steps:
        return False
    return root.kind == "variable" and function.contains(root.node)


def _waits(file: GoFile, function: Node, group: WaitGroupCall) -> Iterator[WaitGroupCall]:
    for call in waitgroup_calls(file, function, inside=True):
        if call.method == "Wait" and call.access == group.access:
            yield call
