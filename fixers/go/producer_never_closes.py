"""Close a channel when all that produces for it is done

`for v := range ch` ends when the channel is closed, and not before. When the producers
return and nobody closes, the consumer waits for a value that never comes, and with it
whoever waits for the consumer.

Not reported: a channel that is stored, or passed to code that is not visible; a loop that
something but a failure ends; a producer that never ends by itself; workers of `main` that nobody
waits for.

Unsafe: when somebody else receives in a select, which sees the closed channel too; when the
channel is that of a field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import BuilderError, with_reason
from threadmend.golang.calls import callers
from threadmend.golang.channels import (
    Channel,
    ChannelOperation,
    follow_result,
    runner_of,
)
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.iterations import leaves_when_closed
from threadmend.golang.local_fields import held_channels, is_of_receiver
from threadmend.golang.locks import declaration_of
from threadmend.golang.makers import making
from threadmend.golang.object_makers import or_objects
from threadmend.golang.repeats import launch_places
from threadmend.golang.stops import is_failure, ways_out
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Finding, Fix, Related, Safety

from ._closer import after_sends, by_producer, close_after, ends
from ._each_once import each_once
from ._field_producers import produced_for_fields
from ._unreceived import is_returned

CATEGORY = "channel"
GATE = rb"<-|\bmake\(\s*(?:chan\b|\w+[,)])|\brange \w+\.\w|:= \w+(?:\[[^\n]*\])?\("

# A file without any has nothing to do with channels but through objects that functions make.
_CHANNELS = re.compile(rb"<-|\bmake\(\s*(?:chan\b|\w+[,)])|\brange \w+\.\w")

_MAKES_AND_SENDS = re.compile(rb"\bmake\(\s*(?:chan\b|\w+[,)])")


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the loops over channels that nobody closes although the producers end."""
    if _CHANNELS.search(file.data):
        yield from each_once(file, _of_locals, produced_for_fields, _of_receivers)
    else:
        yield from _of_locals(file)


def _of_receivers(file: GoFile) -> Iterator[Finding]:
    """Yield those on channels that a method keeps in its receiver for one call."""
    yield from _of_locals(file, of_receivers=True)


def _of_locals(file: GoFile, *, of_receivers: bool = False) -> Iterator[Finding]:
    """Yield those on channels of variables and of a local object's fields."""
    for function in file.functions(
        or_objects(file.package, making(file.package, _MAKES_AND_SENDS))
    ):
        for channel in held_channels(file, function, objects=True):
            if channel.of("close") or not is_assigned_once(channel.binding):
                continue
            if of_receivers is not is_of_receiver(channel):
                continue
            ranges = _ranges(file, function, channel)
            if file.is_test and not all(r.file.is_test for r in ranges):
                continue  # how long the program's own loop runs is not for a test to say
            if ranges and _is_of_the_process(file, function, ranges):
                continue
            if not ranges or any(_may_leave(r.file, r.node) for r in ranges):
                continue
            producers = _producers(file, function, channel)
            if producers is not None:
                yield _finding(file, function, channel, ranges, producers)


def _is_of_the_process(file: GoFile, function: Node, ranges: list[ChannelOperation]) -> bool:
    """Return whether workers that `main` launches end with the process, and nobody waits for them.

    Nothing follows their loop that somebody could wait for, and nothing is deferred.
    """
    if function.kind != "function_declaration" or function["name"].name != "main":
        return False
    return file.package.name == "main" and all(
        isinstance(runner_of(r, function), Launch) and _ends_with(r) for r in ranges
    )


def _ends_with(loop: ChannelOperation) -> bool:
    """Return whether a loop is the last that its function does."""
    body = loop.node.function["body"] if loop.node.function is not None else None
    if body is None or any(n.kind == "defer_statement" for n in body.own()):
        return False
    return body.statements[-1].contains(loop.node)


