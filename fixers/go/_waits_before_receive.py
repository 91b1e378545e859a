"""A Wait for goroutines that wait to send until the receive that comes after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from threadmend.golang.builders import BuilderError, with_capacity
from threadmend.golang.channels import Channel, runner_of
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Flow, flow_of
from threadmend.golang.goroutines import Launch
from threadmend.golang.syntax import Node
from threadmend.golang.waitgroups import WaitGroupCall, waitgroup_calls
from threadmend.model import Finding, Fix, Related, Safety

from ._closer import close_after
from ._leaked_senders import senders_of, total_of

__all__ = ["too_small", "waited_for"]


def waited_for(file: GoFile, function: Node, channel: Channel, flow: Flow) -> Finding | None:
    """Find a Wait for goroutines that wait for the receive which comes after it."""
    launches: dict[int, Launch] = {}
    for send in channel.of("send"):
        runner = runner_of(send, function)
        if not isinstance(runner, Launch) or runner.function is not function:
            return None
        if send.has_alternative or runner.kind == "timer":
            return None
        launches[runner.node.start] = runner
    receives = [r.anchor for r in channel.of("receive", "range") if not r.calls]
    if not launches or not receives or len(receives) != len(channel.of("receive", "range")):
        return None
    if any(r.function is not function for r in receives) or not flow.complete:
        return None
    for wait in waitgroup_calls(file, function):
        point = flow.point_of(wait.call)
        points = [flow.point_of(r) for r in receives]
        if wait.method != "Wait" or point is None or wait.call.function is not function:
            continue
        if wait.deferred is not None:
            continue  # it waits when the function has received
        if not all(p is not None and flow.dominates(point, p) for p in points):
            continue
        if _counts_all(file, wait, channel, list(launches.values())):
            return _waiting(file, function, channel, wait, list(launches.values()), receives)
    return None


def too_small(file: GoFile, function: Node, channel: Channel, flow: Flow) -> Iterator[Finding]:
    """Yield the Wait for goroutines of which each may send an error, to a buffer of a few.

    Only where nothing but an error decides about the send: a flag may let one of them send.
    """
    capacity = channel.capacity
    if capacity is None or not capacity.text.isdigit() or channel.escapes or channel.of("len"):
        return
    for send in channel.of("send"):
        for outer in send.node.ancestors():
            if outer.kind == "func_literal":
                break
            if "switch" in outer.kind or (
                outer.kind == "if_statement" and outer["condition"].text != b"err != nil"
            ):
                return
        launch = runner_of(send, function)
        if not isinstance(launch, Launch) or launch.literal is not send.node.function:
            return
    senders = senders_of(file, function, channel)
    total = total_of(file, channel, senders) if senders else None
    found = waited_for(file, function, channel, flow) if total is not None else None
    if found is None or total is None or total.is_constant:
        return
    name = channel.binding.name
    try:
        edit = with_capacity(channel.make, str(total), channel.maker)
    except BuilderError:
        return
    fix = Fix(f"Make {name} with a buffer of {total}", (edit,))
    yield replace(found, fixes=(fix,), reason="")


def _counts_all(
    file: GoFile, wait: WaitGroupCall, channel: Channel, launches: list[Launch]
) -> bool:
    """Return whether every launched sender says Done to the group, and only when it has sent."""
    for launch in launches:
        if launch.kind == "waitgroup":
            continue
        if launch.literal is None:
            return False
        calls = waitgroup_calls(file, launch.literal)
        done = [c for c in calls if c.method == "Done" and c.access == wait.access]
        if not done or any(_says_done_before(c, channel) for c in done):
            return False
    return wait.access is not None


def _says_done_before(done: WaitGroupCall, channel: Channel) -> bool:
    """Return whether a goroutine says Done where it has sent nothing yet: that it has begun."""
    function = done.call.function
    if done.deferred is not None or function is None:
        return False
    if any(s.node["value"].contains(done.call) for s in channel.of("send") if not s.calls):
        return True  # what is sent is worked out first
    flow = flow_of(function)
    at = flow.point_of(done.call)
    own = [flow.point_of(s.anchor) for s in channel.of("send") if s.anchor.function is function]
    return bool(own) and not any(p is not None and at in flow.reachable(p) for p in own)


def _waiting(
    file: GoFile,
    function: Node,
    channel: Channel,
    wait: WaitGroupCall,
    launches: list[Launch],
    receives: list[Node],
) -> Finding:
    name = channel.binding.name
    send = channel.of("send")[0].node
    fix, reason = None, ""
    closes = [c.node.parent for c in channel.of("close")]
    ranged = any(r.kind == "range" for r in channel.of("range"))
    try:
        if not ranged or any(c is None or c.function is not function for c in closes):
            raise BuilderError("the function does not receive until the channel is closed")
        statements = [c for c in closes if c is not None]
        edits = close_after(
            file, function, channel.make, name, launches, statements, receives, waits=True
        )
        why = "the function receives while the goroutines still work"
        title = f"Receive from {name} while the goroutines send"
        fix = Fix(title, tuple(edits), Safety.UNSAFE, why)
    except BuilderError as error:
        reason = str(error)
    return Finding(
        path=wait.call.path,
        start=wait.call.start,
        end=wait.call.end,
        message=f"the goroutines wait to send to {name}, and the receiver waits for them first",
        fixes=(fix,) if fix else (),
        related=(Related(send.path, send.start, send.end, "sent here"),),
        reason=reason,
    )
