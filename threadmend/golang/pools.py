"""Pools: functions that hand what they are given to workers, which run side by side.

func (p *Pool) Submit(f func()) { p.work <- f }        // p.Submit(f) launches f, in a way,
func (p *Pool) worker() {                              // and its end is one before p.wg.Wait()
    defer p.wg.Done()
    for f := range p.work {
        f()
    }
}
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.access import Access
from threadmend.golang.bodycalls import receiver_of
from threadmend.golang.capacities import slots_of
from threadmend.golang.channel_fields import shared_channel
from threadmend.golang.scope import Binding, position_of

if TYPE_CHECKING:
    from threadmend.golang.channels import ChannelOperation
    from threadmend.golang.file import GoFile
    from threadmend.golang.goroutines import Launch
    from threadmend.golang.syntax import Node
    from threadmend.golang.waitgroups import WaitGroupCall

__all__ = ["HANDS_ON", "pooled"]

HANDS_ON = re.compile(rb"\s*[\w.]+ <- \w+\s*\Z")
"""The body of a function that does nothing but send."""

Pooled = tuple[int, Access, tuple["GoFile", "Node"]]


def pooled(file: GoFile, function: Node) -> Pooled | None:
    """Return the place of the parameter that workers run, and the WaitGroup that counts them.

    In the words of the function, with where it is written.
    """
    statements = function["body"].statements
    if len(statements) != 1 or statements[0].kind != "send_statement":
        return None
    send, receiver = statements[0], receiver_of(function)
    given = file.binding(send["value"]) if send["value"].kind == "identifier" else None
    place = position_of(function, given) if given is not None else None
    channel = shared_channel(file, send["channel"])
    if place is None or receiver is None or channel is None or not channel.is_field:
        return None
    if (
        channel.stores
        or channel.exported
        or send["channel"]["operand"].text != receiver.name.encode()
    ):
        return None
    taken = channel.of("receive", "range")
    done = _done_of(taken[0]) if len(taken) == 1 else None
    if done is None or done[1].access is None:
        return None
    where, operation = done
    assert operation.access is not None
    return place, Access(receiver, operation.access.steps), (where, operation.waitgroup)


def _done_of(taken: ChannelOperation) -> tuple[GoFile, WaitGroupCall] | None:
    """Return the deferred Done of the workers that run what a loop over a channel yields."""
    from threadmend.golang.count_helpers import count_calls, home
    from threadmend.golang.runners import only_launches

    worker, file = taken.node.function, taken.file
    if worker is None or taken.kind != "range" or not _runs_each(file, taken.node):
        return None
    launches = only_launches(file, worker)
    if not launches or not all(_are_several(file, launch) for launch in launches):
        return None
    dones = [c for c in count_calls(file, worker) if c.method == "Done"]
    if len(dones) != 1 or dones[0].deferred is None or dones[0].access is None:
        return None
    root = dones[0].access.root
    if not isinstance(root, Binding) or not dones[0].access.steps:
        return None
    return home(file, dones[0])


def _runs_each(file: GoFile, clause: Node) -> bool:
    """Return whether all that a loop does is to call what it gets, with nothing held."""
    loop, left = clause.parent, clause.get("left")
    binding = file.binding(left.children[0]) if left is not None else None
    if loop is None or binding is None or b"Lock()" in loop.text:
        return False
    uses = [use for use in binding.uses if use is not binding.node]
    return len(uses) == 1 and uses[0].field == "function"


def _are_several(file: GoFile, launch: Launch) -> bool:
    """Return whether a launch starts more than one worker."""
    loop = launch.loop
    clause = next((c for c in loop.children if c.kind.endswith("_clause")), None) if loop else None
    if clause is None:
        return False
    bound = clause.get("right")
    condition = clause.get("condition")
    if condition is not None and condition.kind == "binary_expression":
        bound = condition["right"]
    where = file.package.workspace.file_of(launch.node)
    return bound is not None and bound.text not in {b"0", b"1"} and slots_of(where, bound) != 1