def _ranges(file: GoFile, function: Node, channel: Channel) -> list[ChannelOperation]:
    """Return the loops over a channel; those of callers when it is what they get."""
    ranges = _until_closed(channel)
    if not channel.escapes:
        return ranges
    if any(not is_returned(e, function) for e in channel.escapes):
        return []
    decl = declaration_of(file, function)
    if decl is None:
        return []
    for site in callers(decl):
        if site.call is None or site.file.callee(site.call) is not decl:
            return []  # through an interface: other types close theirs
        seen = Channel(channel.binding, channel.make, channel.capacity)
        follow_result(site.file, site.call, seen)
        if seen.of("close") or seen.of("send"):
            return []
        ranges += _until_closed(seen)
    return ranges


def _until_closed(channel: Channel) -> list[ChannelOperation]:
    """Return the loops over a channel: `range`, and those that test each receive for the end."""
    tested = [o for o in channel.of("receive") if leaves_when_closed(o.node) is not None]
    return [*channel.of("range"), *tested]


def _may_leave(file: GoFile, node: Node) -> bool:
    """Return whether something but the channel's end leaves the loop: it may count.

    A failure may end it too, but where there is none it goes on.
    """
    end = leaves_when_closed(node)
    loop = node.parent if end is None else innermost_loop(node)
    return loop is None or any(
        not is_failure(file, s, loop) for s in ways_out(loop) if end is None or not end.contains(s)
    )


def _producers(file: GoFile, function: Node, channel: Channel) -> list[Launch | Node] | None:
    """Return who sends: launches of the function, or itself; None when that is not all."""
    found: dict[int, Launch | Node] = {}
    for send in channel.of("send"):
        runner = runner_of(send, function)
        if runner is None or (send.file.is_test and not channel.make.path.endswith("_test.go")):
            return None
        if isinstance(runner, Launch):
            if runner.kind == "timer" or not launch_places(file, function, runner, send.calls):
                return None
            if not ends(runner):
                return None
            found[runner.node.start] = runner
        else:
            if send.anchor.function is not function:
                return None
            found[-1] = runner
    return list(found.values()) or None


def _finding(
    file: GoFile,
    function: Node,
    channel: Channel,
    ranges: list[ChannelOperation],
    producers: list[Launch | Node],
) -> Finding:
    name = channel.binding.name
    loop = innermost_loop(ranges[0].node) or ranges[0].node
    fix, reason = _fix(file, function, channel, producers)
    end = ranges[0].node.end
    return Finding(
        path=loop.path,
        start=loop.start,
        end=end,
        message=f"the loop never ends: nobody closes {name} when its producers are done",
        fixes=(fix,) if fix else (),
        related=(Related(channel.make.path, channel.make.start, channel.make.end, "made here"),),
        reason=reason,
        confidence=Confidence.HIGH if fix else Confidence.MEDIUM,
    )


@with_reason
def _fix(file: GoFile, function: Node, channel: Channel, producers: list[Launch | Node]) -> Fix:
    """Close when the last producer is done.

    Sound: all sends are visible, each of them happens before its goroutine's end, and the
    close after that; the loops see every value, and then end.
    """
    name = channel.binding.name
    launches = [p for p in producers if isinstance(p, Launch)]
    if not launches:
        edits = after_sends(file, function, channel)
        title = f"Close {name} after the last send"
    elif len(launches) != len(producers):
        raise BuilderError("the function sends as well as the goroutines that it launches")
    elif len(launches) == 1 and not _repeats(function, channel, launches[0]):
        edits = by_producer(file, channel, launches[0])
        title = f"Close {name} when its producer ends"
    else:
        receives = [o.anchor for o in channel.of("range", "receive")]
        receives = [r for r in receives if r.function is function]
        edits = close_after(file, function, channel.make, name, launches, (), receives)
        title = f"Close {name} when all its producers are done"
    if any(o.case is not None for o in channel.of("receive")):
        reason = "a select receives from it too, and finds it closed"
        return Fix(title, tuple(edits), Safety.UNSAFE, reason)
    return Fix(title, tuple(edits))


def _repeats(function: Node, channel: Channel, launch: Launch) -> bool:
    """Return whether one channel gets several goroutines from one launch."""
    flow = flow_of(function)
    point, make = flow.point_of(launch.node), flow.point_of(channel.make)
    return point is None or point in flow.reachable(point, stop=lambda p: p is make)
